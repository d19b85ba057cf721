"""The engine host with a real child process and an engine that misbehaves on request: what callers get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from media_server.engines.base import EngineKind, EngineSpec, RecognizeRequest, SpeakRequest, TranslateRequest
from media_server.engines.host import EngineHost
from media_server.engines.messages import AHEAD
from media_server.errors import (
    EngineCrashed,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    Superseded,
)
from media_server.metrics import Metrics
from tests.integration.misbehaving_engine import SLEEP, window

Start = Callable[..., Coroutine[Any, Any, EngineHost]]
FACTORY = "tests.integration.misbehaving_engine:MisbehavingEngine"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def start(metrics: Metrics) -> AsyncIterator[Start]:
    """Starts hosts of the misbehaving engine and stops them at the end; no task may be left."""
    hosts: list[EngineHost] = []

    async def start(kind: EngineKind = "translate", *, queue_bound: int = 64, **settings: Any) -> EngineHost:
        spec = EngineSpec(kind, "bad", FACTORY, {"kind": kind, **settings})
        host = EngineHost(spec, metrics=metrics, queue_bound=queue_bound)
        hosts.append(host)
        await host.start()
        return host

    yield start
    await asyncio.gather(*(host.stop() for host in hosts))
    assert asyncio.all_tasks() <= {asyncio.current_task()}


def text(words: str) -> TranslateRequest:
    return TranslateRequest((words,), "en", "es")


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # what is polled sets no event
            await asyncio.sleep(0.01)


async def heard(host: EngineHost, value: int, first: int = 0, **how: Any) -> str:
    return (await host.recognize(RecognizeRequest(window(first, value)), **how)).transcript.text


def outcomes(metrics: Metrics, outcome: str) -> float:
    value = metrics.registry.get_sample_value(
        "lai_engine_requests_total", {"stage": "translate", "engine": "bad", "outcome": outcome}
    )
    return value or 0.0


async def test_a_request_made_while_the_engine_loads_is_answered_when_it_has(
    start: Start, metrics: Metrics
) -> None:
    host = await start(load_s=0.3)
    assert (host.state, host.capabilities) == ("loading", None)
    assert (await host.translate(text("hello"))).texts == ("HELLO",)
    assert host.state == "ready"
    assert host.capabilities is not None
    assert host.capabilities.name == "misbehaving"
    assert outcomes(metrics, "ok") == 1


async def test_a_deadline_that_passes_while_loading_says_unavailable(start: Start) -> None:
    host = await start(load_s=5)
    with pytest.raises(EngineUnavailable, match="loading"):
        await host.translate(text("hello"), deadline_s=0.05)
    with pytest.raises(EngineTimeout, match="not ready"):
        await host.wait_ready(0.05)


async def test_a_request_that_crashes_the_child_once_is_replayed(
    start: Start, tmp_path: Path, metrics: Metrics
) -> None:
    host = await start(once=str(tmp_path / "crashed"))
    assert (await host.translate(text("crash"))).texts == ("CRASH",)
    assert host.restarts == 1
    assert outcomes(metrics, "crashed") == 0


async def test_a_request_that_crashes_the_child_twice_fails_alone(start: Start, metrics: Metrics) -> None:
    host = await start()
    poison = asyncio.create_task(host.translate(text("crash")))
    others = [asyncio.create_task(host.translate(text(f"word {n}"))) for n in range(5)]
    with pytest.raises(EngineCrashed):
        await poison
    assert [(await other).texts[0] for other in others] == [f"WORD {n}" for n in range(5)]
    assert host.restarts == 2
    assert outcomes(metrics, "crashed") == 1


async def test_a_batch_that_crashes_the_child_is_replayed_one_by_one(start: Start) -> None:
    host = await start("recognize", batch=4)
    blocker = asyncio.create_task(heard(host, 200, SLEEP))
    tasks = [asyncio.create_task(heard(host, n, 1001 if n == 2 else 0)) for n in range(4)]
    assert await blocker == "200"
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result if isinstance(result, str) else type(result) for result in results] == [
        "0", "1", EngineCrashed, "3",
    ]  # fmt: skip


async def test_an_engines_words_reach_the_caller_and_a_programming_errors_text_does_not(start: Start) -> None:
    host = await start()
    with pytest.raises(EngineFailed, match="words for people"):
        await host.translate(text("raise 1"))
    with pytest.raises(EngineFailed, match=r"ValueError at misbehaving_engine\.py") as caught:
        await host.translate(text("raise"))
    assert "secret" not in str(caught.value)
    assert host.restarts == 0


async def test_one_bad_window_of_a_batch_fails_alone(start: Start) -> None:
    host = await start("recognize", batch=4)
    blocker = asyncio.create_task(heard(host, 100, SLEEP))
    good, bad = asyncio.create_task(heard(host, 1)), asyncio.create_task(heard(host, 2, 1004))
    assert (await blocker, await good) == ("100", "1")
    with pytest.raises(EngineFailed):
        await bad


async def test_an_answer_too_large_for_the_wire_fails_its_request_only(start: Start) -> None:
    host = await start()
    with pytest.raises(EngineFailed, match="too large"):
        await host.translate(text("huge"))
    with pytest.raises(EngineFailed, match="cannot be sent"):
        await host.translate(text("x" * 2_000_000))
    assert (await host.translate(text("next"))).texts == ("NEXT",)
    assert host.restarts == 0


async def test_a_late_answer_times_out_and_the_child_goes_on(start: Start, metrics: Metrics) -> None:
    host = await start()
    await host.wait_ready(10)
    with pytest.raises(EngineTimeout):
        await host.translate(text("sleep 0.4"), deadline_s=0.1)
    assert (await host.translate(text("next"))).texts == ("NEXT",)
    assert host.restarts == 0
    assert outcomes(metrics, "timeout") == 1


async def test_a_child_that_hangs_is_killed_and_others_get_their_answers(start: Start) -> None:
    host = await start()
    await host.wait_ready(10)
    hung = asyncio.create_task(host.translate(text("hang"), deadline_s=1.0))
    other = asyncio.create_task(host.translate(text("other"), deadline_s=10.0))
    with pytest.raises(EngineTimeout):
        await hung
    assert (await other).texts == ("OTHER",)
    assert host.restarts == 1


async def test_finals_go_first_in_order_of_age_and_partials_behind_them(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    host = await start("recognize", log=str(log))
    await host.wait_ready(10)
    tasks = [asyncio.create_task(heard(host, 150, SLEEP, owner="z"))]
    for number, priority in ((1, "partial"), (2, "final"), (3, "partial"), (4, "final")):
        tasks.append(asyncio.create_task(heard(host, number, priority=priority, owner=f"owner {number}")))
    await asyncio.gather(*tasks)
    assert log.read_text().split("\n")[:5] == ["batch 150", "batch 2", "batch 4", "batch 1", "batch 3"]


async def test_waiting_windows_of_one_priority_are_recognized_together(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    host = await start("recognize", batch=3, log=str(log))
    await host.wait_ready(10)
    tasks = [asyncio.create_task(heard(host, 150, SLEEP))]
    tasks += [asyncio.create_task(heard(host, n, priority="final")) for n in range(4)]
    tasks += [asyncio.create_task(heard(host, 9, priority="partial", owner="p"))]
    await asyncio.gather(*tasks)
    assert log.read_text().split("\n")[:4] == ["batch 150", "batch 0 1 2", "batch 3", "batch 9"]


async def test_a_newer_partial_and_a_final_take_the_place_of_a_waiting_partial(start: Start) -> None:
    host = await start("recognize")
    await host.wait_ready(10)
    blocker = asyncio.create_task(heard(host, 200, SLEEP))
    old = asyncio.create_task(heard(host, 1, priority="partial", owner="a"))
    await asyncio.sleep(0)
    newer = asyncio.create_task(heard(host, 2, priority="partial", owner="a"))
    with pytest.raises(Superseded):
        await old
    final = asyncio.create_task(heard(host, 3, priority="final", owner="a"))
    with pytest.raises(Superseded):
        await newer
    assert (await blocker, await final) == ("200", "3")


async def test_what_is_no_longer_wanted_when_its_turn_comes_is_not_worked_on(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    host = await start("recognize", log=str(log))
    await host.wait_ready(10)
    wanted = True
    blocker = asyncio.create_task(heard(host, 150, SLEEP))
    ahead = asyncio.create_task(heard(host, 1, owner="a", wanted=lambda: wanted))
    other = asyncio.create_task(heard(host, 2, owner="b", wanted=lambda: True))
    await asyncio.sleep(0)
    wanted = False
    with pytest.raises(Superseded):
        await ahead
    assert (await blocker, await other) == ("150", "2")
    assert log.read_text().split() == ["batch", "150", "batch", "2"]


async def test_a_full_queue_drops_the_oldest_partial_and_refuses_finals(
    start: Start, metrics: Metrics
) -> None:
    host = await start("recognize", queue_bound=2)
    await host.wait_ready(10)
    blocker = asyncio.create_task(heard(host, 300, SLEEP))
    partials = [asyncio.create_task(heard(host, n, priority="partial", owner=str(n))) for n in range(2)]
    finals = [asyncio.create_task(heard(host, 10 + n)) for n in range(2)]
    for partial in partials:
        with pytest.raises(Superseded):
            await partial
    with pytest.raises(EngineUnavailable, match="busy"):
        await heard(host, 12)
    assert await asyncio.gather(blocker, *finals) == ["300", "10", "11"]
    assert metrics.registry.get_sample_value("lai_drops_total", {"queue": "recognize.bad"}) == 2


async def test_a_cancelled_request_leaves_the_queue(start: Start, tmp_path: Path, metrics: Metrics) -> None:
    log = tmp_path / "log"
    host = await start("recognize", log=str(log))
    await host.wait_ready(10)
    blocker = asyncio.create_task(heard(host, 150, SLEEP))
    doomed = asyncio.create_task(heard(host, 7))
    await asyncio.sleep(0)
    assert host.waiting == 2
    doomed.cancel()
    await asyncio.gather(doomed, return_exceptions=True)
    assert host.waiting == 1
    await blocker
    assert await heard(host, 8) == "8"
    assert log.read_text().split("\n")[:2] == ["batch 150", "batch 8"]
    assert metrics.registry.get_sample_value("lai_queue_depth", {"queue": "recognize.bad"}) == 0


async def test_speech_comes_in_pieces_and_ends(start: Start) -> None:
    host = await start("speak")
    pieces = [piece async for piece in host.speak(SpeakRequest("a b c d e f g h", "en"))]
    assert [piece.text for piece in pieces] == list("abcdefgh")
    assert [int(piece.pcm[0]) for piece in pieces] == list(range(8))
    assert [piece async for piece in host.speak(SpeakRequest("nothing", "en"))] == []


async def test_closing_the_iterator_stops_the_voice_and_no_listener_makes_it_run_ahead(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    host = await start("speak", log=str(log))
    async with aclosing(host.speak(SpeakRequest(" ".join("abcdefghijklmnop"), "en"))) as speech:
        await anext(speech)
        await until(lambda: len(log.read_text().split()) >= 2 * (AHEAD + 1))
        others = [piece async for piece in host.speak(SpeakRequest("x y", "en"))]
        assert len(others) == 2
    await until(lambda: host.waiting == 0)
    await host.stop()
    made = log.read_text().count("piece")
    assert made == AHEAD + 1 + 2


async def test_speech_lost_in_a_crash_is_made_again_unless_some_was_heard(
    start: Start, tmp_path: Path
) -> None:
    host = await start("speak", once=str(tmp_path / "crashed"))
    assert len([piece async for piece in host.speak(SpeakRequest("crash b", "en"))]) == 2
    assert host.restarts == 1

    host = await start("speak")
    heard_pieces = []
    with pytest.raises(EngineCrashed):
        async for piece in host.speak(SpeakRequest("a b c d e crash", "en")):
            heard_pieces.append(piece.text)
    assert heard_pieces == list("abcde")


async def test_a_voice_that_hangs_in_mid_text_times_out(start: Start) -> None:
    host = await start("speak")
    await host.wait_ready(10)
    with pytest.raises(EngineTimeout):
        async for _ in host.speak(SpeakRequest("a hang", "en"), deadline_s=0.3):
            pass
    pieces = [piece.text async for piece in host.speak(SpeakRequest("b", "en"))]
    assert pieces == ["b"]
    assert host.restarts == 1


async def test_stopping_tells_those_who_wait_and_later_callers(start: Start) -> None:
    host = await start()
    await host.wait_ready(10)
    waiting = asyncio.create_task(host.translate(text("sleep 5")))
    await asyncio.sleep(0)
    await host.stop()
    await host.stop()
    with pytest.raises(EngineUnavailable):
        await waiting
    with pytest.raises(EngineUnavailable):
        await host.translate(text("hello"))
    assert (host.state, host.pid) == ("stopped", None)


async def test_the_time_of_work_is_counted_and_the_time_of_waiting_is_not(start: Start) -> None:
    host = await start("recognize")
    await heard(host, 1)
    before, began = host.worked_s(), asyncio.get_running_loop().time()
    await asyncio.gather(heard(host, 200, SLEEP), heard(host, 200, SLEEP))  # ms, one after the other
    await asyncio.sleep(0.2)
    worked_s, passed_s = host.worked_s() - before, asyncio.get_running_loop().time() - began
    assert 0.4 <= worked_s <= passed_s - 0.15


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel has no groups of sessions")
async def test_a_child_is_behind_audio_where_the_processor_is_shared_among_sessions(start: Start) -> None:
    host = await start()
    await host.translate(text("hello"))
    own, group = _autogroup("self"), _autogroup(host.pid)
    assert group != own
    assert group.split()[-1] == str(host.spec.nice)


def _autogroup(process: object) -> str:
    return Path(f"/proc/{process}/autogroup").read_text()
