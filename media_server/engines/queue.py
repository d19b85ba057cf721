"""What waits for an engine: finals first in order of age, partials behind them, each owner's newest only, and
last what nobody listens to live.

Bound and drop rule: a newer partial of an owner takes the place of the waiting older one (its place in line,
too: who asks often is not put off for ever); a final of an owner removes the owner's waiting partial; when
``bound`` live entries wait, the oldest partial goes. Finals and background work are never dropped, a new one is
refused when ``bound`` of its class wait. What its asker no longer wants leaves the line before it is worked on.
Pure: no clock, no tasks; the caller tells those whose entries fall out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Priority = Literal["final", "partial", "background"]


class QueueFull(Exception):
    """As many entries of a class wait as the queue takes."""


@dataclass(eq=False, slots=True)
class Place:
    """One entry; ``alone`` keeps it out of batches (it was in a child that crashed)."""

    priority: Priority
    owner: str | None
    order: int = 0
    """Set by the queue: lower is served first within its priority."""
    alone: bool = field(default=False, kw_only=True)
    wanted: Callable[[], bool] | None = field(default=None, kw_only=True)
    """Whether the answer is still of use; None: always."""


class WaitingLine[P: Place]:
    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._finals: list[P] = []
        self._partials: list[P] = []
        self._background: list[P] = []
        self._orders = itertools.count(1)

    def __len__(self) -> int:
        return len(self._finals) + len(self._partials) + len(self._background)

    def _of(self, priority: Priority) -> list[P]:
        return {"final": self._finals, "partial": self._partials, "background": self._background}[priority]

    @property
    def has_finals(self) -> bool:
        return bool(self._finals)

    @property
    def partials(self) -> Sequence[P]:
        """In the order in which they will be taken."""
        return self._partials

    def put(self, entry: P) -> tuple[list[P], list[P]]:
        """Adds an entry; returns those whose place it took and those that the bound cost (it may be one)."""
        if entry.priority != "partial" and len(self._of(entry.priority)) >= self._bound:
            raise QueueFull(f"{self._bound} requests wait")
        entry.order = next(self._orders)
        if entry.priority == "background":
            self._insert(entry)
            return [], []
        replaced = [waiting for waiting in self._partials if entry.owner and waiting.owner == entry.owner]
        for waiting in replaced:
            self._partials.remove(waiting)
            if entry.priority == "partial":
                entry.order = waiting.order
        self._insert(entry)
        live = len(self._finals) + len(self._partials)
        dropped = [self._partials.pop(0)] if live > self._bound and self._partials else []
        return replaced, dropped

    def put_back(self, entry: P) -> None:
        """Takes an entry again that had been taken out, at its old place."""
        self._insert(entry)

    def take(self, most: int, size: Callable[[P], int] | None = None, bound: int = 0) -> list[P]:
        """Up to ``most`` entries of one priority, the oldest of the first class that has any.

        With ``size`` those come along with the oldest that are most like it, else those that follow it; with ``bound``
        only as many as keep their number times the largest size within it.
        """
        line = self._finals or self._partials or self._background
        if not line:
            return []
        oldest, company = line[0], list(itertools.takewhile(lambda entry: not entry.alone, line[1:]))
        if oldest.alone:
            company = []
        elif size is not None:
            company.sort(key=lambda entry: abs(size(entry) - size(oldest)))
        taken = [oldest]
        for entry in company[: most - 1]:
            if size is not None and 0 < bound < (len(taken) + 1) * max(map(size, (*taken, entry))):
                break
            taken.append(entry)
        taken.sort(key=lambda entry: entry.order)
        for entry in taken:
            line.remove(entry)
        return taken

    def remove(self, entry: P) -> bool:
        """Takes out an entry whose caller has gone; False when it does not wait here."""
        line = self._of(entry.priority)
        if entry not in line:
            return False
        line.remove(entry)
        return True

    def unwanted(self) -> list[P]:
        """Takes out the entries whose answers are of no use any more."""
        gone: list[P] = []
        for line in (self._finals, self._partials, self._background):
            found = [entry for entry in line if entry.wanted is not None and not entry.wanted()]
            for entry in found:
                line.remove(entry)
            gone += found
        return gone

    def clear(self) -> list[P]:
        everything = [*self._finals, *self._partials, *self._background]
        for line in (self._finals, self._partials, self._background):
            line.clear()
        return everything

    def _insert(self, entry: P) -> None:
        line = self._of(entry.priority)
        at = len(line)
        while at and line[at - 1].order > entry.order:
            at -= 1
        line.insert(at, entry)
