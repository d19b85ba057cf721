"""Adding sounds without wrapping around."""

from __future__ import annotations

import numpy as np

from media_server.audio.frames import Pcm


def mix(first: Pcm, second: Pcm) -> Pcm:
    """The saturated sum of two pieces of the same length, as a fresh array."""
    total = first.astype(np.int32)
    total += second
    np.clip(total, -32_768, 32_767, out=total)
    return total.astype(np.int16)


def fade_out(pcm: Pcm, samples: int) -> Pcm:
    """A copy whose first ``samples`` samples fall linearly to nothing; silence after them."""
    out = np.zeros_like(pcm)
    count = min(samples, len(pcm))
    out[:count] = pcm[:count] * np.linspace(1.0, 0.0, count, endpoint=False, dtype=np.float32)
    return out
