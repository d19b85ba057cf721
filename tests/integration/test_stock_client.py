"""Callers of stock aiortc against the real server with its real engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.caller import Caller, recording
from tests.support.server import Server

WORDS = (
    "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def plain(text: str) -> list[str]:
    return "".join(c for c in text.lower() if c.isalpha() or c == " ").split()


async def test_english_is_read_and_heard_in_spanish_while_it_is_spoken(server: Server) -> None:
    async with Caller(server, sourceLang="en", targetLang="es") as caller:
        assert caller.answered_after < 0.3
        caller.microphone.say(recording("jfk.wav"))
        await caller.microphone.done.wait()
        partials = [message for message in caller.of("partial") if message["translation"]]
        assert partials, "a translation grows before the end of speech"
        await caller.until(lambda: caller.finals and plain(caller.finals[-1]["text"])[-1:] == ["country"])
        said = [word for final in caller.finals for word in plain(final["text"])]
        assert len(set(WORDS.split()) - set(said)) <= 1
        assert all(final["translation"] and final["target_lang"] == "es" for final in caller.finals)
        await caller.until(lambda: caller.heard_seconds() > 3.0)


async def test_a_client_with_audio_only_gets_the_interpretation(server: Server) -> None:
    async with Caller(server, channel=None) as caller:
        assert caller.answer["targetLang"] == "en"
        assert caller.answer["sessionId"]
        assert caller.answer["roomId"] is None


async def test_a_channel_of_any_label_gets_captions_and_pongs(server: Server) -> None:
    async with Caller(server, channel="chat") as caller:
        assert caller.channel is not None
        caller.channel.send("ping 17")
        await caller.until(lambda: "pong 17" in caller.texts)
        caller.send(type="config", targetLang="es")
        await caller.until(lambda: caller.of("ack"))
        caller.channel.send("no json")
        await caller.until(lambda: caller.of("error"))
        assert caller.of("error")[0]["code"] == "INVALID_JSON"
