"""How loud a piece of sound is."""

from __future__ import annotations

import math

import numpy as np

from media_server.audio.frames import Pcm

FULL_SCALE = 32_768.0
SILENCE_DBOV = -127
"""RFC 6464 section 3: the level of digital silence."""


def rms(pcm: Pcm) -> float:
    """Root mean square, 0.0 to 1.0 of full scale; 0.0 for no samples."""
    if not len(pcm):
        return 0.0
    samples = pcm.astype(np.float32)
    return math.sqrt(float(np.dot(samples, samples)) / len(samples)) / FULL_SCALE


def peak(pcm: Pcm) -> float:
    """Largest magnitude, 0.0 to 1.0 of full scale."""
    if not len(pcm):
        return 0.0
    return max(-int(pcm.min()), int(pcm.max())) / FULL_SCALE


def dbov(pcm: Pcm) -> int:
    """Level in whole dBov, -127 (digital silence) to 0 (RFC 6464 section 3, RFC 6465 appendix A)."""
    level = rms(pcm)
    if level <= 0.0:
        return SILENCE_DBOV
    return max(SILENCE_DBOV, min(0, round(20.0 * math.log10(level))))
