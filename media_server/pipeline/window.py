"""The sound of an open utterance, frame by frame, and where it may be cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from media_server.engines.base import RECOGNIZER_RATE, Pcm
from media_server.pipeline.detect import FRAME_SAMPLES

FLOOR_DB = -96.0  # of a frame without any sound
GONE_FRAMES = 250  # 8 s, what a turn detector hears
VOICE_WEIGHT_DB = 30.0  # how many dB a certain voice counts when the quietest point is looked for


@dataclass(frozen=True, slots=True)
class Frame:
    """FRAME_SAMPLES of int16 at 16 kHz, how likely they are speech, and their level in dBFS."""

    pcm: Pcm
    probability: float
    level_db: float


def make_frame(pcm: Pcm, probability: float) -> Frame:
    power = float(np.dot(pcm.astype(np.float32), pcm.astype(np.float32))) / (len(pcm) * 32768.0**2)
    level = 10.0 * float(np.log10(power)) if power > 0 else FLOOR_DB
    return Frame(pcm, probability, max(level, FLOOR_DB))


class Window:
    """Frames in a row; positions are frame numbers of the whole call, so they survive a cut."""

    def __init__(self, start: int, frames: Iterable[Frame] = ()) -> None:
        self.start = start
        """Number of the first frame kept."""
        self._frames = deque(frames)
        self._gone: deque[Frame] = deque(maxlen=GONE_FRAMES)

    @property
    def end(self) -> int:
        """One past the last frame."""
        return self.start + len(self._frames)

    @property
    def seconds(self) -> float:
        return len(self._frames) * FRAME_SAMPLES / RECOGNIZER_RATE

    def append(self, frame: Frame) -> None:
        self._frames.append(frame)

    def audio(self, until: int | None = None) -> Pcm:
        """The sound from the start up to frame ``until`` (all of it without), int16 at 16 kHz, a copy."""
        count = len(self._frames) if until is None else max(0, min(until - self.start, len(self._frames)))
        parts = [frame.pcm for _, frame in zip(range(count), self._frames, strict=False)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    def split(self, at: int) -> Window:
        """Takes off the frames before ``at`` and gives them as a window of their own."""
        first = Window(self.start)
        while self._frames and self.start < at:
            first.append(self._frames.popleft())
            self.start += 1
        return first

    def let_go(self, at: int) -> None:
        """Drops the frames before ``at``; ``latest`` still has them."""
        while self._frames and self.start < at:
            self._gone.append(self._frames.popleft())
            self.start += 1

    def latest(self, seconds: float) -> Pcm:
        """The newest sound, int16 at 16 kHz, at most so long, with what was let go of before it."""
        count = int(seconds * RECOGNIZER_RATE / FRAME_SAMPLES)
        frames = [*self._gone, *self._frames][-count:]
        return np.concatenate([frame.pcm for frame in frames]) if frames else np.zeros(0, np.int16)

    def voice(self, low: int = 0, high: int | None = None, threshold: float = 0.5) -> tuple[int, float]:
        """Frames of at least ``threshold`` between two positions, and their mean probability (0 if none)."""
        high = self.end if high is None else high
        found = [
            frame.probability
            for position, frame in enumerate(self._frames, self.start)
            if low <= position < high and frame.probability >= threshold
        ]
        return len(found), (sum(found) / len(found) if found else 0.0)

    def quietest(self, low: int, high: int) -> tuple[int, float]:
        """The best position to cut at in ``low`` <= position <= ``high``, and how deep the dip there is.

        The dip is in dB below the window's loud parts (their 90th percentile), a frame's probability of being
        speech counted as level: two frames of a pause reach 30 dB and more, the closure of a "t" about 15.
        """
        low, high = max(low, self.start + 1), min(high, self.end - 1)
        if high < low:
            return max(self.start, min(low, self.end)), 0.0
        cost = np.array([frame.level_db + VOICE_WEIGHT_DB * frame.probability for frame in self._frames])
        loud = float(np.percentile(cost, 90))
        around = np.maximum(
            cost[:-1], cost[1:]
        )  # around[k]: both frames that meet at the boundary start + k + 1
        piece = around[low - self.start - 1 : high - self.start]
        lowest = float(piece.min())
        flat = np.flatnonzero(piece <= lowest + 3.0)  # the middle of the pause, not its edge
        best = int(flat[np.argmin(np.abs(flat - np.median(flat)))])
        return low + best, loud - lowest
