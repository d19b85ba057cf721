"""A circuit breaker: whoever fails again and again is left alone for a while. Pure: time is an argument.

Closed, every request is let through. After ``failures`` in a row it opens: nothing is let through, at no cost, for
``rest_s``. Then it is half-open: one request at a time may try, and what becomes of it closes or opens it again.

Whoever was let through tells the outcome with ``succeeded`` or ``failed``, or with ``gave_up`` when there is none
(the caller went away). A trial that nobody reports holds the others back for ``rest_s`` at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FAILURES = 3  # in a row: one is bad luck, three are an outage
REST_S = 10.0  # an outage is seldom shorter; one request in ten seconds is no burden

State = Literal["closed", "open", "half-open"]


@dataclass(slots=True)
class Breaker:
    """All times are seconds of one clock that does not go back."""

    failures: int = FAILURES
    rest_s: float = REST_S
    _in_a_row: int = field(default=0, init=False)
    _opened_s: float | None = field(default=None, init=False)
    _trial_s: float | None = field(default=None, init=False)
    """When the trial that is under way began."""

    def state(self, now_s: float) -> State:
        if self._opened_s is None:
            return "closed"
        return "half-open" if now_s - self._opened_s >= self.rest_s else "open"

    def allows(self, now_s: float) -> bool:
        """May a request be made now? True takes the one trial of a half-open breaker."""
        state = self.state(now_s)
        if state == "half-open":
            if self._trial_s is not None and now_s - self._trial_s < self.rest_s:
                return False
            self._trial_s = now_s
        return state != "open"

    def retry_in_s(self, now_s: float) -> float:
        """Seconds until a request may be tried; 0.0 when one may now."""
        waits = [
            begun + self.rest_s - now_s for begun in (self._opened_s, self._trial_s) if begun is not None
        ]
        return max(0.0, *waits) if self._opened_s is not None else 0.0

    def succeeded(self) -> None:
        """A request was answered: closed."""
        self._in_a_row = 0
        self._opened_s = self._trial_s = None

    def failed(self, now_s: float) -> bool:
        """A request failed. True when this opened it, which is worth a line in the log.

        The failure of a trial opens it anew. Failures of requests that were under way when it opened change nothing.
        """
        state = self.state(now_s)
        if state == "open":
            return False
        self._in_a_row += 1
        self._trial_s = None
        if state == "closed" and self._in_a_row < self.failures:
            return False
        self._opened_s = now_s
        return True

    def gave_up(self) -> None:
        """A request that was let through has no outcome: another may try."""
        self._trial_s = None
