"""The door: what a TCP connection may cost before and between requests.

aiohttp closes connections that stay idle, and the handlers bound the bodies they read. The door adds what is missing:

- a request whose head has not come ``HEAD_S`` after its first byte gets 408; a TLS handshake has as long;
- a client that does not read its answer for ``STALL_S`` is cut off;
- one address, and all of them together, have so many connections at most. When that is reached, the connection that has
  waited longest with no request in hand gives way to the new one; when all of them are at work the new one gets 429.

It stands between the transport and aiohttp's protocol until a request asks for an upgrade. From there on the
connection is the WebSocket handler's alone: the door only counts it. WebRTC's datagrams do not come this way.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

from aiohttp import web

from media_server.clock import Clock, monotonic
from media_server.config import Settings
from media_server.metrics import Metrics
from media_server.tasks import TaskOwner

HEAD_S = 10.0
STALL_S = 30.0
SWEEP_S = 1.0
BACKLOG = 512
MOST_DESCRIPTORS = 65_536


class Phase(Enum):
    """What a connection is doing."""

    IDLE = "no request yet, or between two"
    HEAD = "a request has begun to come"
    BUSY = "a request is being answered"
    UPGRADED = "a WebSocket"


@dataclass(slots=True, eq=False)
class Visit:
    """One connection, as far as the door cares."""

    address: str
    since_s: float
    """When the phase began."""
    phase: Phase = Phase.IDLE
    stalled_s: float | None = None
    """Since when the peer takes no more of what is written; None while it does."""

    def enter(self, phase: Phase, now: float) -> None:
        self.phase, self.since_s = phase, now

    def overdue(self, now: float) -> str:
        """Why the connection should end now; empty when it should not."""
        if self.phase is Phase.HEAD and now - self.since_s > HEAD_S:
            return "head"
        stalled = self.stalled_s is not None and now - self.stalled_s > STALL_S
        return "stalled" if stalled and self.phase is not Phase.UPGRADED else ""


@dataclass
class Crowd:
    """Who is inside. The caps are its only rule; it touches no socket."""

    per_address: int
    total: int
    unlimited: Callable[[str], bool] = lambda address: False
    """Addresses that many people share: reverse proxies."""
    visits: dict[Visit, None] = field(default_factory=dict)

    def make_room(self, address: str) -> tuple[bool, Visit | None]:
        """May another connection of ``address`` come in, and who has to leave for it?"""
        own = [visit for visit in self.visits if visit.address == address]
        if len(own) >= self.per_address and not self.unlimited(address):
            rivals = own
        elif len(self.visits) >= self.total:
            rivals = list(self.visits)
        else:
            return True, None
        waiting = [visit for visit in rivals if visit.phase in {Phase.IDLE, Phase.HEAD}]
        if not waiting:
            return False, None
        return True, min(waiting, key=lambda visit: visit.since_s)


class Guard(asyncio.Protocol):
    """Stands before aiohttp's protocol of one connection and hands everything on."""

    def __init__(self, door: Door, inner: asyncio.Protocol) -> None:
        self._door = door
        self.inner = inner
        self.visit: Visit | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        self.visit = self._door.admit(self)
        if self.visit is not None:
            self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.visit is None:
            return
        if self.visit.phase is Phase.IDLE:
            self.visit.enter(Phase.HEAD, self._door.clock())
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received() if self.visit is not None else None

    def pause_writing(self) -> None:
        if self.visit is not None:
            self.visit.stalled_s = self._door.clock()
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        if self.visit is not None:
            self.visit.stalled_s = None
            self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.visit is not None:
            self._door.left(self)
            self.inner.connection_lost(exc)


