"""What a call held is given back soon after its end, and the loop is not held up for it."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_server.memory import LOOK_S, MANY, MANY_SHARE, USUAL_S, USUAL_SHARE, MemoryKeeper
from tests.support import virtual_loop

TOOK_S = 0.050


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


def looks(ended: list[float], seconds: float) -> list[float]:
    """When a keeper tidies up, each time taking 50 ms; ``ended``: when calls end."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        asked: list[float] = []

        def clock() -> float:  # read before and after
            asked.append(loop.time())
            return len(asked) * TOOK_S

        keeper = MemoryKeeper(lambda: sum(at <= loop.time() for at in ended), clock)
        keeper.start()
        await asyncio.sleep(seconds)
        await keeper.stop()
        return asked[::2]

    return virtual_loop.run(main)


def test_what_a_call_held_is_gone_within_seconds_of_its_end() -> None:
    async def main() -> tuple[bool, bool]:
        keeper = MemoryKeeper(lambda: 0)
        keeper.start()
        ended = weakref.ref(Circle())
        await asyncio.sleep(USUAL_S - LOOK_S)
        early = ended() is not None
        await asyncio.sleep(2 * LOOK_S)
        await keeper.stop()
        return early, ended() is not None

    assert virtual_loop.run(main) == (True, False)


def test_a_look_that_takes_long_is_followed_by_a_longer_pause() -> None:
    pause = TOOK_S / USUAL_SHARE
    first, second, third = looks([], USUAL_S + 2 * pause + 5 * LOOK_S)
    assert first == pytest.approx(USUAL_S, abs=1.5 * LOOK_S)
    assert second - first == pytest.approx(pause, abs=1.5 * LOOK_S)
    assert third - second == pytest.approx(pause, abs=1.5 * LOOK_S)


def test_many_calls_that_end_are_not_left_for_long() -> None:
    few = [2.1] * (MANY - 1)
    assert looks(few, USUAL_S - LOOK_S) == []
    assert looks([*few, 2.5], USUAL_S - LOOK_S) == [pytest.approx(3 * LOOK_S)]


def test_calls_that_go_on_ending_take_a_bounded_share_of_the_time() -> None:
    times = looks([n / 10 for n in range(1000)], 60.0)
    assert len(times) == pytest.approx(60 * MANY_SHARE / TOOK_S, abs=2)


def test_what_was_there_at_the_start_is_not_looked_through_until_the_end() -> None:
    async def main() -> tuple[int, int]:
        keeper = MemoryKeeper(lambda: 0)
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
    keeper = MemoryKeeper(lambda: 0)
    keeper.tidy()
    before = resident()
    blocks = [(Circle(size), bytes(600)) for _ in range(1000)]
    assert resident() - before > 40_000_000
    still_used = [small for _, small in blocks]
    del blocks
    keeper.tidy()
    assert resident() - before < 10_000_000
    assert len(still_used) == 1000
