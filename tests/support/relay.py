"""A user-space UDP relay between a client and a server: loses, delays, reorders and doubles by a seed.

Its address takes the place of the candidates in the answer, so both sides see only the relay. ``rebind()``
gives the client a new address towards the server, as a NAT that forgot its mapping does.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass
from typing import Any


@dataclass
class Network:
    """What happens to datagrams of media (first byte 128 to 191), in one direction."""

    loss: float = 0.0
    jitter_s: float = 0.0
    """Mean of the exponential extra delay; datagrams overtake each other."""
    delay_s: float = 0.0
    twice: float = 0.0
    drop_all: bool = False
    """Everything is lost, STUN and DTLS too."""


@dataclass
class Seen:
    at: float
    data: bytes


class _Side(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay, upstream: bool) -> None:
        self._relay, self._upstream = relay, upstream
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._relay.received(data, (addr[0], addr[1]), self, self._upstream)


class Relay:
    """One call's relay on 127.0.0.1. ``async with`` closes it."""

    def __init__(self, seed: int = 1, up: Network | None = None, down: Network | None = None) -> None:
        self.up = up or Network()
        self.down = down or Network()
        self.passed_up: list[Seen] = []
        self.passed_down: list[Seen] = []
        self._rng = random.Random(seed)
        self._front: _Side | None = None
        self._back: _Side | None = None
        self._old: list[_Side] = []
        self._server: tuple[str, int] | None = None
        self._client: tuple[str, int] | None = None
        self._closed = False

    async def __aenter__(self) -> Relay:
        self._front = await self._open(upstream=True)
        self._back = await self._open(upstream=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        for side in (self._front, self._back, *self._old):
            if side is not None:
                side.transport.close()
        await asyncio.sleep(0)

    async def _open(self, upstream: bool) -> _Side:
        _, side = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Side(self, upstream), local_addr=("127.0.0.1", 0)
        )
        return side

    def rewrite(self, answer: str) -> str:
        """The answer with the relay as its only candidate; remembers where the server is."""
        assert self._front is not None
        found = re.search(r"a=candidate:\S+ 1 udp \d+ (127\.0\.0\.1) (\d+) typ host", answer)
        assert found, answer
        self._server = (found[1], int(found[2]))
        port = self._front.transport.get_extra_info("sockname")[1]
        lines, seen = [], 0
        for line in answer.splitlines():
            if line.startswith("m="):
                seen = 0
            if line.startswith("a=candidate:"):
                seen += 1
                if seen > 1:
                    continue
                line = f"a=candidate:relay 1 udp 2130706431 127.0.0.1 {port} typ host"
            lines.append(line)
        return "\r\n".join(lines) + "\r\n"

    async def rebind(self) -> None:
        """From now on the server sees the client at another port; the old one is dead."""
        assert self._back is not None
        self._old.append(self._back)
        old, self._back = self._back, await self._open(upstream=False)
        old.transport.close()

    def received(self, data: bytes, addr: tuple[str, int], side: _Side, upstream: bool) -> None:
        if upstream:
            self._client = addr
            self._pass(data, self.up, lambda: self._send_up(data))
        elif side is self._back:
            self._pass(data, self.down, lambda: self._send_down(data))

    def _pass(self, data: bytes, network: Network, send: Any) -> None:
        if network.drop_all:
            return
        if not (data and 128 <= data[0] < 192):
            send()
            return
        rng = self._rng
        for _ in range(2 if rng.random() < network.twice else 1):
            if rng.random() < network.loss:
                continue
            delay = network.delay_s + (rng.expovariate(1 / network.jitter_s) if network.jitter_s else 0.0)
            if delay:
                asyncio.get_running_loop().call_later(delay, send)
            else:
                send()

    def _send_up(self, data: bytes) -> None:
        if not self._closed and self._back is not None and self._server is not None:
            self.passed_up.append(Seen(asyncio.get_running_loop().time(), data))
            self._back.transport.sendto(data, self._server)

    def _send_down(self, data: bytes) -> None:
        if not self._closed and self._front is not None and self._client is not None:
            self.passed_down.append(Seen(asyncio.get_running_loop().time(), data))
            self._front.transport.sendto(data, self._client)
