"""Levels as RFC 6464 means them, and sums that do not wrap."""

from __future__ import annotations

import numpy as np
import pytest

from media_server.audio import levels
from media_server.audio.mix import fade_out, mix


def test_digital_silence_is_minus_127_dbov() -> None:
    assert levels.dbov(np.zeros(960, np.int16)) == -127
    assert levels.dbov(np.empty(0, np.int16)) == -127


@pytest.mark.parametrize(("amplitude", "expected"), [(32_767, -3), (3_277, -23), (328, -43), (33, -63)])
def test_a_sine_is_3_db_under_its_peak(amplitude: int, expected: int) -> None:
    pcm = (np.sin(np.arange(48_000) / 48_000 * 2 * np.pi * 400) * amplitude).astype(np.int16)
    assert levels.dbov(pcm) == expected


def test_full_scale_square_is_0_dbov_and_peak_1() -> None:
    pcm = np.full(960, -32_768, np.int16)
    assert levels.dbov(pcm) == 0
    assert levels.peak(pcm) == 1.0
    assert levels.rms(pcm) == pytest.approx(1.0)


def test_a_mix_saturates() -> None:
    loud = np.full(10, 30_000, np.int16)
    assert set(mix(loud, loud)) == {32_767}
    assert set(mix(-loud, -loud)) == {-32_768}
    assert set(mix(loud, -loud)) == {0}


def test_a_fade_ends_in_silence_without_a_step() -> None:
    pcm = np.full(960, 10_000, np.int16)
    out = fade_out(pcm, 240)
    assert not out[240:].any()
    assert np.abs(np.diff(out.astype(int))).max() < 100
    assert set(pcm) == {10_000}
