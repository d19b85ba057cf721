"""How far the interpretation may lag, and what is done about it. Pure: time is an argument.

What waits to be heard is first spoken faster, then left out with a mark in the captions (DESIGN: bounded lag).
"""

from __future__ import annotations

from dataclasses import dataclass

RELAXED_S = 1.5  # up to here the voice keeps its own pace
HURRIED_S = 5.0  # from here on it speaks as fast as it may
MAX_SPEED = 1.25  # faster is hard to follow


@dataclass(frozen=True, slots=True)
class Pace:
    """What to do with the next text. ``speed`` is relative to the voice's own pace."""

    speed: float
    skip: bool = False


class SpeechLag:
    """Follows how much speech of one channel still has to be heard."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._until_s = 0.0

    def lag_s(self, now_s: float) -> float:
        """Seconds until something queued now would be heard."""
        return max(0.0, self._until_s - now_s)

    def queued(self, seconds: float, now_s: float) -> None:
        """That much speech was handed to the listeners."""
        self._until_s = max(self._until_s, now_s) + seconds

    def pace(self, now_s: float) -> Pace:
        lag = self.lag_s(now_s)
        if lag > self._limit_s:
            return Pace(MAX_SPEED, skip=True)
        share = min(1.0, max(0.0, (lag - RELAXED_S) / (HURRIED_S - RELAXED_S)))
        return Pace(1.0 + share * (MAX_SPEED - 1.0))
