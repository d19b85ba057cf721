"""Loudness by ITU-R BS.1770, and what every voice's sound goes through."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_server.engines import voicing
from media_server.engines.base import VOICE_RATE, Pcm


def tone(hertz: float, level_dbfs: float, seconds: float, rate: int = VOICE_RATE) -> Pcm:
    """A sine whose peak lies ``level_dbfs`` under full scale."""
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return np.rint(wave * 10 ** (level_dbfs / 20) * 32767).astype(np.int16)


def silence(seconds: float, rate: int = VOICE_RATE) -> Pcm:
    return np.zeros(int(seconds * rate), np.int16)


def finish(pcm: Pcm, *, first: bool = True, last: bool = True, gain: float = 1.0) -> Pcm:
    return voicing.finish(pcm, VOICE_RATE, gain=gain, first=first, last=last, pause_s=0.3)


def test_the_reference_tone_has_its_reference_loudness() -> None:
    # BS.1770-4: a 0 dBFS sine of 997 Hz in one channel reads -3.01 LUFS. EBU Tech 3341 allows 0.1 LU.
    assert voicing.loudness(tone(997, 0, 3)) == pytest.approx(-3.01, abs=0.1)
    assert voicing.loudness(tone(997, -20, 3)) == pytest.approx(-23.01, abs=0.1)


def test_low_sounds_count_less_and_high_ones_more() -> None:
    assert voicing.loudness(tone(60, -20, 3)) < -24
    assert voicing.loudness(tone(4000, -20, 3)) == pytest.approx(-23.01 + 3.3, abs=0.5)


def test_pauses_do_not_make_speech_quieter() -> None:
    speech = tone(997, -20, 2)
    assert voicing.loudness(np.concatenate((speech, silence(4), speech))) == pytest.approx(-23.0, abs=0.6)


def test_silence_and_snippets_have_no_loudness() -> None:
    assert voicing.loudness(silence(3)) == -math.inf
    assert voicing.loudness(tone(997, -20, 0.3)) == -math.inf
    assert voicing.gain_of(silence(3, 22_050), 22_050) is None


def test_the_gain_takes_a_voice_to_the_target() -> None:
    quiet = tone(997, -32, 3, 22_050)
    gain = voicing.gain_of(quiet, 22_050)
    assert gain is not None
    levelled = voicing.finish(quiet, 22_050, gain=gain, first=True, last=True, pause_s=0)
    assert voicing.loudness(levelled) == pytest.approx(voicing.TARGET_LUFS, abs=0.2)


def test_peaks_over_the_ceiling_are_turned_down_without_clipping() -> None:
    sound = tone(300, -6, 1).astype(np.float32) / np.float32(32768)
    sound[20_000:20_400] *= 4
    limited = voicing.limit(sound)
    assert np.abs(limited).max() <= voicing.CEILING + 1e-6
    np.testing.assert_array_equal(limited[:19_500], sound[:19_500])
    inside = slice(20_048, 20_352)  # still a sine: turned down, not cut off
    assert np.corrcoef(limited[inside], sound[inside])[0, 1] > 0.9999


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 10))
def test_nothing_is_ever_over_the_ceiling(seed: int, gain: float) -> None:
    noise = np.random.default_rng(seed).normal(0, 8000, 3000).clip(-32768, 32767).astype(np.int16)
    made = finish(noise, gain=gain)
    assert np.abs(made.astype(np.int32)).max() <= math.ceil(voicing.CEILING * 32768)


def test_silence_around_a_clip_is_cut_to_what_sounds_natural() -> None:
    made = finish(np.concatenate((silence(1), tone(440, -10, 1), silence(1))))
    assert len(made) / VOICE_RATE == pytest.approx(voicing.LEAD_S + 1 + voicing.TAIL_S, abs=0.011)


def test_pieces_inside_a_clip_end_with_the_pause_whatever_the_voice_made() -> None:
    for tail in (0.0, 0.1, 2.0):
        made = finish(np.concatenate((tone(440, -10, 1), silence(tail))), last=False)
        assert len(made) / VOICE_RATE == pytest.approx(1.3, abs=0.011)
        assert not made[-int(0.28 * VOICE_RATE) :].any()


def test_the_edges_of_a_clip_are_faded_and_a_piece_inside_starts_as_it_is() -> None:
    sound = tone(440, -10, 1)
    sound[:] = 8000
    sound[::2] = -8000  # no mean, and a hard edge
    assert abs(int(finish(sound)[0])) < 10
    assert abs(int(finish(sound)[-1])) < 10
    assert abs(int(finish(sound, first=False)[0])) > 7000
    ramp = finish(sound)[: int(voicing.FADE_S * VOICE_RATE)]
    assert np.all(np.diff(np.abs(ramp.astype(np.int32))) >= -1)


def test_direct_current_is_taken_away() -> None:
    made = finish((tone(440, -20, 1) + np.int16(3000)).astype(np.int16))
    assert abs(float(made.mean())) < 5


def test_nothing_to_hear_gives_nothing() -> None:
    assert len(finish(silence(1))) == 0
    assert len(finish(silence(0))) == 0
    assert len(finish((silence(1) + np.int16(2000)).astype(np.int16))) == 0
