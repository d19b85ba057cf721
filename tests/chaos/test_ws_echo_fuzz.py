"""Mutated messages at ``/ws-audio`` with a healthy call beside it. ``FUZZ=10`` makes them 10,000."""

from __future__ import annotations

import asyncio
import json
import os
import random

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.chaos.test_fuzz import Watch
from tests.support.application import application
from tests.support.webrtc import call, no_leaked_tasks, only_loopback

__all__ = ["no_leaked_tasks", "only_loopback"]

TIMES = int(os.environ.get("FUZZ", "1"))
MESSAGES = 1_000 * TIMES
CLIENTS = 4

pytestmark = [
    pytest.mark.usefixtures("only_loopback", "no_leaked_tasks"),
    pytest.mark.timeout(90 + 60 * TIMES),
]

VALUES: tuple[object, ...] = (
    None, True, 0, -1, 1, 2, 3, 8, 9, 320, 441, 480, 8_000, 16_000, 44_100, 48_000, 96_000, 1e308, 48_000.0, "",
    "s16le", "48000", [], {}, [[[]]], 10**30, "\u202e",
)  # fmt: skip
KEYS = ("type", "sampleRate", "channelCount", "frameSize", "format", "")
PIECES = ("{", "}", "[", '"', ":", ",", "\\u0000", "\0", "null", "1e999", "\\ud800", "\u0130")


def text(chance: random.Random) -> str:
    """A text near a legal one: odd values under its keys, or characters knocked about."""
    message: dict[str, object] = {"type": "config", "sampleRate": 48_000, "channelCount": 1, "frameSize": 480}
    for _ in range(chance.randrange(3)):
        message[chance.choice(KEYS)] = chance.choice(VALUES)
    body = json.dumps(message)
    for _ in range(chance.choice((0, 0, 0, 1, 2, 5))):
        at = chance.randrange(len(body) + 1)
        body = body[:at] + (chance.choice(PIECES) + body[at:] if chance.random() < 0.5 else body[at + 9 :])
    return body


def binary(chance: random.Random) -> bytes:
    """A message of any length, odd ones, empty ones and long ones among them.

    None so long that answers behind it wait: the oldest of those are dropped, as they should be.
    """
    size = chance.choice((0, 5, 11, 12, 13, 14, 971, 972, 972, 972, 973, chance.randrange(4_000)))
    if chance.random() < 0.01:
        size = chance.randrange(30_000)
    return chance.randbytes(size)


async def attack(connection: ClientConnection, messages: int, chance: random.Random) -> int:
    """Every message that the protocol answers is answered, in order and under its own header."""
    sent: list[bytes | str] = []
    answered = 0

    async def answers() -> None:
        nonlocal answered
        for message in sent:
            if isinstance(message, bytes) and len(message) < 12:
                continue
            answer = await connection.recv()
            answered += 1
            if isinstance(message, str):
                assert isinstance(answer, str)
                assert json.loads(answer)["type"] in {"ack", "error"}
            else:
                assert isinstance(answer, bytes)
                assert answer[:12] == message[:12]
                assert len(answer) <= len(message)
        sent.clear()

    for _ in range(messages):
        message = text(chance) if chance.random() < 0.3 else binary(chance)
        await connection.send(message)
        sent.append(message)
        if len(sent) >= 10:
            async with asyncio.timeout(60):
                await answers()
    await connection.send(bytes(12))
    sent.append(bytes(12))
    async with asyncio.timeout(60):
        await answers()
    return answered


async def test_mutated_messages_are_answered_and_a_call_beside_them_goes_on() -> None:
    async with application() as app, call() as healthy:
        url = f"ws://127.0.0.1:{app.port}/ws-audio"
        watch = Watch(healthy.handler)
        connections = [await connect(url, proxy=None, max_size=None) for _ in range(CLIENTS)]
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(attack(connection, MESSAGES // CLIENTS, random.Random(seed)))
                for seed, connection in enumerate(connections)
            ]
        assert sum(task.result() for task in running) > MESSAGES / 2
        for connection in connections:
            await connection.close()
            assert connection.close_code == 1000
        await watch.verdict()
