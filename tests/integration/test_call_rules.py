"""What a call may rely on: consent, access, feedback, coming back, languages, refusals, an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from media_server.rooms.hub import DRAIN_RETRY_S
from tests.support.caller import RATE, Caller, Pcm, recording
from tests.support.server import Server

SPEECH = recording("jfk.wav")[: int(RATE * 2.6)]  # "And so my fellow Americans" and a pause


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(CONSENT_REQUIRED="1", RESUME_SECS="6", ASR_MODEL_SIZE="base") as running:
        yield running


async def test_nothing_is_heard_before_consent_and_nothing_after_its_withdrawal(server: Server) -> None:
    async with Caller(server, sourceLang="en", targetLang="es") as caller:
        caller.microphone.say(SPEECH)
        await caller.until(lambda: caller.of("error"))
        assert caller.of("error")[0]["code"] == "CONSENT_REQUIRED"
        await caller.microphone.done.wait()
        assert not caller.of("speaking")
        caller.send(type="consent", granted=True)
        await caller.until(lambda: caller.of("ack"))
        caller.microphone.say(SPEECH)
        await caller.until(lambda: caller.of("partial"))
        caller.send(type="consent", granted=False)
        await caller.until(lambda: len(caller.of("ack")) == 2)
        seen = len(caller.of("partial")) + len(caller.of("final"))
        await caller.microphone.done.wait()
        caller.microphone.say(SPEECH)
        await caller.microphone.done.wait()
        assert len(caller.of("partial")) + len(caller.of("final")) == seen
        assert len(caller.of("error")) == 1


@pytest.mark.parametrize("delay_ms", [50, 400])
async def test_the_interpretation_coming_back_through_the_microphone_is_not_interpreted(
    server: Server, delay_ms: int
) -> None:
    """At -20 dB, 50 to 400 ms later: no final of it, and a person talking over it is heard."""
    async with Caller(server, sourceLang="en", targetLang="es", consent=True) as caller:
        echoed = 0.0

        def echo(frame: Pcm) -> Pcm:
            """Adds what sounded ``delay_ms`` ago, a tenth as loud."""
            nonlocal echoed
            piece = caller.loudspeaker.sounding(delay_ms).astype(np.int32) // 10
            echoed += float(np.abs(piece).mean() > 20) * 0.02
            mixed: Pcm = np.clip(frame.astype(np.int32) + piece, -32768, 32767).astype(np.int16)
            return mixed

        caller.microphone.shape = echo
        caller.microphone.say(SPEECH)
        await caller.until(lambda: caller.finals and caller.heard_seconds() > 1.0)
        await quiet(caller)
        assert echoed > 0.5
        assert len(caller.finals) == 1, [final["text"] for final in caller.finals]
        caller.microphone.say(SPEECH)
        await caller.until(lambda: len(caller.finals) >= 2)
        await caller.until(lambda: caller.heard_seconds() > 2.0)
        caller.microphone.say(recording("jfk.wav")[int(RATE * 7.9) :])  # over the interpretation
        await caller.until(lambda: any("country" in final["text"].lower() for final in caller.finals))


async def quiet(caller: Caller) -> None:
    """Returns when no sound has come for 1.5 s: the clip and its echo are over."""
    loop = asyncio.get_running_loop()
    await caller.until(lambda: loop.time() - caller.sound[-1][0] > 1.5, poll_s=0.1)


async def test_a_page_whose_network_was_lost_comes_back_behind_its_session(server: Server) -> None:
    async with Caller(server, sourceLang="en", targetLang="es", consent=True) as caller:
        session_id = caller.answer["sessionId"]
        caller.microphone.say(SPEECH[: int(RATE * 2.3)])
        await caller.microphone.done.wait()
        async with Caller(server, sessionId=session_id) as again:
            assert again.answer["sessionId"] == session_id
            assert (again.answer["sourceLang"], again.answer["targetLang"]) == ("en", "es")
            again.microphone.say(SPEECH)
            await again.until(lambda: again.finals)
            assert int(again.finals[0]["id"].rsplit("-", 1)[1]) >= 1
            assert await server.metric("lai_sessions_active") == 1


async def test_languages_change_in_mid_call_from_the_next_utterance_on(server: Server) -> None:
    async with Caller(server, sourceLang="en", targetLang="es", consent=True) as caller:
        caller.microphone.say(SPEECH)
        await caller.until(lambda: caller.finals)
        caller.send(type="config", sourceLang="en", targetLang="pt")
        await caller.until(lambda: caller.of("ack"))
        caller.microphone.say(SPEECH)
        await caller.until(lambda: len(caller.finals) == 2)
        assert [final["target_lang"] for final in caller.finals] == ["es", "pt"]
        assert caller.finals[1]["translation"] != caller.finals[0]["translation"]


async def test_a_mute_ends_what_is_open_and_hears_nothing_more(server: Server) -> None:
    async with Caller(server, sourceLang="en", targetLang="es", consent=True) as caller:
        caller.microphone.say(SPEECH)
        await caller.until(lambda: caller.of("partial"))
        caller.send(type="mute", muted=True)
        await caller.until(lambda: caller.finals)
        before = len(caller.finals)
        caller.microphone.say(SPEECH)
        await caller.microphone.done.wait()
        caller.send(type="mute", muted=False)
        caller.microphone.say(SPEECH)
        await caller.until(lambda: len(caller.finals) > before)
        await caller.microphone.done.wait()
        assert len(caller.finals) == before + 1


async def test_the_cleaned_microphone_can_be_heard(server: Server) -> None:
    async with Caller(server, sourceLang="en", targetLang="en", consent=True) as caller:
        caller.send(type="loopback", on=True)
        await caller.until(lambda: caller.of("ack"))
        caller.microphone.say(SPEECH)
        await caller.until(lambda: caller.heard_seconds() > 1.0)
        await caller.until(lambda: caller.finals)  # and is no echo of itself
        assert caller.finals[0]["translation"] == ""


async def test_a_killed_engine_costs_no_call_and_its_utterance_is_not_lost(server: Server) -> None:
    async with Caller(server, sourceLang="en", targetLang="es", consent=True) as caller:
        caller.microphone.say(SPEECH)
        await caller.until(lambda: caller.of("partial"))
        for child in engine_children(server, "faster-whisper"):
            os.kill(child, signal.SIGKILL)
        await caller.until(lambda: caller.finals, timeout_s=30)
        assert "americans" in caller.finals[-1]["text"].lower()
        assert any(status["level"] == "warning" for status in caller.of("status"))
    assert await server.metric("lai_engine_restarts_total", engine="faster-whisper") >= 1


def engine_children(server: Server, name: str) -> list[int]:
    """Process ids of the server's children whose command line names an engine; all of them where none does."""
    found = []
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children") as file:
        for child in file.read().split():
            with open(f"/proc/{child}/maps") as maps:
                if "libctranslate2" in maps.read() and name == "faster-whisper":
                    found.append(int(child))
    assert found
    return found


