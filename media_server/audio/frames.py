"""The frame that sound travels in inside the server: 20 ms of mono int16 at 48 kHz."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]  # mono

RATE = 48_000  # Hz
FRAME_MS = 20
FRAME_SAMPLES = RATE * FRAME_MS // 1000  # 960


class Framer:
    """Cuts a stream of any pieces into frames of ``size`` samples, in order, nothing lost.

    The frames are fresh arrays, or views of the piece that was pushed; whoever gets one may keep it, nobody
    writes to it.
    """

    def __init__(self, size: int = FRAME_SAMPLES) -> None:
        self._size = size
        self._rest = np.empty(size, np.int16)
        self._filled = 0

    @property
    def pending(self) -> int:
        """Samples that wait for the rest of their frame."""
        return self._filled

    def push(self, pcm: Pcm) -> Iterator[Pcm]:
        """Give the frames that ``pcm`` completes. The iterator must be used up before the next push."""
        size = self._size
        start = 0
        if self._filled:
            start = min(size - self._filled, len(pcm))
            self._rest[self._filled : self._filled + start] = pcm[:start]
            self._filled += start
            if self._filled < size:
                return
            self._filled = 0
            yield self._rest.copy()
        whole = start + (len(pcm) - start) // size * size
        for at in range(start, whole, size):
            yield pcm[at : at + size]
        rest = len(pcm) - whole
        if rest:
            self._rest[:rest] = pcm[whole:]
            self._filled = rest

    def flush(self) -> Pcm | None:
        """End of a stretch of sound: the unfinished frame, filled up with silence, or None."""
        if not self._filled:
            return None
        frame = self._rest.copy()
        frame[self._filled :] = 0
        self._filled = 0
        return frame
