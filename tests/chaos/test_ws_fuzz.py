"""Mutated text and binary at ``/ws/audio`` beside one healthy call. ``FUZZ=10`` makes it ten times as much."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random

import numpy as np
import pytest
from websockets.asyncio.client import connect

from tests.chaos.test_fuzz import Watch
from tests.support.webrtc import call, no_leaked_tasks, only_loopback
from tests.support.ws_client import CONFIG, START
from tests.support.ws_house import WsHouse

__all__ = ["no_leaked_tasks", "only_loopback"]

TIMES = int(os.environ.get("FUZZ", "1"))
MESSAGES = 1_000 * TIMES
EACH = 100  # on one connection, which has to stay open

VALUES: tuple[object, ...] = (
    None, True, -1, 0, 7, 1e308, 10**30, 8_001, 44_100, "", "x" * 300, "en", "auto", "\u202e", [], {}, [[]],
    "PCM16_LE", "AAAA", "A", "default", "no room",
)  # fmt: skip
KEYS = (
    "type", "sampleRate", "sample_rate", "sourceLang", "target_lang", "roomId", "consent", "channels",
    "audio_format", "seq", "ts_ms", "audio_b64", "granted", "frameSize",
)  # fmt: skip
PIECES = ("{", "}", "[", '"', ":", ",", "\\u0000", "NaN", "Infinity", "1e999", "\\ud800", "\0", "\u00e9")
CHUNK: dict[str, object] = {
    "type": "audio_chunk", "seq": 42, "sample_rate": 16_000, "channels": 1, "audio_format": "PCM16_LE",
    "audio_b64": base64.b64encode(bytes(640)).decode(),
}  # fmt: skip
TEMPLATES: tuple[dict[str, object], ...] = (
    CONFIG, START, CHUNK, {"type": "heartbeat", "ts_ms": 5}, {"type": "history_request"},
    {"type": "consent", "granted": True},
)  # fmt: skip


def text(chance: random.Random) -> str:
    """A message near a legal one: odd values under its keys, characters knocked about, or all too deep."""
    message = dict(chance.choice(TEMPLATES))
    for _ in range(chance.randint(0, 3)):
        message[chance.choice(KEYS)] = chance.choice(VALUES)
    if chance.random() < 0.02:
        return "[" * 5_000
    body = list(json.dumps(message))
    for _ in range(chance.choice((0, 0, 1, 2, 5))):
        place = chance.randrange(len(body) + 1)
        if chance.random() < 0.5:
            body[place:place] = chance.choice(PIECES)
        else:
            del body[place : place + chance.randint(1, 20)]
    return "".join(body)


def binary(chance: random.Random) -> bytes:
    """Noise, silence or a tone, of any length, mostly short."""
    size = chance.choice((0, 1, 2, 3, 639, 640, 641, 1920, chance.randrange(20_000)))
    if chance.random() < 0.5:
        return chance.randbytes(size)
    tone = np.sin(np.arange(size // 2 + 1) * chance.random()) * chance.randrange(32_767)
    return tone.astype(np.int16).tobytes()[:size]


@pytest.mark.usefixtures("only_loopback", "no_leaked_tasks")
@pytest.mark.timeout(60 + 60 * TIMES)
async def test_mutated_messages_end_no_call_and_disturb_nobody() -> None:
    chance = random.Random(5)
    async with call() as healthy, WsHouse(MAX_SESSIONS="1000") as house:
        house.fleet.recognizers = [object()]  # sound is listened to; no one understands it
        watch = Watch(healthy.handler)
        for _ in range(0, MESSAGES, EACH):
            async with connect(f"ws://127.0.0.1:{house.port}/ws/audio", max_size=None, proxy=None) as client:
                for _ in range(EACH):
                    await client.send(text(chance) if chance.random() < 0.6 else binary(chance))
                    await asyncio.sleep(0)
                await client.send('{"type":"heartbeat","ts_ms":"the last"}')
                await client.send('{"type":"heartbeat","ts_ms":99.5}')
                seen: list[str | bytes] = []
                async with asyncio.timeout(30):
                    while not seen or seen[-1] != '{"type":"pong","ts_ms":99.5}':
                        seen.append(await client.recv())
                refusals = [one for one in map(json.loads, seen) if one["type"] == "error"]
                assert all(one["code"] != "INTERNAL" and one["message"] for one in refusals)
                assert len(refusals) > EACH / 10
        await watch.verdict()
