"""Test sound is the same in every run, and what its names say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.material import (
    Clip,
    active_dbfs,
    coloured_noise,
    jfk,
    joined,
    levelled,
    long_sentences,
    sentences,
    with_margins,
    with_noise,
    with_pause,
)
from benchmarks.nonspeech import KINDS, LOUDEST_DBFS, nonspeech, pieces
from media_server.engines.base import RECOGNIZER_RATE


def tone(seconds: float, word_ends_s: tuple[float, ...] = ()) -> Clip:
    time = np.arange(int(seconds * RECOGNIZER_RATE)) / RECOGNIZER_RATE
    return Clip("a b c d e f", (8000 * np.sin(2 * np.pi * 300 * time)).astype(np.int16), word_ends_s)


def test_noise_lies_as_far_below_the_speech_as_asked() -> None:
    clip = jfk()
    noisy = with_noise(clip, 10.0, np.random.default_rng(1))
    noise = noisy.pcm.astype(float) - clip.pcm
    assert 20 * np.log10(noise.std() / 32768) == pytest.approx(active_dbfs(clip.pcm) - 10, abs=0.3)
    again = with_noise(clip, 10.0, np.random.default_rng(1))
    np.testing.assert_array_equal(noisy.pcm, again.pcm)


def test_pink_noise_has_the_same_power_in_every_octave() -> None:
    noise = coloured_noise(1 << 18, np.random.default_rng(1), 1.0)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(noise.size, 1 / RECOGNIZER_RATE)
    octaves = [power[(hertz >= low) & (hertz < 2 * low)].sum() for low in (100, 400, 1600)]
    assert max(octaves) / min(octaves) < 1.3


def test_levelling_brings_active_speech_to_the_level() -> None:
    assert active_dbfs(levelled(jfk().pcm, -35.0)) == pytest.approx(-35.0, abs=0.1)


def test_margins_and_pauses_move_the_words_behind_them() -> None:
    clip = tone(3.0, (0.4, 0.9, 1.4, 1.9, 2.4, 2.9))
    assert with_margins(clip, 0.5, 1.0).word_ends_s[0] == pytest.approx(0.9)
    paused = with_pause(clip, np.random.default_rng(3))
    longer = paused.seconds - clip.seconds
    assert 0.4 <= longer <= 0.8
    moved = [after - before for before, after in zip(clip.word_ends_s, paused.word_ends_s, strict=True)]
    assert moved[0] == moved[1] == 0
    assert moved[-1] == moved[-2] == pytest.approx(longer, abs=0.01)


def test_clips_are_joined_without_a_break() -> None:
    clip = with_margins(tone(1.0, (0.5, 1.0)), 0.3, 0.3)
    both = joined([clip, clip])
    assert both.seconds == pytest.approx(2.0, abs=0.05)
    assert len(both.word_ends_s) == 4


def test_long_sentences_are_made_of_the_list() -> None:
    chains = long_sentences(sentences())
    assert len(chains) >= 10
    assert all(28 <= len(chain.split()) <= 50 for chain in chains)


@pytest.mark.parametrize("kind", KINDS)
def test_nonspeech_is_the_same_for_a_seed_and_within_its_levels(kind: str) -> None:
    sound = nonspeech(kind, 4.0, np.random.default_rng(5))
    assert sound.size == 4 * RECOGNIZER_RATE
    assert sound.dtype == np.int16
    np.testing.assert_array_equal(sound, nonspeech(kind, 4.0, np.random.default_rng(5)))
    assert (sound.astype(float) ** 2).mean() <= (32768 * 10 ** (LOUDEST_DBFS / 20)) ** 2 * 1.1


def test_all_kinds_come_in_turn() -> None:
    assert [name for name, _ in pieces(1.0, piece_s=6.0)] == list(KINDS)
