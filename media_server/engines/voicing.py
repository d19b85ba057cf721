"""What every voice's sound goes through: 48 kHz, one loudness, no clicks, no waiting in front.

A voice is measured (ITU-R BS.1770-4, gated loudness) over its first sentences and keeps the gain that they need;
peaks that this gain takes above the ceiling are turned down for some milliseconds around them, never clipped.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from media_server.audio import filters
from media_server.audio.resample import resample
from media_server.engines.base import VOICE_RATE, Pcm

MEASURED = "12345678, 87654321."
"""Spoken once to measure a voice: every language reads numbers in its own words, these as running speech."""
MEASURED_S = 4.0  # of it are measured at most
SETTLED_S = 12.0  # of speech tell how loud a voice is, to a fraction of a decibel
TELLING_S = 1.0  # shorter pieces say little
TARGET_LUFS = -20.0
CEILING = 10 ** (-1 / 20)  # of full scale: -1 dBFS
MOST_GAIN = 10.0  # 20 dB: a voice so quiet is broken

LEAD_S = 0.03  # kept before the first sound of a piece
TAIL_S = 0.10  # kept after the last sound of a clip
SENTENCE_PAUSE_S = 0.30
CLAUSE_PAUSE_S = 0.15
FADE_S = 0.005

_FULL_SCALE = 32768.0
_WINDOW = VOICE_RATE // 200  # 5 ms, in which sound is told from silence
_AUDIBLE = 10 ** (-50 / 20)  # RMS of full scale
_LIMIT_BLOCK = 48  # 1 ms

type Floats = NDArray[np.float32]


def loudness(pcm: Pcm) -> float:
    """Gated loudness of int16 mono at 48 kHz, in LUFS; -inf for silence and for less than 0.4 s."""
    return filters.loudness(pcm, VOICE_RATE)


def gain_of(pcm: Pcm, rate: int) -> float | None:
    """The factor that takes a voice to the target, told from some speech of it; None when that was too
    short.
    """
    lufs = filters.loudness(pcm[: int(MEASURED_S * rate)], rate)
    if not math.isfinite(lufs):
        return None
    return float(min(MOST_GAIN, 10 ** ((TARGET_LUFS - lufs) / 20)))


class Level:
    """The gain of one voice, so that all it says is as loud as every other voice.

    Told from what it says: every piece of speech is measured until there are ``SETTLED_S`` of it, then the gain
    stays. ``sample`` (``MEASURED``, or nothing) only counts as a second of that, for a first word too short to tell.
    """

    def __init__(self, sample: Pcm, rate: int) -> None:
        self._rate = rate
        self._power = 0.0  # summed over the seconds measured
        self._seconds = 0.0
        self._gain = 1.0
        self._add(sample[: int(MEASURED_S * rate)], 1.0)

    def gain(self, pcm: Pcm) -> float:
        """The factor for this piece of its speech, int16 at ``rate``; listens to it, too."""
        seconds = len(pcm) / self._rate
        if self._seconds < SETTLED_S and seconds >= TELLING_S:
            self._add(pcm, seconds)
        return self._gain

    def _add(self, pcm: Pcm, seconds: float) -> None:
        lufs = filters.loudness(pcm, self._rate)
        if math.isfinite(lufs):
            self._power += seconds * 10 ** (lufs / 10)
            self._seconds += seconds
            self._gain = float(
                min(MOST_GAIN, math.sqrt(10 ** (TARGET_LUFS / 10) / (self._power / self._seconds)))
            )


def pause(seconds: float, speed: float) -> float:
    """A pause as long as it should be at that speed: whoever hurries takes shorter breaths."""
    return seconds / speed**3


def finish(pcm: Pcm, rate: int, *, gain: float, first: bool, last: bool, pause_s: float) -> Pcm:
    """A piece of a clip as it is played: int16 at 48 kHz; empty when there is nothing to hear in it.

    ``pcm`` is int16 at ``rate``. ``first`` and ``last`` are the piece's place in its clip; one that is not
    the last ends with ``pause_s`` of silence, however much of it the voice made.
    """
    sound = resample(pcm, rate, VOICE_RATE).astype(np.float32) / _FULL_SCALE
    if not len(sound):
        return np.empty(0, np.int16)
    sound -= sound.mean()
    sound = limit(sound * gain)
    begin, end = _audible(sound)
    if begin == end:
        return np.empty(0, np.int16)
    keep = TAIL_S if last else pause_s
    begin = max(0, begin - int(LEAD_S * VOICE_RATE))
    wanted = end + int(keep * VOICE_RATE) - begin
    piece = np.zeros(wanted, np.float32)
    piece[: len(sound) - begin] = sound[begin : begin + wanted]
    filled = min(len(sound) - begin, wanted)
    if first:
        _fade(piece[:filled], rising=True)
    if last or filled < wanted:  # the voice's own silence must not jump to digital silence
        _fade(piece[:filled], rising=False)
    return np.rint(piece * (_FULL_SCALE - 1)).astype(np.int16)


def limit(sound: Floats) -> Floats:
    """Nothing above the ceiling: each millisecond gets the gain that it and its neighbours need."""
    if not len(sound) or float(np.abs(sound).max()) <= CEILING:
        return sound
    blocks = -(-len(sound) // _LIMIT_BLOCK)
    padded = np.zeros(blocks * _LIMIT_BLOCK, np.float32)
    padded[: len(sound)] = np.abs(sound)
    peaks = padded.reshape(blocks, _LIMIT_BLOCK).max(axis=1)
    gains = np.minimum(1.0, CEILING / np.maximum(peaks, 1e-9))
    for _ in range(3):  # wide enough that the change of gain itself is not heard
        gains = np.minimum(gains, np.minimum(np.append(gains[1:], 1.0), np.append(1.0, gains[:-1])) ** 0.9)
    near = np.minimum(gains, np.minimum(np.append(gains[1:], 1.0), np.append(1.0, gains[:-1])))
    centres = (np.arange(blocks) + 0.5) * _LIMIT_BLOCK
    # Between two centres lies half of either block, and each of the two gains is fit for both blocks.
    return cast(Floats, (sound * np.interp(np.arange(len(sound)), centres, near)).astype(np.float32))


def _audible(sound: Floats) -> tuple[int, int]:
    """First and last sample of what can be heard, in windows of 5 ms; equal when nothing can."""
    windows = -(-len(sound) // _WINDOW)
    padded = np.zeros(windows * _WINDOW, np.float32)
    padded[: len(sound)] = sound
    loud = np.flatnonzero(np.sqrt((padded.reshape(windows, _WINDOW) ** 2).mean(axis=1)) > _AUDIBLE)
    if not len(loud):
        return 0, 0
    return int(loud[0]) * _WINDOW, min(len(sound), (int(loud[-1]) + 1) * _WINDOW)


def _fade(piece: Floats, *, rising: bool) -> None:
    samples = min(len(piece), int(FADE_S * VOICE_RATE))
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(samples) / samples)).astype(np.float32)
    if rising:
        piece[:samples] *= ramp
    else:
        piece[len(piece) - samples :] *= ramp[::-1]
