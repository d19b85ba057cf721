"""One timer of 20 ms for every track of the process.

Ticks lie on a grid. A tick that comes late is made up for by the next ones, two frames at a time, so that a
track keeps its schedule without a burst; what is more than 100 ms behind is given up and the grid moved.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from media_server.audio.frames import FRAME_MS
from media_server.clock import Clock, monotonic

logger = logging.getLogger(__name__)

STEP = FRAME_MS / 1000  # s
MAX_BEHIND = 5  # ticks that are made up for
MAX_AT_ONCE = 2  # ticks in one go
LATE = 0.010  # s behind the grid that count as late

Tick = Callable[[float], bool]
"""Called with the time; False takes it off the pacer."""


@dataclass(slots=True)
class PacerStats:
    ticks: int = 0
    late: int = 0
    """Ticks more than 10 ms behind the grid."""
    skipped: int = 0
    """Ticks that were given up because the process stood still."""
    failures: int = 0
    worst: float = 0.0
    """s"""


class Pacer:
    """Runs while it has something to tick. ``add`` is idempotent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock = monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._ticks: dict[Tick, None] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.observe: Callable[[float], None] | None = None
        """Told how many milliseconds late each tick is."""
        self.stats = PacerStats()

    def __len__(self) -> int:
        return len(self._ticks)

    def add(self, tick: Tick) -> None:
        """``tick`` is called every 20 ms from the next point of the grid on."""
        self._ticks[tick] = None
        if self._handle is None:
            self._due = self._clock() + STEP
            self._handle = self._loop.call_later(STEP, self._run)

    def remove(self, tick: Tick) -> None:
        self._ticks.pop(tick, None)
        if not self._ticks and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self) -> None:
        now = self._clock()
        behind = now - self._due
        stats = self.stats
        stats.ticks += 1
        if self.observe is not None:
            self.observe(max(0.0, behind) * 1000)
        if behind > LATE:
            stats.late += 1
            stats.worst = max(stats.worst, behind)
        due = int(max(0.0, behind) / STEP) + 1
        if due > MAX_BEHIND:
            stats.skipped += due - MAX_BEHIND
            self._due += (due - MAX_BEHIND) * STEP
            due = MAX_BEHIND
        for _ in range(min(due, MAX_AT_ONCE)):
            for tick in list(self._ticks):
                if not self._call(tick, now):
                    self._ticks.pop(tick, None)
            self._due += STEP
        if self._ticks:
            self._handle = self._loop.call_later(max(STEP / 2, self._due - self._clock()), self._run)
        else:
            self._handle = None

    def _call(self, tick: Tick, now: float) -> bool:
        try:
            return tick(now)
        except Exception:  # one track's fault must not silence the others; it stays on the pacer
            self.stats.failures += 1
            if self.stats.failures == 1:
                logger.exception("a tick failed; later failures are only counted")
            return True


_pacers: WeakKeyDictionary[asyncio.AbstractEventLoop, Pacer] = WeakKeyDictionary()


def shared_pacer() -> Pacer:
    """The pacer of the running loop."""
    loop = asyncio.get_running_loop()
    pacer = _pacers.get(loop)
    if pacer is None:
        pacer = _pacers[loop] = Pacer(loop)
    return pacer
