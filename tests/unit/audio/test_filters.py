"""FFmpeg's filters by way of PyAV: another tempo. Loudness: see the voices' tests."""

from __future__ import annotations

import numpy as np
import pytest

from media_server.audio.filters import loudness, with_tempo
from media_server.audio.frames import Pcm
from tests.support.caller import recording
from tests.support.pitch import pitch

RATE = 48_000


def tone(seconds: float, rate: int = RATE, hertz: float = 220.0) -> Pcm:
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return np.rint(wave * 8000).astype(np.int16)


def loudest_hertz(pcm: Pcm, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * rate / len(pcm))


@pytest.mark.parametrize("speed", [0.8, 1.1, 1.25])
@pytest.mark.parametrize("rate", [22_050, 48_000])
def test_another_tempo_takes_another_time_at_the_same_pitch_and_level(speed: float, rate: int) -> None:
    sound = tone(2, rate)
    made = with_tempo(sound, rate, speed)
    assert len(made) / len(sound) == pytest.approx(1 / speed, abs=0.02)
    assert loudest_hertz(made, rate) == pytest.approx(220, rel=0.01)
    assert loudness(made, rate) == pytest.approx(loudness(sound, rate), abs=0.5)


@pytest.mark.parametrize("speed", [1.05, 1.25])
def test_faster_speech_keeps_its_pitch_and_loudness(speed: float) -> None:
    speech = recording("jfk.wav")
    made = with_tempo(speech, RATE, speed)
    assert len(made) / len(speech) == pytest.approx(1 / speed, abs=0.01)
    assert pitch(made) == pytest.approx(pitch(speech), rel=0.03)
    assert loudness(made, RATE) == pytest.approx(loudness(speech, RATE), abs=0.5)


def test_its_own_tempo_and_nothing_at_all_stay_as_they_are() -> None:
    sound = tone(0.1)
    assert with_tempo(sound, RATE, 1.0) is sound
    assert len(with_tempo(sound[:0], RATE, 1.2)) == 0
    assert len(with_tempo(sound[:10], RATE, 1.2)) < 20


def test_loudness_is_the_same_at_every_rate() -> None:
    assert loudness(tone(2, 22_050, 997.0), 22_050) == pytest.approx(
        loudness(tone(2, RATE, 997.0), RATE), abs=0.1
    )
