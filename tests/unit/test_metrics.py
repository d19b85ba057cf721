from __future__ import annotations

from media_server.metrics import Metrics

OLDER = (
    "lai_ws_connections_total", "lai_asr_partial_latency_ms", "lai_asr_final_latency_ms", "lai_mt_latency_ms",
    "lai_tts_latency_ms", "lai_e2e_latency_ms", "lai_sessions_active", "lai_tts_failures_total",
)  # fmt: skip


def test_the_names_that_dashboards_know_are_there_from_the_start() -> None:
    metrics = Metrics()
    metrics.expect("speak", "piper")
    text = metrics.exposition().decode()
    assert [name for name in OLDER if f"\n# TYPE {name.removesuffix('_total')}" not in f"\n{text}"] == []
    assert 'lai_tts_failures_total{engine="piper"} 0.0' in text
    assert 'lai_ws_connections_total{path="/ws/audio"} 0.0' in text


def test_latencies_are_histograms_in_milliseconds() -> None:
    metrics = Metrics()
    metrics.e2e.observe(640)
    text = metrics.exposition().decode()
    assert 'lai_e2e_latency_ms_bucket{le="700.0"} 1.0' in text
    assert 'lai_e2e_latency_ms_bucket{le="550.0"} 0.0' in text
