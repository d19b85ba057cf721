"""The life of an engine's child: starting, failing, dying, being killed, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from media_server import config
from media_server.engines import keeper
from media_server.engines.base import EngineKind, EngineSpec, RecognizeRequest, TranslateRequest
from media_server.engines.host import EngineHost
from media_server.errors import EngineUnavailable
from media_server.metrics import Metrics
from tests.integration.misbehaving_engine import window

Start = Callable[..., Coroutine[Any, Any, EngineHost]]
FACTORY = "tests.integration.misbehaving_engine:MisbehavingEngine"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts hosts of the misbehaving engine and stops them at the end; no task may be left."""
    hosts: list[EngineHost] = []

    async def start(kind: EngineKind = "translate", **settings: Any) -> EngineHost:
        spec = EngineSpec(kind, "bad", FACTORY, {"kind": kind, **settings})
        hosts.append(EngineHost(spec, metrics=Metrics()))
        await hosts[-1].start()
        return hosts[-1]

    yield start
    await asyncio.gather(*(host.stop() for host in hosts))
    assert asyncio.all_tasks() <= {asyncio.current_task()}


def text(words: str) -> TranslateRequest:
    return TranslateRequest((words,), "en", "es")


async def until(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # what is polled sets no event
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children() -> set[int]:
    """Every child of this process, zombies included."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        found |= set(map(int, (thread / "children").read_text().split()))
    return found


async def test_an_engine_that_says_why_it_cannot_load_is_tried_again_later(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "RETRY_S", 0.5)
    weights = tmp_path / "weights"
    host = await start(missing=str(weights))
    with pytest.raises(EngineUnavailable, match="the weights are not here"):
        await host.translate(text("hello"), deadline_s=10)
    assert (host.state, host.reason) == ("failed", "the weights are not here")
    with pytest.raises(EngineUnavailable):
        await host.wait_ready(10)
    weights.touch()
    await until(lambda: host.state == "ready")
    assert host.reason == ""
    assert (await host.translate(text("hello"))).texts == ("HELLO",)


async def test_an_engine_that_cannot_be_imported_or_made_fails_with_words(start: Start) -> None:
    host = await start(unknown_setting=1)
    with pytest.raises(EngineUnavailable, match="unknown_setting"):
        await host.wait_ready(10)
    missing = EngineHost(EngineSpec("turn", "gone", "no.such.module:Engine"), metrics=Metrics())
    await missing.start()
    with pytest.raises(EngineUnavailable, match="no"):
        await missing.wait_ready(10)
    await missing.stop()


async def test_a_child_that_dies_while_loading_is_started_again_after_growing_pauses(
    start: Start, tmp_path: Path
) -> None:
    started = time.monotonic()
    host = await start(die_loading=3, once=str(tmp_path / "lives"))
    await host.wait_ready(20)
    assert host.restarts == 3
    assert time.monotonic() - started > 0.2 + 0.4 + 0.8


async def test_states_are_told_as_they_change(tmp_path: Path) -> None:
    told: list[str] = []
    host = EngineHost(
        EngineSpec("translate", "bad", FACTORY, {"kind": "translate"}),
        metrics=Metrics(),
        on_state=lambda host: told.append(host.state),
    )
    await host.start()
    await host.wait_ready(10)
    assert host.pid is not None
    os.kill(host.pid, signal.SIGKILL)
    await until(lambda: host.state == "restarting")
    assert host.reason == "ended by signal 9"
    await until(lambda: host.state == "ready")
    await host.stop()
    assert told == ["ready", "restarting", "ready", "stopped"]


@linux_only
async def test_killed_thirty_times_under_load_it_loses_no_request_and_leaves_nothing_behind(
    start: Start,
) -> None:
    host = await start("recognize", batch=4)
    await host.wait_ready(10)
    answers: list[int] = []
    ending = asyncio.Event()

    async def call(number: int) -> None:
        asked = 0
        while not ending.is_set():
            request = RecognizeRequest(window(0, asked % 1000), final=True)
            result = await host.recognize(request, owner=str(number), deadline_s=20)
            assert result.transcript.text == str(asked % 1000)
            asked += 1
            answers.append(number)

    def fds() -> int:
        return len(os.listdir("/proc/self/fd"))

    calls = [asyncio.create_task(call(number)) for number in range(4)]
    try:
        for kill in range(31):
            seen = len(answers)
            await until(lambda seen=seen: len(answers) >= seen + 20)  # type: ignore[misc]
            if kill == 1:
                before = fds()
            assert host.pid is not None
            os.kill(host.pid, signal.SIGKILL)
        seen = len(answers)
        await until(lambda: len(answers) >= seen + 20)
        assert fds() == before
        assert children() == {host.pid}
    finally:
        ending.set()
        await asyncio.gather(*calls)
    assert host.restarts == 31
    pid = host.pid
    await host.stop()
    assert pid not in children()


@linux_only
async def test_a_child_that_answers_no_ping_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "PONG_S", 1.2)
    host = await start()
    await host.wait_ready(10)
    request = asyncio.create_task(host.translate(text("hang"), deadline_s=60))
    await until(lambda: host.restarts == 1)
    request.cancel()
    await host.wait_ready(10)


@linux_only
async def test_a_child_that_stands_still_is_replaced_and_its_request_is_answered(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "PONG_S", 1000.0)
    host = await start()
    await host.wait_ready(10)
    assert host.pid is not None
    os.kill(host.pid, signal.SIGSTOP)
    answer = await host.translate(text("hello"), deadline_s=60)
    assert answer.texts
    assert host.restarts == 1


@linux_only
async def test_a_killed_server_leaves_no_child(tmp_path: Path, project_root: Path) -> None:
    """Neither an idle child nor one whose engine holds the interpreter lock."""
    script = textwrap.dedent(f"""
        import asyncio
        from media_server.engines.base import EngineSpec, TranslateRequest
        from media_server.engines.host import EngineHost
        from media_server.metrics import Metrics

        async def main():
            hosts = [
                EngineHost(EngineSpec("translate", "bad", "{FACTORY}", {{"kind": "translate"}}), metrics=Metrics())
                for _ in range(2)
            ]
            for host in hosts:
                await host.start()
                await host.wait_ready(10)
            hang = asyncio.create_task(hosts[0].translate(TranslateRequest(("hang",), "en", "es"), deadline_s=60))
            await asyncio.sleep(0.1)
            print(*(host.pid for host in hosts), flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
    """)
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=project_root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdout is not None
    pids = [int(pid) for pid in (await server.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    server.kill()
    await server.wait()
    await until(lambda: not any(map(alive, pids)), within_s=5)


@linux_only
async def test_the_child_is_niced_and_inherits_no_secrets(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    host = await start()
    await host.wait_ready(10)
    assert host.pid is not None
    environment = environment_of(host.pid)
    assert b"sk-secret" not in environment
    assert b"OMP_NUM_THREADS=1" in environment
    assert os.getpriority(os.PRIO_PROCESS, host.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)


async def test_its_cpu_time_is_counted_over_restarts(start: Start) -> None:
    host = await start()
    assert host.cpu_seconds() is None
    await host.wait_ready(10)
    await host.ping()
    first = host.cpu_seconds()
    assert first is not None
    assert 0 < first < 5
    assert host.pid is not None
    os.kill(host.pid, signal.SIGKILL)
    await until(lambda: host.restarts == 1 and host.state == "ready")
    await host.ping()
    second = host.cpu_seconds()
    assert second is not None
    assert second > first * 1.2


def test_it_works_on_uvloop_too() -> None:
    async def main() -> None:
        host = EngineHost(EngineSpec("translate", "bad", FACTORY, {"kind": "translate"}), metrics=Metrics())
        await host.start()
        assert (await host.translate(text("hello"))).texts == ("HELLO",)
        assert host.pid is not None
        os.kill(host.pid, signal.SIGKILL)
        assert (await host.translate(text("again"))).texts == ("AGAIN",)
        await host.stop()

    uvloop.run(main())


async def test_whisper_tiny_is_back_within_three_seconds_of_a_crash() -> None:
    folder = config.load(os.environ).models_path / "whisper-tiny.en"
    spec = EngineSpec(
        "recognize",
        "faster-whisper",
        "media_server.engines.faster_whisper:FasterWhisperRecognizer",
        {"model_dir": str(folder)},
    )
    host = EngineHost(spec, metrics=Metrics())
    await host.start()
    try:
        await host.wait_ready(30)
        assert host.pid is not None
        os.kill(host.pid, signal.SIGKILL)
        crashed = time.monotonic()
        await until(lambda: host.restarts == 1 and host.state == "ready")
        assert time.monotonic() - crashed <= 3.0
    finally:
        await host.stop()
