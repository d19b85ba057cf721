"""Resampling: right length, right pitch, nothing folded back, the same in one piece and in many."""

from __future__ import annotations

import numpy as np
import pytest

from media_server.audio.frames import Framer, Pcm
from media_server.audio.resample import RATES, Resampler, resample


def tone(frequency: float, rate: int, seconds: float = 1.0, level: int = 12_000) -> Pcm:
    time = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * frequency * time) * level).astype(np.int16)


def decibels(pcm: Pcm, level: int = 12_000) -> float:
    middle = pcm[len(pcm) // 8 : -len(pcm) // 8].astype(float)
    return float(20 * np.log10(np.sqrt(np.mean(middle**2)) / (level / np.sqrt(2)) + 1e-9))


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("target", RATES)
def test_a_tone_keeps_its_pitch_place_and_level(source: int, target: int) -> None:
    out = resample(tone(440, source), source, target)
    assert len(out) == target
    wanted = tone(440, target)
    middle = slice(target // 8, -target // 8)
    error = (out.astype(float) - wanted)[middle]
    assert 10 * np.log10(np.mean(wanted[middle].astype(float) ** 2) / (np.mean(error**2) + 1e-9)) > 60


@pytest.mark.parametrize("frequency", [8_100, 9_000, 10_500, 15_000, 23_000])
def test_what_16_khz_cannot_hold_is_gone_and_not_folded_back(frequency: float) -> None:
    assert decibels(resample(tone(frequency, 48_000), 48_000, 16_000)) < -60


@pytest.mark.parametrize("frequency", [100, 3_000, 6_500])
def test_speech_passes_to_16_khz_unchanged(frequency: float) -> None:
    assert abs(decibels(resample(tone(frequency, 48_000), 48_000, 16_000))) < 0.2


def test_20_ms_at_48_khz_are_always_20_ms_at_16_khz() -> None:
    stream = Resampler(48_000, 16_000)
    assert {len(stream.process(np.zeros(960, np.int16))) for _ in range(20)} == {320}
    assert stream.delay_ms < 3


@pytest.mark.parametrize(("source", "target"), [(48_000, 16_000), (44_100, 16_000), (22_050, 48_000)])
def test_any_cutting_of_a_stream_gives_the_same_samples(source: int, target: int) -> None:
    rng = np.random.default_rng(5)
    sound = rng.integers(-9_000, 9_000, source, dtype=np.int16)
    whole = Resampler(source, target).process(sound)
    stream, pieces, at = Resampler(source, target), [], 0
    while at < len(sound):
        size = int(rng.integers(1, 3_000))
        pieces.append(stream.process(sound[at : at + size]))
        at += size
    # BLAS may sum in another order, which moves a sample by one at most.
    joined = np.concatenate(pieces)
    assert len(joined) == len(whole)
    assert np.abs(joined.astype(int) - whole).max() <= 1


def test_full_scale_saturates_and_does_not_wrap() -> None:
    square = np.where(np.arange(48_000) // 50 % 2, 32_767, -32_768).astype(np.int16)
    out = resample(square, 48_000, 16_000)
    # The overshoot behind an edge stays at the rail; a wrapped sample would change its sign.
    flips = np.count_nonzero(np.diff(np.sign(out)))
    assert abs(flips - 48_000 // 50) <= 2


def test_a_framer_loses_nothing_and_fills_the_last_frame_with_silence() -> None:
    rng = np.random.default_rng(3)
    sound = rng.integers(1, 1_000, 10_000, dtype=np.int16)
    framer, frames, at = Framer(), [], 0
    while at < len(sound):
        size = int(rng.integers(1, 2_500))
        frames += list(framer.push(sound[at : at + size]))
        at += size
    last = framer.flush()
    assert last is not None
    assert framer.flush() is None
    assert all(len(frame) == 960 for frame in [*frames, last])
    joined = np.concatenate([*frames, last])
    assert np.array_equal(joined[: len(sound)], sound)
    assert not joined[len(sound) :].any()
