"""More callers than the server takes: those inside keep their words, the others are told when to come back."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from aiortc import RTCConfiguration, RTCPeerConnection

from tests.support.caller import Caller, recording
from tests.support.server import Server


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
