"""Hosts of one kind of engine that work off one waiting line, and when a batch is worth waiting for.

Whoever is free takes what is next, so a speaker's newer window finds the older one wherever it waits, and nothing
waits behind one host while another is idle. Windows are gathered only while more are about to come: a partial is
held back for ``gather_s`` at the most, only if another speaker's next one is due by then (speakers ask at a steady
cadence), and never while a final waits. Of several hosts the last free one is left to finals while another works on
partials: those wait for company meanwhile, finals wait for nobody. Where more than two batches wait, nobody is idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from media_server.engines.queue import Place, WaitingLine

STEADY_S = 2.0  # who has not asked for so long is not speaking
EARLY_S = 0.2  # requests that follow each other sooner say nothing about a cadence
LATE_S = 0.02  # behind its time a request is still expected so long


class Arrivals:
    """When each owner's next request is due, by the pace of those before. Pure: time is an argument."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[float, float]] = {}
        """Owner -> when it asked last, and when it will ask next (0: not known)."""

    def asked(self, owner: str, now: float) -> None:
        last, _ = self._asked.pop(owner, (0.0, 0.0))
        pace = now - last
        self._asked[owner] = (now, now + pace if EARLY_S <= pace <= STEADY_S else 0.0)
        while (oldest := next(iter(self._asked))) != owner and now - self._asked[oldest][0] > STEADY_S:
            del self._asked[oldest]

    def asking(self, now: float) -> int:
        """How many owners have asked lately."""
        return sum(now - last <= STEADY_S for last, _ in self._asked.values())

    def due(self, now: float, by: float, but: Collection[str | None]) -> float | None:
        """When the next request of an owner that is not among ``but`` is due, if it is by then."""
        times = [
            due for owner, (_, due) in self._asked.items() if owner not in but and now - LATE_S < due <= by
        ]
        return min(times, default=None)


class Taker(Protocol):
    """A host, as far as the crew knows it."""

    @property
    def usable(self) -> bool:
        """It works, or will again."""
        ...

    @property
    def free(self) -> bool:
        """It works and has nothing to do."""
        ...

    @property
    def on_partials(self) -> bool:
        """It works on partials."""
        ...

    def pump(self) -> None:
        """Takes what waits as far as it may."""
        ...


class Crew[P: Place]:
    """The line and those who take from it. ``gather_s`` 0 never waits for more."""

    def __init__(self, bound: int, gather_s: float = 0.0) -> None:
        self.line: WaitingLine[P] = WaitingLine(bound)
        self.name = ""
        """Of the line, in metrics: that of the first who joined."""
        self._takers: list[Taker] = []
        self._gather_s = gather_s
        self._arrivals = Arrivals()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, taker: Taker, name: str = "") -> None:
        self.name = self.name or name
        self._takers.append(taker)

    @property
    def usable(self) -> bool:
        """Whether anybody is left to work off the line."""
        return any(taker.usable for taker in self._takers)

    def put(self, entry: P, now: float) -> tuple[list[P], list[P]]:
        """As ``WaitingLine.put``."""
        if entry.priority == "partial" and entry.owner is not None:
            self._arrivals.asked(entry.owner, now)
        return self.line.put(entry)

    def crowded(self, now: float) -> bool:
        """Whether more owners ask for partials than there are takers."""
        return self._arrivals.asking(now) > sum(taker.usable for taker in self._takers)

    def pump(self) -> None:
        for taker in self._takers:
            if not len(self.line):
                return
            taker.pump()

    def only_finals(self, taker: Taker, most: int) -> bool:
        """Whether ``taker`` should leave the partials that wait to others; not if more than two batches do."""
        others = [other for other in self._takers if other is not taker]
        return (
            not self.line.has_finals
            and 0 < len(self.line.partials) <= 2 * most
            and any(other.on_partials for other in others)
            and not any(other.free for other in others)
        )

    def gathers(self, most: int, since: float, now: float) -> bool:
        """Whether the partials that wait, the oldest ``since`` then, should wait for company; pumps again later."""
        waiting = self.line.partials
        if not self._gather_s or self.line.has_finals or not 0 < len(waiting) < most:
            return False
        due = self._arrivals.due(now, since + self._gather_s, {entry.owner for entry in waiting})
        until = now if due is None else min(max(due, now) + LATE_S, since + self._gather_s)
        if until <= now:
            return False
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(until - now, self.pump)
        return True

    def stop(self) -> None:
        """Forgets the timer. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
