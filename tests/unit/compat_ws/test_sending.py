"""What waits for a client: bounded, the oldest sound dropped first, a stalled client given up."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from compat_ws.sending import MAX_TEXTS, Outbox, Payload, Stalled
from media_server.metrics import Metrics


class Client:
    """Takes what it is sent while ``open`` is set."""

    def __init__(self) -> None:
        self.got: list[Payload] = []
        self.open = asyncio.Event()

    async def send(self, payload: Payload) -> None:
        await self.open.wait()
        self.got.append(payload)


async def run(outbox: Outbox) -> None:
    """Sends until nothing waits."""
    task = asyncio.create_task(outbox.run())
    while len(outbox) and not task.done():  # noqa: ASYNC110
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_second_of_sound_waits_and_the_oldest_goes_first() -> None:
    client = Client()
    outbox = Outbox(client.send, Metrics())
    for number in range(5):
        outbox.text(f"final {number}")
        outbox.audio(bytes((number,)), 0.4)
    assert outbox.audio_s == pytest.approx(0.8)
    client.open.set()
    await run(outbox)
    assert client.got == ["final 0", "final 1", "final 2", "final 3", b"\x03", "final 4", b"\x04"]


async def test_a_clip_longer_than_that_waits_alone() -> None:
    client = Client()
    outbox = Outbox(client.send, Metrics())
    outbox.audio(b"a", 3.0)
    outbox.audio(b"b", 4.0)
    assert outbox.audio_s == 4.0
    client.open.set()
    await run(outbox)
    assert client.got == [b"b"]


async def test_a_newer_partial_takes_the_place_of_one_that_waits() -> None:
    client = Client()
    outbox = Outbox(client.send, Metrics())
    for text, partial in (("p1", True), ("p2", True), ("f1", False), ("p3", True)):
        outbox.text(text, partial=partial)
    client.open.set()
    await run(outbox)
    assert client.got == ["p2", "f1", "p3"]


async def test_who_takes_nothing_or_lets_too_much_wait_is_given_up() -> None:
    stuck = Outbox(Client().send, Metrics(), stall_s=0.01)
    stuck.text("final")
    with pytest.raises(Stalled, match="nothing was read"):
        await stuck.run()
    client = Client()
    client.open.set()
    slow = Outbox(client.send, Metrics())
    for number in range(MAX_TEXTS + 1):
        slow.text(str(number))
    with pytest.raises(Stalled, match="too much"):
        await slow.run()


async def test_who_lets_answers_wait_is_not_ready_until_they_are_read_or_the_connection_ends() -> None:
    client = Client()
    outbox = Outbox(client.send, Metrics())
    for number in range(100):
        outbox.text(str(number))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.ready(), 0.01)
    client.open.set()
    await run(outbox)
    await outbox.ready()
    for number in range(100):
        outbox.text(str(number))
    outbox.close()
    await outbox.ready()
    outbox.audio(b"late", 5.0)
    assert len(outbox) == 0
