"""Tasks with one owner end when it stops, and it always comes to an end itself."""

from __future__ import annotations

import asyncio

from media_server.tasks import TaskOwner


async def nothing() -> None:
    """Ends at its first step."""


async def for_ever(seen: list[str]) -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        seen.append("ended")


async def test_stop_returns_where_a_task_has_ended_a_moment_ago() -> None:
    """Ended, and the loop has not told the owner yet."""
    owner = TaskOwner("test")
    task = owner.start(nothing(), "nothing")
    assert task is not None
    told: list[bool] = []

    async def stopper() -> None:  # runs in the step of the loop in which the task ends, right behind it
        told.append(task.done() and len(owner) == 1)
        await owner.stop()

    await asyncio.create_task(stopper())
    assert told == [True]
    assert len(owner) == 0


async def test_stop_ends_what_runs_and_waits_for_it() -> None:
    owner = TaskOwner("test")
    seen: list[str] = []
    owner.start(for_ever(seen), "waits")
    await asyncio.sleep(0)
    await owner.stop()
    assert seen == ["ended"]
    assert owner.stopped
    assert owner.start(nothing(), "late") is None
    await owner.stop()


async def test_a_task_may_stop_its_owner() -> None:
    owner = TaskOwner("test")
    seen: list[str] = []
    owner.start(for_ever(seen), "waits")
    await asyncio.sleep(0)
    task = owner.start(owner.stop(), "stops")
    assert task is not None
    await task
    assert seen == ["ended"]


async def test_a_task_that_raises_is_counted_and_the_others_go_on() -> None:
    async def fails() -> None:
        raise OSError("the disk is full")

    owner = TaskOwner("test")
    seen: list[str] = []
    owner.start(for_ever(seen), "waits")
    owner.start(fails(), "fails")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert owner.failures == 1
    assert len(owner) == 1
    assert not seen
    await owner.stop()
