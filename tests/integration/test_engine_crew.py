"""Two hosts of one recognizer on one line, with real children: any of them answers what either was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media_server.engines.base import EngineSpec, RecognizeRequest
from media_server.engines.crew import Crew
from media_server.engines.fleet import Fleet
from media_server.engines.host import Call, EngineHost
from media_server.engines.registry import Plan
from media_server.errors import EngineUnavailable, Superseded
from media_server.metrics import Metrics
from tests.integration.misbehaving_engine import CRASH, SLEEP, window

FACTORY = "tests.integration.misbehaving_engine:MisbehavingEngine"
LONG_MS = 1500


class Pair:
    """``first`` and ``second`` share a line; both are ready unless a setting keeps one from it."""

    def __init__(self) -> None:
        self.crew: Crew[Call] = Crew(8)
        self.hosts: list[EngineHost] = []

    async def start(self, *settings: dict[str, str | int | float | bool | None]) -> tuple[EngineHost, ...]:
        for number, own in enumerate(settings):
            spec = EngineSpec("recognize", f"bad-{number}", FACTORY, {"kind": "recognize", "batch": 4, **own})
            host = EngineHost(spec, metrics=Metrics(), crew=self.crew)
            self.hosts.append(host)
            await host.start()
        return tuple(self.hosts)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    await asyncio.gather(*(host.stop() for host in made.hosts))
    assert asyncio.all_tasks() <= {asyncio.current_task()}


def ask(
    host: EngineHost, value: int, first: int = 0, *, final: bool = True, owner: str = ""
) -> asyncio.Task[str]:
    async def heard() -> str:
        request = RecognizeRequest(window(first, value), final=final)
        answer = await host.recognize(
            request, deadline_s=30, priority="final" if final else "partial", owner=owner or None
        )
        return answer.transcript.text

    return asyncio.create_task(heard())


async def ready(*hosts: EngineHost) -> None:
    for host in hosts:
        await host.wait_ready(60)


async def test_an_idle_host_answers_what_a_busy_one_was_given(pair: Pair) -> None:
    first, second = await pair.start({}, {})
    await ready(first, second)
    busy = ask(first, LONG_MS, SLEEP)
    await asyncio.sleep(0)
    assert await ask(first, 7) == "7"
    assert not busy.done()
    assert await busy == str(LONG_MS)


async def test_a_newer_window_given_to_one_host_replaces_the_older_one_given_to_the_other(pair: Pair) -> None:
    first, second = await pair.start({}, {})
    await ready(first, second)
    busy = [ask(first, LONG_MS, SLEEP), ask(second, LONG_MS, SLEEP)]
    await asyncio.sleep(0)
    older = ask(first, 1, final=False, owner="speaker")
    await asyncio.sleep(0)
    newer = ask(second, 2, final=False, owner="speaker")
    with pytest.raises(Superseded):
        await older
    assert await newer == "2"
    await asyncio.gather(*busy)


async def test_a_final_waits_for_no_partial_while_there_are_two_hosts(pair: Pair) -> None:
    first, second = await pair.start({}, {})
    await ready(first, second)
    slow = ask(first, LONG_MS, SLEEP, final=False, owner="a")
    await asyncio.sleep(0)
    waiting = ask(first, 1, final=False, owner="b")
    await asyncio.sleep(0)
    assert await ask(second, 2) == "2"
    assert not slow.done()
    assert not waiting.done()
    assert (await slow, await waiting) == (str(LONG_MS), "1")


async def test_a_host_that_loads_or_cannot_load_costs_nothing_while_the_other_works(
    pair: Pair, tmp_path: Path
) -> None:
    first, second = await pair.start({"load_s": 60.0}, {})
    await ready(second)
    assert await ask(first, 3) == "3"
    (*_, broken) = await pair.start({"missing": str(tmp_path / "weights")})
    with pytest.raises(EngineUnavailable):
        await broken.wait_ready(60)
    assert await ask(second, 4) == "4"


async def test_a_window_that_was_in_a_child_that_crashed_is_answered_by_whoever_is_there(
    pair: Pair, tmp_path: Path
) -> None:
    once: dict[str, str | int | float | bool | None] = {"once": str(tmp_path / "crashed")}
    first, second = await pair.start(once, once)
    await ready(first, second)
    assert await ask(first, 5, CRASH) == "5"
    assert first.restarts + second.restarts <= 1


async def test_a_caller_that_goes_away_leaves_both_hosts_at_work(pair: Pair) -> None:
    first, second = await pair.start({}, {})
    await ready(first, second)
    busy = ask(first, LONG_MS, SLEEP)
    await asyncio.sleep(0)
    gone = ask(first, LONG_MS, SLEEP)  # the second host works on it
    await asyncio.sleep(0)
    gone.cancel()
    assert await ask(first, 6) == "6"
    assert await busy == str(LONG_MS)


async def test_what_waits_fails_only_when_the_last_host_is_stopped(pair: Pair) -> None:
    first, second = await pair.start({"load_s": 60.0}, {"load_s": 60.0})
    waiting = ask(first, 1)
    await asyncio.sleep(0)
    await first.stop()
    assert not waiting.done()
    await second.stop()
    with pytest.raises(EngineUnavailable):
        await waiting


async def test_a_recognizer_on_a_device_that_does_not_work_gives_way_to_the_same_one_on_another(
    tmp_path: Path,
) -> None:
    broken = EngineSpec(
        "recognize", "on-a-gpu", FACTORY, {"kind": "recognize", "missing": str(tmp_path / "driver")}
    )
    works = EngineSpec("recognize", "on-the-cpu", FACTORY, {"kind": "recognize", "batch": 4})
    fleet = Fleet(Plan(recognize=(broken, works)), Metrics())
    await fleet.start()
    try:
        with pytest.raises(EngineUnavailable):
            await fleet.recognizers[0].wait_ready(60)
        await fleet.recognizers[1].wait_ready(60)
        answer = await fleet.recognize(RecognizeRequest(window(0, 8), final=True), owner="a", deadline_s=30)
        assert answer.transcript.text == "8"
        assert [status.level for status in fleet.statuses()] == ["error", "info"]
    finally:
        await fleet.stop()
