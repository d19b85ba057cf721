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


def test_an_echo_through_a_room_does_not_come_back_either(speech: NDArray[np.int16]) -> None:
    """A reverberation of 0.3 s: no clean copy, but quiet and alike."""
    random = np.random.default_rng(3)
    tail = random.standard_normal(4800) * np.exp(-6.9 * np.arange(4800) / 4800)
    tail[0] = 3.0
    room = np.convolve(delayed(speech, 130, 0.1).astype(float), tail / np.linalg.norm(tail))[: len(speech)]
    assert passed_share(speech, room.astype(np.int16)) < 0.1


def test_a_player_that_skips_and_repeats_frames_makes_an_echo_all_the_same(speech: NDArray[np.int16]) -> None:
    random = np.random.default_rng(4)
    echo = delayed(speech, 130, 0.1)
    starts = np.clip(np.arange(0, len(echo), 1600) + random.integers(-1, 2, len(echo) // 1600) * 320, 0, None)
    jumpy = np.concatenate([echo[start : start + 1600] for start in starts])[: len(speech)]
    assert passed_share(speech, jumpy) < 0.1


def test_how_long_the_microphone_was_a_copy_is_known(speech: NDArray[np.int16]) -> None:
    canceller = EchoCanceller()
    echo = delayed(speech, 100, 0.1)
    for start in range(0, 3 * 16_000, FRAME):
        now = 50.0 + start / 16_000
        canceller.played(speech[start : start + FRAME], now)
        canceller.clean(echo[start : start + FRAME], now)
    assert canceller.copied_s(51.0, 52.0) > 0.7
    assert canceller.copied_s(60.0, 61.0) == 0.0


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
    words.said("El perro duerme en la casa.", 10.0)
    words.go_on(13.0)
    assert words.repeats("el perro duerme en una casa", 10.5, 13.2)
    assert words.repeats("El perro duerme", 11.0, 12.0)
    assert not words.repeats("I would like to add something to that", 10.5, 13.0)


def test_the_same_words_at_another_time_are_no_echo() -> None:
    words = EchoWords()
    words.said("The dog sleeps in the house.", 10.0)
    words.go_on(13.0)
    assert not words.repeats("The dog sleeps in the house.", 15.0, 17.0)
    assert not words.repeats("The dog sleeps in the house.", 8.0, 12.0)
    assert not words.repeats("The dog sleeps in the house.", 13.5, 15.0)


def test_a_short_answer_is_no_echo_of_a_sentence_that_holds_it() -> None:
    words = EchoWords()
    words.said("Yes, I think so too.", 10.0)
    words.go_on(13.0)
    assert not words.repeats("Yes.", 11.0, 11.5)
