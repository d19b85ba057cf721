"""Translators behind the fleet: batches across sessions, glossary terms, and who translates when one fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from media_server import config
from media_server.clock import monotonic
from media_server.engines.base import EngineSpec, TranslateRequest
from media_server.engines.fleet import Fleet
from media_server.engines.host import EngineHost
from media_server.engines.registry import Plan
from media_server.errors import EngineError
from media_server.events import Caption, Heard, Lag, Spoken
from media_server.glossary import parse
from media_server.metrics import Metrics
from media_server.rooms.channel import Channel
from tests.models.grammar import Grammar
from tests.support.translation import EN_ES, EN_MUL, marian

APERTIUM = EngineSpec("translate", "apertium", "media_server.engines.apertium:ApertiumTranslator")
GLOSSARY = parse(
    [
        "Gruguya",
        "Velovedri",
        {"term": "old station", "translation": {"es": "Estación Vieja", "pt": "Estação"}},
    ]
)
type Start = Callable[..., Coroutine[Any, Any, Fleet]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts fleets of translators and stops them at the end."""
    fleets: list[Fleet] = []

    async def start(*specs: EngineSpec) -> Fleet:
        fleet = Fleet(Plan(translate=specs), Metrics())
        fleets.append(fleet)
        await fleet.start()
        for host in fleet.translators:
            try:
                await host.wait_ready(60)
            except EngineError:
                assert host.state == "failed"
        return fleet

    yield start
    for fleet in fleets:
        await fleet.stop()


async def say(fleet: Fleet, text: str, target: str = "es") -> Caption:
    """The final caption of an English sentence."""
    done: asyncio.Future[Caption] = asyncio.get_running_loop().create_future()

    def publish(event: Caption | Lag | Spoken) -> None:
        if isinstance(event, Caption) and event.final and not done.done():
            done.set_result(event)

    channel = Channel(
        "ab", target, fleet, Metrics(), monotonic, publish,
        speech_limit_s=10, wants_voice=lambda: False, glossary=lambda: GLOSSARY,
    )  # fmt: skip
    try:
        channel.heard(Heard("u1", 1, text, len(text), "en", 0, 900, final=True), 0.0)
        return await asyncio.wait_for(done, 30)
    finally:
        await channel.stop()


async def test_sentences_of_many_sessions_are_translated_together_and_each_gets_its_own(start: Start) -> None:
    fleet = await start(marian(EN_ES, EN_MUL))
    host: EngineHost = fleet.translators[0]
    grammar = Grammar(5)
    texts = [grammar.unseen().en for _ in range(40)]
    requests = [TranslateRequest((text,), "en", ("es", "fr")[n % 2]) for n, text in enumerate(texts)]
    alone = [(await host.translate(request)).texts for request in requests]
    together = await asyncio.gather(*(host.translate(request, deadline_s=30) for request in requests))
    assert [answer.texts for answer in together] == alone


@pytest.mark.parametrize("spec", [marian(EN_ES), APERTIUM], ids=["marian", "apertium"])
async def test_glossary_terms_survive_every_translator(start: Start, spec: EngineSpec) -> None:
    fleet = await start(spec)
    plain = await fleet.translate("Gruguya visited the big kitchen.", fleet.routes.find("en", "es")[0])
    assert spec is APERTIUM or "Gruguya" not in plain.text, "what is kept below would be lost"
    for text, wanted in (
        ("Gruguya visited the big kitchen.", "Gruguya"),
        ("Velovedri visited the beautiful river.", "Velovedri"),
        ("The dog of the old station found Gruguya.", "Estación Vieja"),
        ("I opened the window and gruguya closed the door.", "Gruguya"),
    ):
        caption = await say(fleet, text)
        assert wanted in caption.translation
        assert not any(map(str.isdigit, caption.translation))
    assert (await say(fleet, "The house is red.")).translation == "La casa es roja."


async def test_a_detour_keeps_terms_as_the_last_language_has_them(start: Start) -> None:
    fleet = await start(marian(EN_ES), APERTIUM)
    assert fleet.routes.find("en", "pt")[0].by == "Marian (OPUS-MT), then Apertium"
    caption = await say(fleet, "Gruguya found the old station.", "pt")
    assert "Estação" in caption.translation
    assert "Gruguya" in caption.translation


async def test_a_child_that_is_killed_costs_nobody_a_translation(start: Start) -> None:
    fleet = await start(marian(EN_ES), APERTIUM)
    pid = fleet.translators[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    caption = await say(fleet, "The house is red.")
    assert (caption.translation, caption.note) == ("La casa es roja.", "")


async def test_a_damaged_model_leaves_its_pairs_to_the_next_engine_and_says_why(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "opus-mt-en-es"
    shutil.copytree(EN_ES, folder)
    (folder / "model.bin").write_bytes(b"damaged")
    fleet = await start(marian(folder), APERTIUM)
    assert fleet.routes.find("en", "es")[0].by == "Apertium"
    assert (await say(fleet, "The house is red.")).translation == "La casa es roja."
    told = [status.message for status in fleet.statuses() if status.engine == "marian"]
    assert "opus-mt-en-es cannot be loaded" in told[0]


def test_the_setting_for_the_token_is_a_secret() -> None:
    assert "swordfish" not in repr(config.load({"HUGGINGFACE_TOKEN": "swordfish"}))
