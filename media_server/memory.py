"""Memory goes back to the system after calls have ended, without audio waiting for it.

What belongs to a call refers to itself in circles (a peer connection's parts and the callbacks between them), which
CPython frees when its collector of cycles happens to come by. So sound and text of calls that have ended stay for some
time and pile up, and malloc keeps the room they took for good.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable

from media_server.clock import Clock, monotonic
from media_server.tasks import TaskOwner

LOOK_S = 1.0
USUAL_S = 10.0  # s: how long memory of a call that has ended may stay
MANY = 8  # calls that have ended are not left for that long
USUAL_SHARE = 0.001  # of the event loop's time that this may take
MANY_SHARE = 0.005  # the same while many calls end


def _no_trim(pad: int) -> int:
    return 0


def _find_trim() -> Callable[[int], int]:
    """glibc's ``malloc_trim(3)``; elsewhere the allocator gives memory back by itself, or never."""
    if sys.platform != "linux":
        return _no_trim
    return getattr(ctypes.CDLL(None), "malloc_trim", _no_trim)


class MemoryKeeper:
    """Looks after this process's memory between ``start`` and ``stop``. At most one at a time.

    ``ended`` says how many calls have ended so far.
    """

    def __init__(self, ended: Callable[[], int], clock: Clock = monotonic) -> None:
        self._ended = ended
        self._clock = clock
        self._trim = _find_trim()
        self._tasks = TaskOwner("memory")

    def start(self) -> None:
        """What is there now stays for good and is not looked through any more.

        The collector then takes a few ms with dozens of calls where it would take tens of ms without any: modules,
        classes and functions are most of a server's objects.
        """
        gc.collect()
        gc.freeze()
        self._tasks.start(self._keep(), "keep")

    async def stop(self) -> None:
        await self._tasks.stop()
        gc.unfreeze()

    def tidy(self) -> float:
        """Frees what nothing refers to. Returns the seconds that the event loop stood still for it."""
        begun = self._clock()
        gc.collect()
        self._trim(0)
        return self._clock() - begun

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        tidied, took, seen = loop.time(), 0.0, self._ended()
        while True:
            await asyncio.sleep(LOOK_S)
            many = self._ended() - seen >= MANY
            pause = took / MANY_SHARE if many else max(USUAL_S, took / USUAL_SHARE)
            if loop.time() - tidied >= pause:
                seen = self._ended()
                took = self.tidy()
                tidied = loop.time()
