"""What counts as shown, committed and heard in a call's log."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
import pytest

from benchmarks.callplan import OPUS_FRAME, CallLog, plan_call, read_log, read_plan, write
from benchmarks.material import Clip
from benchmarks.timeline import seen_of
from media_server.audio.opus import new_encoder
from media_server.engines.base import RECOGNIZER_RATE


def tone(samples: int, rate: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    return (8000 * np.sin(2 * np.pi * 300 * np.arange(samples) / rate)).astype(np.int16)


def clip(text: str, word_ends_s: tuple[float, ...]) -> Clip:
    """Half a second of silence, one of voice, half a second of silence."""
    quiet = np.zeros(RECOGNIZER_RATE // 2, np.int16)
    return Clip(text, np.concatenate([quiet, tone(RECOGNIZER_RATE, RECOGNIZER_RATE), quiet]), word_ends_s)


def partial(text: str, committed: int, line: str = "1") -> dict[str, Any]:
    return {"type": "partial", "id": line, "text": text, "committed": committed, "translation": ""}


def final(text: str, translation: str = "", line: str = "1") -> dict[str, Any]:
    return {"type": "final", "id": line, "text": text, "translation": translation}


def log_of(*messages: tuple[float, dict[str, Any]], clips: int = 1) -> CallLog:
    sent = [[100.0 + 10 * turn + 0.02 * n for n in range(100)] for turn in range(clips)]
    return CallLog(sent=sent, messages=list(messages))


def test_delays_count_from_the_voiced_packets_and_the_ends_of_words() -> None:
    said = clip("Hello big world", (0.8, 1.1, 1.5))
    log = log_of(
        (101.0, partial("Yellow", 0)),
        (101.2, partial("Hello, pig", 6)),
        (101.6, partial("Hello, big", 10)),
        (102.0, final("Hello, big world.")),
        (102.3, final("Hello, big world.", "Hola, gran mundo.")),
    )
    (seen,) = seen_of([said], log)
    assert seen.started == pytest.approx(100.5)
    assert seen.ended == pytest.approx(101.48)
    assert seen.first_partial_s() == pytest.approx(0.7)
    shown, committed = seen.word_delays_s()
    assert shown == pytest.approx([0.4, 0.5, 0.5])
    assert committed == pytest.approx([0.4, 0.5, 0.5])
    assert seen.final_s() == pytest.approx(102.3 - 101.48)
    assert seen.text == "Hello, big world."
    assert (seen.calm().shown, seen.calm().withdrawn, seen.calm().rewrites) == (5, 2, 0)


def test_a_sentence_in_two_lines_is_read_as_one_text() -> None:
    said = clip("Hello big world", (0.8, 1.1, 1.5))
    log = log_of(
        (101.0, partial("Hello big", 5, "1")),
        (101.3, final("Hello", "Hola", "1")),
        (101.4, partial("Hello big", 9, "1")),
        (101.5, partial("big wor", 4, "2")),
        (102.0, final("big world", "gran mundo", "2")),
    )
    (seen,) = seen_of([said], log)
    assert len(seen.finals) == 2
    assert seen.text == "Hello big world"
    assert seen.calm().rewrites == 0
    assert seen.calm().withdrawn == 1


def test_what_comes_after_the_next_clip_began_is_that_clips() -> None:
    clips = [clip("One", (1.5,)), clip("Two", (1.5,))]
    log = log_of(
        (102.0, final("One")), (111.0, partial("Two", 0, "2")), (112.0, final("Two", line="2")), clips=2
    )
    assert [seen.text for seen in seen_of(clips, log)] == ["One", "Two"]


def test_sound_that_comes_back_counts_from_its_first_audible_packet() -> None:
    said = clip("Hello", (1.5,))
    log = log_of((102.0, final("Hello", "Hola")))
    encoder = new_encoder()
    frames = [np.zeros(OPUS_FRAME, np.int16)] * 3 + [tone(OPUS_FRAME, 48_000)] * 5
    for n, frame in enumerate(frames):
        log.packets.append((102.1 + 0.02 * n, 960 * n, b64encode(encoder.encode(frame)).decode()))
    (seen,) = seen_of([said], log)
    delay = seen.audio_s()
    assert delay is not None
    assert delay == pytest.approx(102.16 - 101.48, abs=0.021)


def test_a_clip_without_an_answer_has_no_figures() -> None:
    (seen,) = seen_of([clip("Hello", (1.5,))], log_of())
    assert (seen.first_partial_s(), seen.final_s(), seen.audio_s()) == (None, None, None)
    assert seen.word_delays_s() == ([], [])


def test_plans_and_logs_travel_between_processes(tmp_path: Any) -> None:
    plan = plan_call([clip("Hello", (1.5,))], {"sourceLang": "en"})
    assert len(plan.clips[0]) == 100
    write(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan
    write(tmp_path / "log.json", log_of((1.0, final("x"))))
    assert read_log(tmp_path / "log.json").messages[0][1]["text"] == "x"
