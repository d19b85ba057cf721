"""A hundred calls through the whole application, half of them killed, leave nothing behind. ``make soak``: a thousand.

Each is a person who connects, agrees to be heard, says something, reads it as a final, hears the denoised microphone,
and hangs up, or whose network is pulled. Only the recognizer's words are scripted: it runs in a child process, and so
do the people, whose memory is not the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media_server.memory import MemoryKeeper
from tests.support.application import application, steady
from tests.support.people import AT_ONCE, people
from tests.support.webrtc import no_leaked_tasks, only_loopback

__all__ = ["no_leaked_tasks", "only_loopback"]

CALLS = int(os.environ.get("SOAK_CALLS", "100"))
WARM_UP = 50

SETTINGS = {
    "CONSENT_REQUIRED": "1",
    "RESUME_SECS": "1",
    "MAX_SESSIONS": str(2 * AT_ONCE),
    "MAX_QUEUE_WAIT_MS": "100000",
    "MAX_LOOP_LAG_MS": "100000",
    "MAX_SPEECH_LOAD": "100000",
}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def memory() -> int:
    """Resident bytes."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


@contextlib.asynccontextmanager
async def kept() -> AsyncIterator[MemoryKeeper]:
    """As in the server."""
    keeper = MemoryKeeper()
    keeper.start()
    try:
        yield keeper
    finally:
        await keeper.stop()


@pytest.mark.usefixtures("only_loopback", "no_leaked_tasks")
@pytest.mark.timeout(240 + 2 * CALLS)
async def test_calls_leave_no_task_thread_descriptor_or_memory_behind() -> None:
    async with application(steady(), **SETTINGS) as app, kept() as keeper:
        await people(app.url, WARM_UP)

        def level() -> tuple[int, int, int]:
            return len(asyncio.all_tasks()), threading.active_count(), descriptors()

        await asyncio.sleep(0.5)
        keeper.tidy()  # what the server does by itself every few seconds
        resident, before = memory(), level()
        await people(app.url, CALLS)
        deadline = time.monotonic() + 60
        while any(now > then for now, then in zip(level(), before, strict=True)):
            assert time.monotonic() < deadline, f"{level()} where it was {before}"
            await asyncio.sleep(0.1)
        assert len(app.hub) == 0
        ended = app.metrics.registry.get_sample_value("lai_utterances_total", {"outcome": "final"}) or 0
        assert ended >= WARM_UP + CALLS, "every person was heard"
        keeper.tidy()
        grown = memory() - resident
        print(
            f"\n{CALLS} calls: {grown / 1e6:+.1f} MB, tasks, threads and descriptors {level()} after {before}"
        )
        assert grown < 5_000_000, f"{grown / 1e6:.1f} MB more"
