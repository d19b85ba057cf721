"""An engine that waits for somebody else answers several requests beside each other, in a real child process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from media_server.engines.base import EngineKind, EngineSpec, SpeakRequest, TranslateRequest
from media_server.engines.host import EngineHost
from media_server.errors import EngineCrashed, EngineFailed
from media_server.metrics import Metrics

Start = Callable[..., Coroutine[Any, Any, EngineHost]]
FACTORY = "tests.integration.misbehaving_engine:MisbehavingEngine"


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    hosts: list[EngineHost] = []

    async def start(kind: EngineKind = "translate", **settings: Any) -> EngineHost:
        secrets = {"token": settings.pop("token")} if "token" in settings else {}
        spec = EngineSpec(kind, "bad", FACTORY, {"kind": kind, "concurrent": 4, **settings}, secrets)
        host = EngineHost(spec, metrics=Metrics())
        hosts.append(host)
        await host.start()
        await host.wait_ready(20)
        return host

    yield start
    await asyncio.gather(*(host.stop() for host in hosts))


def text(words: str) -> TranslateRequest:
    return TranslateRequest((words,), "en", "es")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what is polled sets no event
            await asyncio.sleep(0.01)


async def test_a_slow_request_holds_up_no_other(start: Start) -> None:
    host = await start()
    slow = asyncio.create_task(host.translate(text("wait 60"), deadline_s=60))
    assert (await host.translate(text("quick"))).texts == ("QUICK",)
    assert not slow.done()
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


async def test_more_requests_than_threads_wait_their_turn(start: Start) -> None:
    host = await start()
    slow = [asyncio.create_task(host.translate(text("wait 60"), deadline_s=60)) for _ in range(4)]
    last = asyncio.create_task(host.translate(text("last"), deadline_s=60))
    await until(lambda: host.waiting == 5)
    assert not last.done()
    slow[0].cancel()
    assert (await last).texts == ("LAST",)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_who_goes_away_ends_the_wait_for_them_at_once(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    host = await start(log=str(log))
    waiting = asyncio.create_task(host.translate(text("wait 600"), deadline_s=600))
    await until(lambda: host.waiting == 1)
    await host.translate(text("quick"))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: host.waiting == 0)
    assert log.read_text() == "withdrawn\n"
    assert host.restarts == 0


async def test_a_failure_and_a_crash_cost_their_request_as_ever(start: Start) -> None:
    host = await start()
    with pytest.raises(EngineFailed, match="words for people"):
        await host.translate(text("raise 1"))
    with pytest.raises(EngineFailed, match="too large"):
        await host.translate(text("huge"))
    with pytest.raises(EngineCrashed):
        await host.translate(text("crash"))
    assert (await host.translate(text("next"))).texts == ("NEXT",)


async def test_texts_are_spoken_beside_each_other_and_can_be_given_up(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    host = await start("speak", log=str(log), concurrent=16)
    async with aclosing(host.speak(SpeakRequest(" ".join("abcdefghijkl"), "en"))) as speech:
        assert (await anext(speech)).text == "a"
        others = [piece.text async for piece in host.speak(SpeakRequest("x y z", "en"))]
        assert others == ["x", "y", "z"]
    await until(lambda: host.waiting == 0)
    assert log.read_text().count("piece") < 12 + 3
    whole = [piece.text async for piece in host.speak(SpeakRequest(" ".join("abcdefgh"), "en"))]
    assert whole == list("abcdefgh")


async def test_a_secret_reaches_the_engine_and_is_seen_nowhere(start: Start) -> None:
    host = await start(token="sk-very-secret")
    assert (await host.translate(text("token"))).texts == ("14",)
    assert "very-secret" not in repr(host.spec)
    process = Path(f"/proc/{host.pid}")
    assert b"very-secret" not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
