"""Malformed everything at a server with one healthy call. ``FUZZ=10`` makes it ten times as much."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pylibsrtp
import pytest

from media_server.audio import opus
from media_server.errors import PeerError
from media_server.metrics import Metrics
from media_server.rtc.peer import Peer, RtcConfig
from tests.support.stalls import Stalls
from tests.support.webrtc import Call, Client, Handler, call, no_leaked_tasks, only_loopback, until

__all__ = ["no_leaked_tasks", "only_loopback"]

TIMES = int(os.environ.get("FUZZ", "1"))
OFFERS = 1_000 * TIMES
DATAGRAMS = 10_000 * TIMES

CONFIG = RtcConfig(bind="127.0.0.1", max_half_open=10_000, max_half_open_per_address=10_000)

pytestmark = [
    pytest.mark.usefixtures("only_loopback", "no_leaked_tasks"),
    pytest.mark.timeout(60 + 60 * TIMES),
]


class Watch:
    """Unhandled exceptions of the loop, and how the healthy call fares, while it is entered."""

    def __init__(self, handler: Handler) -> None:
        self.errors: list[dict[str, Any]] = []
        self._handler = handler
        self._times: list[float] = []
        self._stalls = Stalls()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.errors.append(context))
        original = handler.on_audio

        def on_audio(pcm: Any) -> None:
            self._times.append(loop.time())
            original(pcm)

        handler.on_audio = on_audio  # type: ignore[method-assign]

    async def __aenter__(self) -> Watch:
        self._stalls.__enter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        self._stalls.__exit__(*raised)

    async def verdict(self) -> None:
        """No gap is longer than 60 ms, but for what the machine itself stood still."""
        await until(lambda: len(self._times) > 50, 20)
        assert self.errors == []
        assert self._handler.closed == []
        for start, end in pairwise(self._times):
            gap_ms, stood_ms = (end - start) * 1000, self._stalls.between_ms(start, end)
            assert gap_ms <= 60 + stood_ms, (
                f"a gap of {gap_ms:.0f} ms; the machine stood still {stood_ms:.0f} of it"
            )
        assert self._handler.gap_ms <= self._stalls.longest_ms


def mutated(text: str, rng: random.Random) -> str:
    lines = text.split("\r\n")
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(lines))
        line = lines[at]
        kind = rng.randrange(7)
        if kind == 0:
            lines[at] = line[: rng.randrange(len(line) + 1)]
        elif kind == 1:
            lines.insert(at, line)
        elif kind == 2:
            del lines[at]
            lines = lines or [""]
        elif kind == 3:
            lines[at] = line.replace(":", rng.choice((" ", "::", "\0", "\u0130")), 1)
        elif kind == 4:
            lines[at] = line + rng.choice(("9" * 30, " -1", "/0", "\t", "a=" * 50))
        elif kind == 5:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = "".join(rng.choice((c, chr(rng.randrange(1, 256)))) for c in line)
    return "\r\n".join(lines)


async def test_mutated_offers_get_an_answer_or_a_reason() -> None:
    rng = random.Random(1)
    client = Client.make()
    client.pc.addTransceiver("video")
    offer = await client.offer()
    metrics, outcomes = Metrics(), Counter[str]()
    async with call() as healthy, Watch(healthy.handler) as watch:
        for _ in range(OFFERS):
            try:
                peer = await Peer.accept(mutated(offer, rng), Handler(), CONFIG, metrics)
            except PeerError as error:
                outcomes[f"{error.status} {error.code}"] += 1
            else:
                outcomes["answered"] += 1
                await peer.close("fuzz")
            await asyncio.sleep(0)
        await watch.verdict()
    await client.close()
    assert outcomes["answered"] > OFFERS / 20
    assert outcomes["400 BAD_SDP"] > OFFERS / 20
    assert all(outcome == "answered" or outcome[0] == "4" for outcome in outcomes), outcomes


def stun_of(here: Call) -> bytes:
    connection = here.client.connection
    request = connection.build_request(connection._check_list[0], nominate=False)
    request.add_message_integrity(connection.remote_password.encode())
    return bytes(request)


def noise(rng: random.Random, template: bytes) -> bytes:
    data = bytearray(template[: rng.randrange(len(template) + 1)])
    for _ in range(rng.randrange(8)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data) + rng.randbytes(rng.randrange(20))


async def test_datagrams_of_strangers_disturb_nobody() -> None:
    rng = random.Random(2)
    rtp = b"\x90\x6f" + bytes(70)
    rtcp = b"\x81\xc9\x00\x07" + bytes(28)
    async with call() as here, Watch(here.handler) as watch:
        stun = stun_of(here)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for n in range(DATAGRAMS * 2):
                sock.sendto(noise(rng, (stun, rtp, stun, rtcp)[n % 4]), here.server_address)
                if n % 20 == 19:
                    await asyncio.sleep(0.001)
        await until(lambda: here.dropped("stun") > 0)
        await watch.verdict()


async def test_a_peer_that_sends_garbage_inside_its_encryption_harms_itself_only() -> None:
    rng = random.Random(3)
    payload = opus.new_encoder().encode(np.zeros(960, np.int16))
    async with call() as healthy, call() as hostile, Watch(healthy.handler) as watch:
        ssrc = hostile.client.pc.getSenders()[0]._ssrc
        sent = 0
        for n in range(DATAGRAMS):
            if n % 2:
                body = bytes((0x80 | rng.randrange(32), rng.choice((96, 224, rng.randrange(128)))))
                body += rng.randbytes(6) + rng.choice((ssrc, rng.randrange(1 << 32))).to_bytes(4)
                packet = body + noise(rng, payload)
            else:
                packet = bytes((0x80 | rng.randrange(32), rng.randrange(200, 208)))
                size = rng.randrange(12)
                packet += rng.choice((size, rng.randrange(1 << 16))).to_bytes(2)
                packet += ssrc.to_bytes(4) + rng.randbytes(size * 4)
            with contextlib.suppress(pylibsrtp.Error):  # it refuses what is no packet at all
                await hostile.client.dtls._send_rtp(packet)
                sent += 1
            if n % 20 == 19:
                await asyncio.sleep(0.001)
        assert sent > DATAGRAMS / 10
        await watch.verdict()
