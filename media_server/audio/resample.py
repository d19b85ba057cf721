"""Changing the sampling rate: one windowed-sinc filter a pair of rates, applied as small matrix products.

A rate ratio L/M turns every M samples into L. A block of whole periods of input, with the history that the
filter reaches back into, times a fixed matrix is a block of output: one BLAS call a piece of sound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray

from media_server.audio.frames import Pcm

RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz, what voices, phones and sound cards use

_STOP_DB = 70.0
"""Attenuation of what would fold back into the band."""
_TRANSITION = 0.16
"""Width of the filter's slope, as a share of the lower Nyquist frequency; it ends where folding begins."""
_BLOCK = 16
"""Least samples of a block on its shorter side: large enough for BLAS, small enough that little waits."""

MAX_TERM = 1_000
"""Largest term of a ratio that a matrix is made for."""

_Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Plan:
    matrix: _Float
    """(history + block_in, block_out)"""
    block_in: int
    block_out: int
    history: int
    delay_out: int
    """Group delay in output samples."""


@lru_cache(maxsize=64)
def _plan(source: int, target: int) -> _Plan:
    divisor = math.gcd(source, target)
    up, down = target // divisor, source // divisor
    periods = -(-_BLOCK // min(up, down))
    block_in, block_out = periods * down, periods * up

    # Prototype low pass at the common rate source * up.
    nyquist = min(source, target) / 2
    rate = source * up
    slope = _TRANSITION * nyquist
    cutoff = nyquist - slope / 2
    length = math.ceil((_STOP_DB - 7.95) / (2.285 * 2 * math.pi * slope / rate))
    delay_out = -(
        -length // (2 * down)
    )  # whole output samples, so that a whole sound can be put back in place
    half = delay_out * down
    length = 2 * half + 1
    time = np.arange(-half, half + 1)
    beta = 0.1102 * (_STOP_DB - 8.7)
    taps = 2 * cutoff / rate * np.sinc(2 * cutoff / rate * time) * np.kaiser(length, beta)
    taps *= up / taps.sum()

    # Output n sits at n * down on the common grid, input m at m * up: y[n] = sum of taps[n*down - m*up] *
    # x[m].
    history = -(-(length - 1) // up)
    index = np.arange(block_out) * down - (np.arange(history + block_in)[:, None] - history) * up
    matrix = np.where((index >= 0) & (index < length), taps[np.clip(index, 0, length - 1)], 0.0)
    # Each phase passes a constant unchanged.
    matrix /= matrix.sum(axis=0)
    return _Plan(matrix.astype(np.float32), block_in, block_out, history, delay_out)


class AnyResampler:
    """A stream of int16 mono between rates whose ratio has no small terms (16,001 Hz, say): FFmpeg's."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=target)

    def process(self, pcm: Pcm) -> Pcm:
        """The samples that can be made with ``pcm``."""
        if not len(pcm):
            return pcm
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), "s16", "mono")
        frame.sample_rate = self._source
        pieces = [out.to_ndarray().reshape(-1) for out in self._resampler.resample(frame)]
        return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


def make_resampler(source: int, target: int) -> Resampler | AnyResampler:
    """The cheap one where its matrix is small, which it is for all rates of ``RATES``."""
    if max(source, target) // math.gcd(source, target) <= MAX_TERM:
        return Resampler(source, target)
    return AnyResampler(source, target)


class Resampler:
    """A stream of int16 mono from one rate to another. Keeps its state between pieces; pieces may have any
    length.

    What comes out lags by ``delay_ms``. Up to 2 ms (14 ms with 22.05 and 44.1 kHz) wait for their block; 20
    ms of 48 kHz are whole blocks for 8, 16, 24 and 32 kHz.
    """

    def __init__(self, source: int, target: int) -> None:
        if source <= 0 or target <= 0:
            raise ValueError("rates are positive")
        self.source, self.target = source, target
        self._plan = _plan(source, target) if source != target else None
        self._held = np.zeros(self._plan.history if self._plan else 0, np.float32)

    @property
    def delay_ms(self) -> float:
        return self._plan.delay_out * 1000 / self.target if self._plan else 0.0

    def process(self, pcm: Pcm) -> Pcm:
        """The samples that can be made with ``pcm``; the very array where nothing changes."""
        plan = self._plan
        if plan is None:
            return pcm
        signal = np.concatenate((self._held, pcm.astype(np.float32)))
        blocks = (len(signal) - plan.history) // plan.block_in
        if blocks == 0:
            self._held = signal
            return np.empty(0, np.int16)
        windows = np.lib.stride_tricks.as_strided(
            signal,
            shape=(blocks, plan.history + plan.block_in),
            strides=(plan.block_in * signal.itemsize, signal.itemsize),
            writeable=False,
        )
        out: _Float = np.dot(windows, plan.matrix).ravel()
        self._held = signal[blocks * plan.block_in :].copy()
        np.rint(out, out=out)
        np.clip(out, -32_768, 32_767, out=out)
        rounded: Pcm = out.astype(np.int16)
        return rounded

    def reset(self) -> None:
        """Forget what was heard, as after a pause."""
        self._held = np.zeros(self._plan.history if self._plan else 0, np.float32)


def resample(pcm: Pcm, source: int, target: int) -> Pcm:
    """A whole sound at another rate: round(len * target / source) samples, not delayed."""
    if source == target or not len(pcm):
        return pcm
    stream = Resampler(source, target)
    plan = _plan(source, target)
    wanted = round(len(pcm) * target / source)
    skip = plan.delay_out
    tail = np.zeros(math.ceil((skip + 1) * source / target) + 2 * plan.block_in, np.int16)
    out = stream.process(np.concatenate((pcm, tail)))[skip : skip + wanted]
    return out
