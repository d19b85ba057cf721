"""Mutated requests at the real server: an answer or a reason in JSON, never a 500, and a call beside it goes on."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
from collections import Counter

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from tests.support.caller import Caller, recording
from tests.support.server import Server

TIMES = int(os.environ.get("FUZZ", "1"))
ROUNDS = 1_000 * TIMES
PIECES = (b"{", b"}", b"[", b'"', b":", b",", b"\\u0000", b"\xff\xfe", b"null", b"1e999", b"\\ud800", b"\x00")
VALUES: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "x" * 3000,
    [],
    {},
    [[[]]],
    "en",
    "auto",
    "\u202e",
    "v=0",
)
KEYS = ("sdp", "type", "sourceLang", "targetLang", "roomId", "sessionId", "consent", "engines", "")


def mutated(message: dict[str, object], chance: random.Random) -> bytes:
    """A body near a legal one: odd values under its keys, or bytes knocked about."""
    message = dict(message)
    for _ in range(chance.randint(1, 3)):
        message[chance.choice(KEYS)] = chance.choice(VALUES)
    body = bytearray(json.dumps(message).encode())
    for _ in range(chance.choice((0, 0, 1, 2, 5))):
        place = chance.randrange(len(body) + 1)
        if chance.random() < 0.5:
            body[place:place] = chance.choice(PIECES)
        else:
            del body[place : place + chance.randint(1, 40)]
    return bytes(body)


def bombard(port: int, sdp: str) -> Counter[int]:
    """How often each status came; every refusal must be JSON with a code and words."""
    chance = random.Random(20_261)
    seen: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in range(ROUNDS):
        path = chance.choice(
            ("/offer", "/offer", "/offer?room=%00%ff", "/session/create", "/session/status?session=%f0")
        )
        method = "GET" if "status" in path else "POST"
        connection.request(
            method, path, mutated({"sdp": sdp, "type": "offer"}, chance) if method == "POST" else None
        )
        response = connection.getresponse()
        answer = response.read()
        seen[response.status] += 1
        if response.status >= 400:
            error = json.loads(answer)["error"]
            assert error["code"] and error["message"]
    connection.close()
    return seen


@pytest.mark.timeout(120 * TIMES)
async def test_mutated_requests_never_end_in_an_internal_error_and_a_call_beside_them_goes_on() -> None:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio")
    await pc.setLocalDescription(await pc.createOffer())
    sdp = str(pc.localDescription.sdp)
    await pc.close()
    with Server(MAX_SESSIONS="100000") as server:
        async with Caller(server, sourceLang="en", targetLang="es") as caller:
            caller.microphone.say(recording("jfk.wav"))
            seen = await asyncio.to_thread(bombard, server.port, sdp)
            assert 500 not in seen
            assert seen[400] > ROUNDS / 4
            await caller.microphone.done.wait()
            await caller.until(lambda: caller.finals and caller.heard_seconds() > 1.0, timeout_s=40)
            assert caller.pc.connectionState == "connected"
        assert '"level": "error"' not in server.log
