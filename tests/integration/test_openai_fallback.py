"""A server that fails costs no sentence: the engine behind it takes over, visibly, and gives the work back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import numpy as np
import pytest

from media_server.config import Settings
from media_server.engines.base import EngineSpec, RecognizeRequest, SpeakRequest
from media_server.engines.fleet import Fleet
from media_server.engines.openai_specs import remote
from media_server.engines.registry import Plan
from media_server.errors import EngineFailed
from media_server.events import Status
from media_server.metrics import Metrics
from tests.support import openai_server as acts
from tests.support.openai_server import FakeOpenAi, says

LOCAL = "tests.integration.misbehaving_engine:MisbehavingEngine"
KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[FakeOpenAi]:
    with FakeOpenAi(acts.fails(500)) as server:
        yield server


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def fleet(server: FakeOpenAi, metrics: Metrics) -> AsyncIterator[Fleet]:
    """The providers' engines at ``server``, and one of each kind of this machine's behind them."""
    settings = Settings(
        openai_base_url=server.url,
        openai_api_key=KEY,
        openai_asr_model="whisper-1",
        openai_timeout_secs=1.0,
        asr_provider="openai",
        mt_provider="openai",
        tts_provider="openai",
    )
    here = {
        kind: EngineSpec(kind, "here", LOCAL, {"kind": kind, "language": "en", "pair": "en es"})
        for kind in ("recognize", "translate", "speak")
    }
    plan = Plan(
        recognize=(*remote("recognize", settings), here["recognize"]),
        translate=(*remote("translate", settings), here["translate"]),
        speak=(*remote("speak", settings), here["speak"]),
    )
    fleet = Fleet(plan, metrics)
    await fleet.start()
    for host in fleet.hosts:
        await host.wait_ready(30)
    yield fleet
    await fleet.stop()


def fallbacks(metrics: Metrics, stage: str) -> float:
    labels = {"stage": stage, "engine": "openai", "instead": "here"}
    return metrics.registry.get_sample_value("lai_fallbacks_total", labels) or 0.0


FAULTS = {
    "down": acts.fails(503),
    "slow": acts.never,
    "malformed": says([1, 2]),
    "huge": acts.huge("application/json", told=False),
    "too often": acts.fails(429, Retry_After="30"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_next_recognizer_takes_the_window_and_says_why(
    server: FakeOpenAi, fleet: Fleet, metrics: Metrics, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.usual = FAULTS[fault]
    told: list[Status] = []
    fleet.listen(told.append)
    window = np.array([0, 7], np.int16)
    result = await fleet.recognize(RecognizeRequest(window, "en", final=True), owner="a", deadline_s=12.0)
    assert result.transcript.text == "7"
    assert fallbacks(metrics, "recognize") == 1
    (status,) = told
    assert (status.stage, status.engine, status.level) == ("recognize", "openai", "warning")
    assert status.message.endswith("here takes over.")
    assert fleet.trouble(fleet.recognizers[0]) == status.message
    assert fleet.statuses()[0] == status
    assert "here takes over" in caplog.text
    assert KEY not in caplog.text
    assert all(host.restarts == 0 for host in fleet.hosts)


async def test_an_outage_costs_time_three_times_and_then_none_until_the_server_is_tried_again(
    server: FakeOpenAi, fleet: Fleet, metrics: Metrics
) -> None:
    server.usual = says({})
    request = RecognizeRequest(np.array([0, 7], np.int16), "en", final=True)
    for _ in range(6):
        assert (await fleet.recognize(request, owner="a", deadline_s=12.0)).transcript.text == "7"
    assert len(server.asked) == 3
    assert fallbacks(metrics, "recognize") == 6


async def test_a_translation_goes_the_next_way_and_a_text_to_the_next_voice(
    server: FakeOpenAi, fleet: Fleet, metrics: Metrics
) -> None:
    server.usual = says({})
    afar, here = fleet.routes.find("en", "es")
    with pytest.raises(EngineFailed, match="no message"):
        await fleet.translate("hello", afar)
    assert (await fleet.translate("hello", here)).text == "HELLO"
    assert fallbacks(metrics, "translate") == 1
    async with aclosing(fleet.speak(SpeakRequest("a b", "en"))) as speech:
        assert [piece.text async for piece in speech] == ["a", "b"]
    assert fallbacks(metrics, "speak") == 1


async def test_what_works_is_done_by_the_server_alone(
    server: FakeOpenAi, fleet: Fleet, metrics: Metrics
) -> None:
    server.usual = says({"text": "from afar", "language": "en"})
    request = RecognizeRequest(np.array([0, 7], np.int16), None, final=True)
    assert (await fleet.recognize(request, owner="a", deadline_s=12.0)).transcript.text == "from afar"
    assert fallbacks(metrics, "recognize") == 0
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
