from __future__ import annotations

from typing import Any

from benchmarks.callplan import CallLog
from benchmarks.lag import lagging
from media_server.rooms.channel import SKIPPED


def final(name: str, translation: str, note: str = "") -> dict[str, Any]:
    return {"type": "final", "id": name, "translation": translation} | ({"note": note} if note else {})


def test_lags_and_what_was_left_out_are_read_off_a_call() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "partial", "id": "u1", "translation": "ho"},
        final("u1", "hola"),
        {"type": "stats", "id": "u1", "lag_ms": 900},
        final("u2", "adiós a todos"),
        final("u2", "adiós a todos", SKIPPED),
        final("u3", "sí"),
        {"type": "stats", "id": "u3", "lag_ms": 2100},
        final("u4", ""),
    ]
    found = lagging(CallLog(messages=[(float(at), message) for at, message in enumerate(messages)]))
    assert found.lags_s == (0.9, 2.1)
    assert (found.utterances, found.skipped) == (3, 1)
    assert found.skipped_share == 13 / 19


def test_a_call_in_which_nothing_was_said_has_no_share() -> None:
    assert lagging(CallLog()).skipped_share == 0.0
