"""A call that Google speaks in: what the listener hears, reads and is told, while Google answers and while not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from media_server.engines.base import EngineSpec, SpeakRequest
from media_server.engines.fleet import Fleet
from media_server.engines.registry import Plan
from media_server.events import Status
from media_server.metrics import Metrics
from tests.support.caller import Caller, recording
from tests.support.google import Google
from tests.support.server import Server

SPEECH = recording("jfk.wav")
TEXT = "Good morning. The train leaves at noon. Thank you all for coming."


@pytest.fixture
async def fleet(google: Google) -> AsyncIterator[Fleet]:
    """Google's voice and espeak-ng's behind it."""
    plan = Plan(
        speak=(
            EngineSpec("speak", "gtts", "media_server.engines.gtts:GttsVoice", {"url": google.url}),
            EngineSpec("speak", "espeak-ng", "media_server.engines.espeak_ng:EspeakVoice"),
        )
    )
    fleet = Fleet(plan, Metrics())
    await fleet.start()
    for host in fleet.hosts:
        await host.wait_ready(60)
    yield fleet
    await fleet.stop()


@pytest.fixture
def google() -> Iterator[Google]:
    with Google() as google:
        yield google


async def voices(fleet: Fleet) -> list[tuple[str, str]]:
    """(voice, sentence) of each piece of the text."""
    return [(piece.voice.split()[0], piece.text) async for piece in fleet.speak(SpeakRequest(TEXT, "en"))]


@pytest.mark.parametrize("mode", ["429", "500", "garbage", "huge", "silent"])
async def test_a_google_that_fails_costs_no_sentence_and_people_are_told(
    fleet: Fleet, google: Google, mode: str
) -> None:
    told: list[Status] = []
    fleet.listen(told.append)
    google.mode = mode
    made = await voices(fleet)
    assert {voice for voice, _ in made} == {"espeak-ng"}
    assert " ".join(sentence for _, sentence in made) == TEXT
    assert len(google.asked) == 1, "it is not tried again for the same text"
    assert [(status.engine, status.level) for status in told] == [("gtts", "warning")]
    assert "espeak-ng takes over" in told[0].message
    assert "train" not in told[0].message


async def test_what_google_has_not_said_of_a_text_the_local_voice_says(fleet: Fleet, google: Google) -> None:
    google.mode = "ok once"
    made = await voices(fleet)
    assert made[0] == ("gtts", "Good morning.")
    assert {voice for voice, _ in made[1:]} == {"espeak-ng"}
    assert " ".join(sentence for _, sentence in made) == TEXT


async def test_a_google_that_was_left_alone_costs_no_time_and_is_not_asked(
    fleet: Fleet, google: Google
) -> None:
    google.mode = "500"
    for _ in range(6):
        assert {voice for voice, _ in await voices(fleet)} == {"espeak-ng"}
    assert len(google.asked) == 3


async def voice_of(server: Server) -> dict[str, object]:
    _, health = await server.get("/health")
    return next(engine for engine in health["engines"] if engine["name"] == "gtts")


async def speak(caller: Caller) -> None:
    """Says the recording, and waits until its interpretation is heard."""
    finals, heard = len(caller.finals), caller.heard_seconds()
    caller.microphone.say(SPEECH)
    await caller.microphone.done.wait()
    await caller.until(lambda: len(caller.finals) > finals, timeout_s=60)
    await caller.until(lambda: caller.heard_seconds() > heard + 1.0, timeout_s=60)


@pytest.mark.timeout(240)
async def test_google_speaks_where_it_is_asked_for_and_a_local_voice_the_moment_it_fails(
    tmp_path: Path,
) -> None:
    with (
        Google() as google,
        Server(
            TTS_ENGINE="gtts",
            GTTS_URL=google.url,
            TTS_CACHE_DIR=str(tmp_path / "clips"),
            ASR_MODEL_SIZE="tiny.en",
        ) as server,
    ):
        engine = await voice_of(server)
        assert engine["offMachine"] == "Google's voice service at 127.0.0.1"
        assert "TTS_ENGINE" in str(engine["reason"])
        async with Caller(server, sourceLang="en", targetLang="es") as caller:
            await speak(caller)
            assert google.asked
            assert {code for code, _ in google.asked} == {"es"}
            assert await server.metric("lai_tts_failures_total", engine="gtts") == 0
            assert any((tmp_path / "clips").iterdir())
        google.mode = "429"
        async with Caller(server, sourceLang="en", targetLang="fr") as caller:
            await speak(caller)  # Google refuses, and it is heard all the same
            assert await server.metric("lai_tts_failures_total", engine="gtts") >= 1
            assert not any(final.get("note") for final in caller.finals)
        assert not any(text in server.log for _, text in google.asked)
