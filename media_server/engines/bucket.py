"""A token bucket: so many at once, so many a second after that. Pure: time is an argument."""

from __future__ import annotations


class TokenBucket:
    """``burst`` tokens at first, ``rate`` new ones a second, never more than ``burst``."""

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Takes a token; False when there is none."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
