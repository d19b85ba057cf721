"""More callers than the server takes: those inside keep their words, the others are told when to come back.

The rules that refuse are held by the whole application in the test's own process, with recognizers that are as slow
as a test says; the real recognizer is in the first test.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from media_server.audio.resample import resample
from tests.support.application import Application, application, steady
from tests.support.caller import RATE, Caller, recording
from tests.support.server import Server
from tests.support.webrtc import only_loopback, until
from tests.support.ws_client import CONFIG, WsClient

__all__ = ["only_loopback"]


async def offer() -> str:
    """A stock client's offer of one audio line."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio")
    await pc.setLocalDescription(await pc.createOffer())
    sdp = str(pc.localDescription.sdp)
    await pc.close()
    return sdp


async def test_three_times_the_load_costs_those_inside_no_final() -> None:
    speech = recording("jfk.wav")
    with Server(MAX_SESSIONS="2") as server:
        async with (
            Caller(server, sourceLang="en", targetLang="es") as first,
            Caller(server, sourceLang="en", targetLang="fr") as second,
        ):
            for caller in (first, second):
                caller.microphone.say(speech)
            sdp = await offer()
            started = time.monotonic()
            answers = await asyncio.gather(
                *(server.post("/offer", {"sdp": sdp, "type": "offer"}) for _ in range(4))
            )
            assert time.monotonic() - started < 2.0
            assert [status for status, _ in answers] == [503] * 4
            assert server.retry_after("/offer", {"sdp": sdp, "type": "offer"}) > 0
            for caller in (first, second):
                await caller.microphone.done.wait()
                await caller.until(partial(has_ended, caller), timeout_s=30)
                words = " ".join(final["text"] for final in caller.finals).lower()
                assert all(word in words for word in ("fellow", "ask", "country", "do for you"))
                assert not caller.of("lost")


def has_ended(caller: Caller) -> bool:
    """Has the last word of the recording become final?"""
    return bool(caller.finals) and "country" in str(caller.finals[-1]["text"])[-12:].lower()


# -- the rules, through the whole application -----------------------------------------------------------------------

SPEECH = recording("jfk.wav")[: RATE * 5 // 2]  # "And so my fellow Americans" and the pause behind it


async def refusals(app: Application, sdp: str, count: int) -> list[str]:
    """The codes with which ``count`` offers at once are refused, each with 503 and a time to come back."""
    answers = await asyncio.gather(*(app.ask("/offer", {"sdp": sdp, "type": "offer"}) for _ in range(count)))
    for status, headers, body in answers:
        assert status == 503
        assert int(headers["Retry-After"]) > 0
        assert body["error"]["message"]
    return [body["error"]["code"] for _, _, body in answers]


def value(app: Application, name: str, **labels: str) -> float:
    return app.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.usefixtures("only_loopback")
async def test_nobody_is_taken_while_finals_wait_and_no_final_of_those_inside_is_lost() -> None:
    """Three people inside a server whose recognizer takes 0.7 s a window; six more ask."""
    settings = {"MAX_QUEUE_WAIT_MS": "200", "MAX_SPEECH_LOAD": "100"}
    async with application(steady(0.7), **settings) as app, AsyncExitStack() as stack:
        sdp = await offer()
        inside = [await stack.enter_async_context(Caller(app, sourceLang="en")) for _ in range(3)]
        for caller in inside:
            caller.microphone.say(SPEECH)
        await until(lambda: app.hub.fleet.final_wait_s() > 0.25, 20)
        assert await refusals(app, sdp, 6) == ["ENGINES_BUSY"] * 6
        status, health = await app.get("/health?ready=1")
        assert (status, health["ready"]) == (503, False)
        for caller in inside:
            await caller.microphone.done.wait()
            await caller.until(partial(all_is_final, caller), timeout_s=40)
            assert not caller.of("lost")
        assert value(app, "lai_utterances_total", outcome="lost") == 0
        finals = value(app, "lai_asr_queue_wait_ms_count", work="final")
        assert finals >= 3
        assert value(app, "lai_asr_queue_wait_ms_sum", work="final") / finals > 100, (
            "the metric shows the wait"
        )
        await until(lambda: app.hub.refusal() is None, 30)  # it passes by itself
        async with Caller(app, sourceLang="en"):
            pass


@pytest.mark.usefixtures("only_loopback")
async def test_people_who_speak_fill_a_server_and_people_who_listen_do_not() -> None:
    """One recognizer follows two speakers in half its time; those who join them in a room take turns with them."""
    async with application(steady(0.05), MAX_SPEECH_LOAD="0.5") as app, AsyncExitStack() as stack:
        inside = [await stack.enter_async_context(Caller(app, sourceLang="en")) for _ in range(5)]
        sdp = await offer()
        assert app.hub.refusal() is None, "five who listen leave room for all"
        inside[0].microphone.say(SPEECH)
        await until(lambda: app.hub.speakers == 1)
        await until(lambda: app.hub.refusal() is None)  # the five have been there long enough to be heard
        inside.append(await stack.enter_async_context(Caller(app, sourceLang="en", roomId="hall")))
        inside[-1].microphone.say(SPEECH)
        await until(lambda: app.hub.speakers == 2)
        assert await refusals(app, sdp, 3) == ["ENGINES_BUSY"] * 3
        async with Caller(app, roomId="hall"):
            """Who joins a conversation is let in."""
        for caller in (inside[0], inside[-1]):
            await caller.microphone.done.wait()
            await caller.until(partial(all_is_final, caller), timeout_s=40)
            assert not caller.of("lost")
        await until(lambda: app.hub.refusal() is None, 30)  # they are silent again


async def test_a_websocket_client_is_told_which_words_a_recognizer_was_too_slow_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("media_server.pipeline.interpreter.FINAL_DEADLINE_S", 0.3)
    async with application(steady(2.5)) as app, WsClient(app) as client:
        await client.send(CONFIG)
        await client.speak(resample(SPEECH, RATE, 16_000))
        await client.speak(np.zeros(16_000, np.int16))
        await client.until(lambda: client.of("error"))
        (error,) = client.of("error")[:1]
        assert error["code"] == "ASR_TIMEOUT"
        assert "could not be recognized" in error["message"]
        await client.send(type="heartbeat", ts_ms=1)
        await client.got("pong")


@pytest.mark.usefixtures("only_loopback")
async def test_nobody_is_taken_while_the_loop_runs_late_and_it_passes() -> None:
    async with application(MAX_LOOP_LAG_MS="150") as app, Caller(app) as inside:
        sdp = await offer()
        time.sleep(0.8)  # noqa: ASYNC251  # what the rule is there for: everybody's sound stands still
        await until(lambda: app.hub.loop_lag_s > 0.15)
        status, headers, body = await app.ask("/offer", {"sdp": sdp, "type": "offer"})
        assert (status, body["error"]["code"]) == (503, "LOOP_BUSY")
        assert int(headers["Retry-After"]) > 0
        await until(lambda: app.hub.refusal() is None, 30)
        assert inside.pc.connectionState == "connected"
        async with Caller(app):
            pass


def all_is_final(caller: Caller) -> bool:
    """Has something been said, and is nothing of it open any more?"""
    shown = {message["id"] for message in caller.of("partial")}
    ended = {message["id"] for message in caller.finals}
    return bool(ended) and shown <= ended