async def test_bad_offers_get_their_reason_as_json(server: Server) -> None:
    for body, code in (
        (b"{", "INVALID_JSON"),
        (b"[]", "INVALID_JSON"),
        ({"sdp": "v=0", "type": "answer"}, "INVALID_MESSAGE"),
        ({"sdp": 5, "type": "offer"}, "INVALID_SDP"),
        ({"sdp": "v=0", "type": "offer", "targetLang": "auto"}, "INVALID_LANGUAGE"),
        ({"sdp": "v=0", "type": "offer", "consent": "yes"}, "INVALID_MESSAGE"),
    ):
        status, answer = await server.post("/offer", body)
        assert (status, answer["error"]["code"]) == (400, code)
        assert answer["error"]["message"]
    status, answer = await server.post("/offer", b"x" * 100_000)
    assert (status, answer["error"]["code"]) == (413, "TOO_LARGE")
    status, answer = await server.get("/nothing")
    assert (status, answer["error"]["code"]) == (404, "NOT_FOUND")


async def test_a_full_server_says_when_to_come_back_and_a_stopping_one_too() -> None:
    with Server(MAX_SESSIONS="1", DRAIN_SECS="3", ENABLE_RNNOISE="0") as small:
        async with Caller(small, targetLang="es") as caller:
            status, answer = await small.post("/offer", {"sdp": "v=0", "type": "offer"})
            assert (status, answer["error"]["code"]) == (503, "SERVER_FULL")
            assert (await small.get("/health?ready=1"))[0] == 503
            small.process.send_signal(signal.SIGTERM)
            await caller.until(lambda: caller.of("goodbye"))
            assert caller.of("goodbye")[0]["retry_after_s"] == DRAIN_RETRY_S
            status, answer = await small.post("/offer", {"sdp": "v=0", "type": "offer"})
            assert (status, answer["error"]["code"]) == (503, "DRAINING")
        assert small.stop() == 0


async def test_with_keys_only_those_who_have_one_get_in() -> None:
    with Server(
        ready=False, API_KEYS="one,two", ALLOWED_ORIGINS="https://meet.example", ASR_WORKERS="1"
    ) as closed:
        assert (await closed.get("/"))[0] == 200
        assert "engines" not in (await closed.get("/health"))[1]
        for path in ("/languages", "/ice-servers", "/metrics", "/session/status"):
            assert (await closed.get(path))[0] == 401
        assert (await closed.get("/languages?token=two"))[0] == 200
        assert (await closed.get("/languages", Authorization="Bearer one"))[0] == 200
        assert (await closed.get("/languages", Authorization="Bearer three"))[0] == 401
        bad = await closed.get("/languages", Authorization="Bearer one", Origin="https://evil.example")
        assert (bad[0], bad[1]["error"]["code"]) == (403, "ORIGIN_NOT_ALLOWED")
        assert (await closed.get("/languages", Authorization="Bearer one", Origin="https://meet.example"))[
            0
        ] == 200
        assert "one" not in [word for line in closed.log.splitlines() for word in line.split('"')]
