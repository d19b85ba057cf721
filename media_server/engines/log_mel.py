"""Log-mel features as Whisper was trained on: 25 ms windows every 10 ms of 16 kHz sound, Slaney's mel bands.

Silence after the sound is filled in, not computed: its features are the floor, so long padding is free here.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Samples = NDArray[np.float32]  # mono at 16 kHz, -1 to 1
Features = NDArray[np.float32]  # (mel bands, frames of 10 ms)

RATE = 16_000  # Hz
HOP = 160  # samples between frames, 10 ms
WINDOW = 400  # samples in a frame, 25 ms
EDGE = WINDOW // 2  # a frame is centred on its sample

_LINEAR_HZ = 200.0 / 3  # width of a mel below 1 kHz
_LOG_FROM_HZ = 1000.0
_LOG_FROM_MEL = _LOG_FROM_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27.0  # per mel above 1 kHz
_SMALLEST_POWER = 1e-10
_DYNAMIC_RANGE = 8.0  # powers of ten kept below the loudest point


def samples_of(pcm: NDArray[np.int16]) -> Samples:
    return pcm.astype(np.float32) / np.float32(32768)


def _mel_of(hertz: float) -> float:
    if hertz < _LOG_FROM_HZ:
        return hertz / _LINEAR_HZ
    return float(_LOG_FROM_MEL + np.log(hertz / _LOG_FROM_HZ) / _LOG_STEP)


def mel_bands(bands: int) -> NDArray[np.float32]:
    """Triangular filters of equal area, shape (bands, 201), from 0 to 8 kHz."""
    mels = np.linspace(0.0, _mel_of(RATE / 2), bands + 2)
    curved = _LOG_FROM_HZ * np.exp(_LOG_STEP * (mels - _LOG_FROM_MEL))
    corners = np.where(mels < _LOG_FROM_MEL, mels * _LINEAR_HZ, curved)
    bins = np.fft.rfftfreq(WINDOW, 1.0 / RATE)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    area = (2.0 / (corners[2:] - corners[:-2]))[:, None]
    filters: NDArray[np.float32] = (np.maximum(np.minimum(rising, falling), 0.0) * area).astype(np.float32)
    return filters


class LogMel:
    """Makes features with a fixed number of bands (80, or 128 for the largest models)."""

    def __init__(self, bands: int = 80) -> None:
        self.bands = bands
        self._filters = np.ascontiguousarray(mel_bands(bands).T)
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)

    def __call__(self, samples: Samples, frames: int) -> Features:
        """Features of exactly ``frames`` frames: the sound is cut, or followed by silence, to that length."""
        samples = samples[: frames * HOP]
        if samples.size <= EDGE:
            samples = np.pad(samples, (0, EDGE + 1 - samples.size))
        voiced = min(frames, (samples.size + EDGE - 1) // HOP + 1)
        after = (voiced - 1) * HOP + EDGE - samples.size
        if frames * HOP <= samples.size:
            padded = np.pad(samples, (EDGE, max(after, 0)), mode="reflect")
        else:
            padded = np.pad(np.pad(samples, (EDGE, 0), mode="reflect"), (0, max(after, 0)))
        windows = sliding_window_view(padded, WINDOW)[::HOP][:voiced]
        spectrum = np.fft.rfft(windows * self._window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        logs = np.log10(np.maximum(power @ self._filters, _SMALLEST_POWER))
        floor = max(float(logs.max()) - _DYNAMIC_RANGE, float(np.log10(_SMALLEST_POWER)))
        features = np.full((self.bands, frames), (floor + 4.0) / 4.0, np.float32)
        features[:, :voiced] = (np.maximum(logs, floor).T + 4.0) / 4.0
        return features
