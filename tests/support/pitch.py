"""How high a voice is."""

from __future__ import annotations

import numpy as np

from media_server.audio.frames import Pcm


def pitch(pcm: Pcm, rate: int = 48_000) -> float:
    """Median fundamental of the voiced parts in Hz, by autocorrelation of 50 ms windows between 60 and 400 Hz."""
    found = []
    window, shortest, longest = rate // 20, rate // 400, rate // 60
    for start in range(0, len(pcm) - window - longest, window // 2):
        sound = pcm[start : start + window + longest].astype(np.float64)
        if np.abs(sound).max() < 3000:
            continue
        spectrum = np.fft.rfft(sound - sound.mean(), 1 << 13)
        correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: longest + 1]
        lag = shortest + int(np.argmax(correlation[shortest:]))
        if correlation[lag] > 0.5 * correlation[0]:
            found.append(rate / lag)
    return float(np.median(found))
