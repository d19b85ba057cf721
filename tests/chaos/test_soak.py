"""A hundred calls, half of them killed, leave nothing behind. ``make soak`` asks for a thousand."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from pathlib import Path

import pytest

from media_server.metrics import Metrics
from media_server.rtc.peer import Peer, RtcConfig
from tests.support.webrtc import Client, Handler, no_leaked_tasks, only_loopback, until

__all__ = ["no_leaked_tasks", "only_loopback"]

CALLS = int(os.environ.get("SOAK_CALLS", "100"))
AT_ONCE = 50  # killed calls that wait to be noticed together

CONFIG = RtcConfig(bind="127.0.0.1", max_half_open=1_000, max_half_open_per_address=1_000)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def memory() -> int:
    """Resident bytes."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


async def one_call(metrics: Metrics, killed: bool) -> None:
    client, handler = Client.make(), Handler()
    peer = await Peer.accept(await client.offer(), handler, CONFIG, metrics, address="127.0.0.1")
    await client.take(peer.answer_sdp)
    await client.connected()
    await until(lambda: len(handler.frames) > 2)
    if killed:
        client.vanish()
        await until(lambda: handler.closed, 15)
    await client.close()
    await until(lambda: handler.closed, 15)
    await peer.close("over")


async def calls(metrics: Metrics, count: int) -> None:
    for _ in range(count // 2):
        await one_call(metrics, killed=False)
    left = count // 2
    while left > 0:
        together = min(AT_ONCE, left)
        await asyncio.gather(*(one_call(metrics, killed=True) for _ in range(together)))
        left -= together


@pytest.mark.usefixtures("only_loopback", "no_leaked_tasks")
@pytest.mark.timeout(60 + CALLS)
async def test_calls_leave_no_task_thread_descriptor_or_memory_behind() -> None:
    metrics = Metrics()
    await calls(metrics, min(CALLS, 2 * AT_ONCE))  # a warm-up with as many at a time
    gc.collect()
    before = (len(asyncio.all_tasks()), threading.active_count(), descriptors())
    resident = memory()
    await calls(metrics, CALLS)

    def level() -> tuple[int, int, int]:
        return len(asyncio.all_tasks()), threading.active_count(), descriptors()

    deadline = time.monotonic() + 60
    while any(now > then for now, then in zip(level(), before, strict=True)):
        assert time.monotonic() < deadline, f"{level()} where it was {before}"
        await asyncio.sleep(0.1)
        gc.collect()
    assert memory() - resident < 5_000_000
