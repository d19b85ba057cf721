"""A call that Google speaks in: what the listener hears, reads and is told, while Google answers and while not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.caller import Caller, recording
from tests.support.google import Google
from tests.support.server import Server

SPEECH = recording("jfk.wav")


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