class Door:
    """Listens and keeps the rules above. ``open`` and ``close`` frame its life."""

    def __init__(self, crowd: Crowd, metrics: Metrics, clock: Clock = monotonic) -> None:
        self.clock = clock
        self._crowd = crowd
        self._metrics = metrics
        self._guards: dict[asyncio.BaseProtocol, Guard] = {}
        """By aiohttp's protocol, which a request names."""
        self._of: dict[Visit, Guard] = {}
        self._server: asyncio.Server | None = None
        self._tasks = TaskOwner("door")

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> Door:
        """A quarter of the file descriptors stays free for calls, engines and files."""
        total = descriptors() * 3 // 4
        return cls(
            Crowd(settings.max_connections_per_address, total, within(settings.trusted_proxies)), metrics
        )

    async def open(self, server: web.Server, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listens; OSError when that cannot be."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Guard(self, server()),
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=HEAD_S if tls is not None else None,
            backlog=BACKLOG,
        )
        self._tasks.start(self._sweep(), "sweep")

    async def close(self) -> None:
        """No new connections; those that are there are aiohttp's to end."""
        if self._server is not None:
            self._server.close()
        await self._tasks.stop()

    def admit(self, guard: Guard) -> Visit | None:
        """The visit of a new connection; None when it was turned away."""
        peer = guard.transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        welcome, leaving = self._crowd.make_room(address)
        if leaving is not None:
            self._end(self._of[leaving], "crowded")
        if not welcome:
            self._metrics.http_closed.labels("refused").inc()
            guard.transport.write(_refusal(429, "TOO_MANY_CONNECTIONS", "Too many connections at a time."))
            guard.transport.close()
            return None
        visit = Visit(address, self.clock())
        self._crowd.visits[visit] = None
        self._guards[guard.inner] = self._of[visit] = guard
        self._metrics.http_connections.set(len(self._of))
        return visit

    def left(self, guard: Guard) -> None:
        """The connection has ended. Idempotent."""
        if guard.visit is not None:
            self._crowd.visits.pop(guard.visit, None)
            self._of.pop(guard.visit, None)
        self._guards.pop(guard.inner, None)
        self._metrics.http_connections.set(len(self._of))

    @contextlib.contextmanager
    def request(self, request: web.Request) -> Iterator[None]:
        """Around the answering of a request."""
        guard = self._guards.get(request.protocol)
        if guard is None or guard.visit is None:  # a server of a test, without a door
            yield
            return
        upgrading = request.headers.get("Upgrade", "").lower() == "websocket"
        guard.visit.enter(Phase.UPGRADED if upgrading else Phase.BUSY, self.clock())
        if upgrading:  # not a call of ours for each of its messages
            guard.transport.set_protocol(guard.inner)
        try:
            yield
        finally:
            guard.visit.enter(Phase.IDLE, self.clock())
            if upgrading:
                guard.visit.stalled_s = None
                if guard.transport.is_closing():  # nobody will tell the guard
                    self.left(guard)
                else:
                    guard.transport.set_protocol(guard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = self.clock()
            for visit, guard in list(self._of.items()):
                if reason := visit.overdue(now):
                    self._end(guard, reason)

    def _end(self, guard: Guard, reason: str) -> None:
        self._metrics.http_closed.labels(reason).inc()
        self.left(guard)
        if reason == "stalled":
            guard.transport.abort()  # what it does not read would keep a connection that is only closed
            return
        if reason == "head":
            guard.transport.write(_refusal(408, "REQUEST_TIMEOUT", "The request did not come in time."))
        guard.transport.close()


def _refusal(status: int, code: str, message: str) -> bytes:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    reason = {408: "Request Timeout", 429: "Too Many Requests"}[status]
    retry = "Retry-After: 5\r\n" if status == 429 else ""
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"{retry}Connection: close\r\n\r\n"
    )
    return head.encode() + body


def descriptors() -> int:
    """How many file descriptors this process may have; the soft limit is raised as far as is allowed and sensible."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MOST_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def within(networks: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether an address belongs to one of ``networks``."""
    known = [ipaddress.ip_network(cidr, strict=False) for cidr in networks]

    def is_within(address: str) -> bool:
        try:
            return any(ipaddress.ip_address(address) in network for network in known)
        except ValueError:
            return False

    return is_within
