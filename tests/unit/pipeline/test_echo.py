"""Echo of what was played: by sound and by words."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from media_server.pipeline.echo import EchoCanceller, EchoWords

FRAME = 320


@pytest.fixture(scope="module")
def speech() -> NDArray[np.int16]:
    path = Path(__file__).resolve().parents[2] / "data" / "jfk.wav"
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)[: 16_000 * 8]


def passed_share(played: NDArray[np.int16], microphone: NDArray[np.int16]) -> float:
    """Share of the microphone's energy that is let through while ``played`` is played."""
    canceller = EchoCanceller()
    through = total = 0.0
    for start in range(0, len(microphone) - FRAME, FRAME):
        now = 50.0 + start / 16_000
        canceller.played(played[start : start + FRAME], now)
        frame = microphone[start : start + FRAME]
        out = canceller.clean(frame, now + 0.02)
        total += float(np.dot(frame.astype(float), frame.astype(float)))
        through += float(np.dot(out.astype(float), out.astype(float)))
    return through / total


def delayed(pcm: NDArray[np.int16], delay_ms: int, gain: float) -> NDArray[np.int16]:
    samples = delay_ms * 16
    return np.concatenate((np.zeros(samples, np.int16), (pcm * gain).astype(np.int16)))[: len(pcm)]


@pytest.mark.parametrize("delay_ms", [50, 130, 400, 700])
def test_what_was_played_does_not_come_back_as_speech(speech: NDArray[np.int16], delay_ms: int) -> None:
    assert passed_share(speech, delayed(speech, delay_ms, 0.1)) < 0.01


def test_a_person_talking_over_the_echo_passes(speech: NDArray[np.int16]) -> None:
    person = np.roll(speech, 3 * 16_000)
    both = np.clip(person.astype(np.int32) + delayed(speech, 130, 0.1), -32768, 32767).astype(np.int16)
    assert passed_share(speech, both) > 0.95


def test_somebody_else_saying_something_else_passes(speech: NDArray[np.int16]) -> None:
    assert passed_share(speech, np.roll(speech, 3 * 16_000)) > 0.95


def test_nothing_is_touched_while_nothing_is_played(speech: NDArray[np.int16]) -> None:
    canceller = EchoCanceller()
    frame = speech[16_000 : 16_000 + FRAME]
    assert canceller.clean(frame, 5.0) is frame


def test_the_words_that_were_played_are_known_when_they_come_back() -> None:
    words = EchoWords()
    words.said(("El perro duerme en la casa.", "The dog sleeps in the house."), 10.0, 13.0)
    assert words.repeats("the dog sleeps in a house", 10.5, 13.2)
    assert words.repeats("El perro duerme", 11.0, 12.0)
    assert not words.repeats("I would like to add something to that", 10.5, 13.0)


def test_the_same_words_at_another_time_are_no_echo() -> None:
    words = EchoWords()
    words.said(("The dog sleeps in the house.",), 10.0, 13.0)
    assert not words.repeats("The dog sleeps in the house.", 15.0, 17.0)
    assert not words.repeats("The dog sleeps in the house.", 8.0, 12.0)


def test_a_short_answer_is_no_echo_of_a_sentence_that_holds_it() -> None:
    words = EchoWords()
    words.said(("Yes, I think so too.",), 10.0, 13.0)
    assert not words.repeats("Yes.", 11.0, 11.5)
