"""What every voice's sound goes through: 48 kHz, one loudness, no clicks, no waiting in front.

A voice is measured once (ITU-R BS.1770-4, gated loudness) and gets one gain for all it says; peaks that this
gain takes above the ceiling are turned down for some milliseconds around them, never clipped.
"""

from __future__ import annotations

import functools
import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from media_server.audio.resample import resample
from media_server.engines.base import VOICE_RATE, Pcm

MEASURED = "12345678, 87654321."
"""Spoken once to measure a voice: every language reads numbers in its own words, these as running speech."""
MEASURED_S = 4.0  # of it are measured at most
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

# BS.1770-4, tables 1 and 2: the two filters of the K weighting at 48 kHz, as (b, a).
_SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
_HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))


def loudness(pcm: Pcm) -> float:
    """Gated loudness of int16 mono at 48 kHz, in LUFS; -inf for silence and for less than 0.4 s."""
    block, step = VOICE_RATE * 4 // 10, VOICE_RATE // 10
    if len(pcm) < block:
        return -math.inf
    energy = np.concatenate(([0.0], np.cumsum(_k_weighted(pcm) ** 2)))
    starts = np.arange(0, len(pcm) - block + 1, step)
    power = (energy[starts + block] - energy[starts]) / block
    power = power[power > _power(-70.0)]
    if not len(power):
        return -math.inf
    power = power[power > power.mean() / 10]  # 10 LU under the mean of what is not silent
    return -0.691 + 10 * math.log10(float(power.mean()))


def gain_of(pcm: Pcm, rate: int) -> float | None:
    """The factor that takes a voice to the target, told from some speech of it; None when that was too
    short.
    """
    lufs = loudness(resample(pcm[: int(MEASURED_S * rate)], rate, VOICE_RATE))
    if not math.isfinite(lufs):
        return None
    return float(min(MOST_GAIN, 10 ** ((TARGET_LUFS - lufs) / 20)))


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


def _k_weighted(pcm: Pcm) -> NDArray[np.float64]:
    """Filtered by way of the spectrum: exact but for the filters' ringing, which a second of zeros takes up."""
    size = 1 << (len(pcm) + VOICE_RATE - 1).bit_length()
    spectrum = np.fft.rfft(pcm / _FULL_SCALE, size)
    return np.fft.irfft(spectrum * _k_response(size), size)[: len(pcm)]


@functools.lru_cache(maxsize=1)
def _k_response(size: int) -> NDArray[np.complex128]:
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(len(z), np.complex128)
    for b, a in (_SHELF, _HIGH_PASS):
        response *= (b[0] + b[1] * z + b[2] * z * z) / (a[0] + a[1] * z + a[2] * z * z)
    return response


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


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
