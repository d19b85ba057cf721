"""Every metric in one place, in one registry per process. No label ever holds a person's data.

Latencies are histograms in milliseconds, as dashboards of the older servers expect.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MS = (5, 10, 25, 50, 100, 200, 300, 400, 550, 700, 900, 1150, 1500, 2000, 3000, 5000, 10_000)


class Metrics:
    """One instance is made at start-up and handed to those who count."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one, which no dashboard of ours reads
        registry = self.registry = CollectorRegistry()
        ProcessCollector(
            registry=registry
        )  # CPU time, memory, file descriptors of this process, where Linux says it

        def histogram(name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
            return Histogram(name, text, labels, buckets=_MS, registry=registry)

        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self.ws_connections = counter("lai_ws_connections", "WebSocket connections accepted", ("path",))
        self.http_connections = gauge("lai_http_connections", "TCP connections to the HTTP port")
        self.http_closed = counter("lai_http_closed", "TCP connections ended by a limit", ("reason",))
        self.sessions_active = gauge("lai_sessions_active", "Calls in progress")
        self.speakers = gauge("lai_speakers", "People who speak; those of a room who take turns count as one")
        self.speech_load = gauge(
            "lai_speech_load",
            "Share of the recognizers' time that they need; calls are refused over MAX_SPEECH_LOAD",
        )
        self.calls = counter("lai_calls", "Calls ended", ("outcome",))
        self.offers_refused = counter("lai_offers_refused", "Offers answered with an error", ("code",))
        self.asr_partial = histogram("lai_asr_partial_latency_ms", "Partial: from asking to showing")
        self.asr_final = histogram("lai_asr_final_latency_ms", "End of speech to final text")
        self.asr_queue_wait = histogram(
            "lai_asr_queue_wait_ms", "Wait before a recognizer takes a window", ("work",)
        )
        self.mt = histogram("lai_mt_latency_ms", "Translation of one text", ("engine",))
        self.tts = histogram("lai_tts_latency_ms", "Text to first piece of speech", ("engine",))
        self.e2e = histogram("lai_e2e_latency_ms", "End of speech to first interpreted audio sent")
        self.tts_failures = counter("lai_tts_failures", "Texts that no voice could speak", ("engine",))
        self.engine_state = gauge("lai_engine_up", "1 when the engine answers", ("stage", "engine"))
        self.engine_restarts = counter(
            "lai_engine_restarts", "Engine children started again", ("stage", "engine")
        )
        self.engine_requests = counter(
            "lai_engine_requests", "Requests ended", ("stage", "engine", "outcome")
        )
        self.fallbacks = counter(
            "lai_fallbacks", "Requests that another engine took over", ("stage", "engine", "instead")
        )
        self.engine_cpu = gauge(
            "lai_engine_cpu_seconds", "CPU time of the engine's child", ("stage", "engine")
        )
        self.queue_depth = gauge("lai_queue_depth", "Entries waiting", ("queue",))
        self.drops = counter("lai_drops", "Entries dropped by a bound", ("queue",))
        self.utterances = counter("lai_utterances", "Utterances ended", ("outcome",))
        self.speech_lag = histogram(
            "lai_speech_lag_ms",
            "End of speech to its interpretation being heard, what is heard before it included",
        )
        self.speech_texts = counter("lai_speech_texts", "Translations given to a voice, or not", ("outcome",))
        self.loop_lag = histogram("lai_loop_lag_ms", "How late the event loop runs")
        self.audio_late = histogram("lai_audio_late_ms", "How late the pacer of outgoing audio runs")
        self.rtp_dropped = counter("lai_rtp_dropped", "Datagrams and packets refused", ("reason",))
        self.audio_frames = counter("lai_audio_frames", "Received audio frames of 20 ms", ("how",))

        self.echo_messages = counter(
            "lai_echo_messages", "Messages of /ws-audio, by what they went through", ("how",)
        )

        # A series that is not there yet looks like a broken exporter on a dashboard: the known ones begin at 0.
        for path in ("/ws/audio", "/ws-audio"):
            self.ws_connections.labels(path)
        for reason in ("head", "stalled", "crowded", "refused"):
            self.http_closed.labels(reason)
        for queue in ("captions", "finals", "speech", "echo", "clips", "ws_audio", "ws_partials"):
            self.drops.labels(queue)
        for outcome in ("spoken", "merged", "skipped", "failed"):
            self.speech_texts.labels(outcome)
        for how in ("rnnoise", "gate", "full"):
            self.echo_messages.labels(how)
        for outcome in ("final", "lost", "echo"):
            self.utterances.labels(outcome)

    def expect(self, stage: str, engine: str) -> None:
        """An engine was planned: its series begin at 0."""
        self.engine_state.labels(stage, engine)
        self.engine_restarts.labels(stage, engine)
        if stage == "speak":
            self.tts_failures.labels(engine)

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
