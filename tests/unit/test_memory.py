"""What a call held is given back soon after its end, and the loop is not held up for it."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_server.memory import EVERY_S, SHARE, MemoryKeeper
from tests.support import virtual_loop


class Circle:
    """Refers to itself, as a call does."""

    def __init__(self, size: int = 0) -> None:
        self.me = self
        self.sound = bytes(size)


@pytest.fixture(autouse=True)
def collector_that_never_comes() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_what_a_call_held_is_gone_within_seconds_of_its_end() -> None:
    async def main() -> tuple[bool, bool]:
        keeper = MemoryKeeper()
        keeper.start()
        ended = weakref.ref(Circle())
        await asyncio.sleep(EVERY_S - 1)
        early = ended() is not None
        await asyncio.sleep(2)
        await keeper.stop()
        return early, ended() is not None

    assert virtual_loop.run(main) == (True, False)


def test_a_look_that_takes_long_is_followed_by_a_longer_pause() -> None:
    """A clock on which each look takes 50 ms."""
    ticks = iter(range(1000))

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        looks: list[float] = []

        def clock() -> float:
            looks.append(loop.time())
            return next(ticks) * 0.05

        keeper = MemoryKeeper(clock)
        keeper.start()
        await asyncio.sleep(EVERY_S + 2.5 * 0.05 / SHARE)
        await keeper.stop()
        return looks[::2]

    first, *others = virtual_loop.run(main)
    assert first == pytest.approx(EVERY_S)
    assert others == pytest.approx([EVERY_S + 0.05 / SHARE, EVERY_S + 2 * 0.05 / SHARE])


def test_what_was_there_at_the_start_is_not_looked_through_until_the_end() -> None:
    async def main() -> tuple[int, int]:
        keeper = MemoryKeeper()
        keeper.start()
        frozen = gc.get_freeze_count()
        await keeper.stop()
        await keeper.stop()
        return frozen, gc.get_freeze_count()

    frozen, after = asyncio.run(main())
    assert frozen > 1000
    assert after == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what is free between what is used")
def test_room_between_what_is_still_used_goes_back_to_the_system() -> None:
    size = 50_000  # too small for malloc to ask the system for it alone
    keeper = MemoryKeeper()
    keeper.tidy()
    before = resident()
    blocks = [(Circle(size), bytes(600)) for _ in range(1000)]
    assert resident() - before > 40_000_000
    still_used = [small for _, small in blocks]
    del blocks
    keeper.tidy()
    assert resident() - before < 10_000_000
    assert len(still_used) == 1000
