"""``WS /ws/audio``: the socket's side. Admission before the upgrade, one task that sends, one that keeps time.

A client that reads nothing for 10 s is closed (1008), so is one on which nothing moves for ``WS_IDLE_SECS``; pings
every 10 s find those that are gone. The session ends with its connection, unless it was made by ``/session/create``:
that one waits ``RESUME_SECS`` for its client to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from compat_ws import messages
from compat_ws.audio_call import AudioCall
from compat_ws.clips import Clips
from compat_ws.limits import buffer_little
from compat_ws.sending import STALL_S, Outbox, Payload, Stalled
from media_server.errors import BadRequest, TooManyRequests
from media_server.rooms.hub import Hub
from media_server.rooms.session import Session
from media_server.tasks import TaskOwner

logger = logging.getLogger(__name__)

PATH = "/ws/audio"
HEARTBEAT_S = 10.0
TICK_S = 0.25
RETRY_S = 5
CLOSE_S = 1.0  # for the closing frame to leave

type AddressOf = Callable[[web.Request], str]


class _Socket:
    """One WebSocket and what belongs to it."""

    def __init__(self, endpoint: AudioSockets, session: Session, room: str | None) -> None:
        hub = endpoint.hub
        self.ws = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            max_msg_size=messages.MAX_MESSAGE,
            compress=False,
            writer_limit=1,
            timeout=CLOSE_S,
        )
        self._hub = hub
        self._transport: asyncio.Transport | None = None
        self._tasks = TaskOwner("ws.audio")
        self._closing: asyncio.Task[None] | None = None
        self._outbox = Outbox(self._send, hub.metrics, stall_s=endpoint.stall_s)
        self.call = AudioCall(
            hub,
            session,
            endpoint.clips,
            self._outbox,
            endpoint.calls,
            room=room,
            on_replaced=self._replaced,
            now=hub.clock(),
        )

    async def run(self, request: web.Request) -> None:
        """From the upgrade to the end of the connection."""
        await self.ws.prepare(request)
        self._transport = request.transport
        buffer_little(self._transport)
        self._hub.metrics.ws_connections.labels(PATH).inc()
        session = self.call.session
        session.hears_itself = True
        session.attach(self.call)
        session.greet()
        self._tasks.start(self._sending(), "send")
        self._tasks.start(self._keep_time(), "time")
        async for message in self.ws:
            await self._outbox.ready()
            try:
                if message.type is WSMsgType.TEXT:
                    await self.call.on_text(message.data, self._hub.clock())
                elif message.type is WSMsgType.BINARY:
                    await self.call.on_binary(message.data, self._hub.clock())
            except Exception:  # one message is lost; the call goes on
                logger.exception("a message could not be handled")
                self.call.send_text(messages.error("INTERNAL", "Something went wrong on the server."))

    async def stop(self) -> None:
        """Ends the tasks, a closing that has begun first. Idempotent."""
        self.call.close()
        if self._closing is not None:
            await self._closing
        await self._tasks.stop()

    async def _send(self, payload: Payload) -> None:
        if isinstance(payload, str):
            await self.ws.send_str(payload)
        else:
            await self.ws.send_bytes(payload)

    async def _sending(self) -> None:
        try:
            await self._outbox.run()
        except Stalled as stalled:
            await self.close(WSCloseCode.POLICY_VIOLATION, str(stalled))
        except (ConnectionError, RuntimeError):
            pass  # the connection is gone; the reader notices, too
        finally:
            self._outbox.close()

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = self._hub.clock()
            self.call.tick(now)
            if self.call.idle_s(now) > self._hub.settings.ws_idle_secs:
                await self.close(WSCloseCode.POLICY_VIOLATION, "nothing moved for too long")
                return

    def _replaced(self) -> None:
        self._close_soon(WSCloseCode.OK, "another connection has taken over")

    async def close(self, code: int, reason: str) -> None:
        """Says why, where it can still be said, and cuts the connection; within two seconds."""
        await asyncio.shield(self._close_soon(code, reason))

    def _close_soon(self, code: int, reason: str) -> asyncio.Task[None]:
        """A task that nobody cancels: the client is to be told although the handler ends meanwhile."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(
                self._close(code, reason), name="ws.audio.close"
            )
        return self._closing

    async def _close(self, code: int, reason: str) -> None:
        # Nobody cancels this task: it is aiohttp that ends so when a frame before this one gave up waiting.
        with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError, asyncio.CancelledError):
            async with asyncio.timeout(CLOSE_S + 0.5):
                await self.ws.close(code=code, message=reason.encode())
        if self._transport is not None:
            self._transport.abort()


class AudioSockets:
    """The endpoint. ``add_to`` an application, whose start and end are this one's, too."""

    path = PATH

    def __init__(self, hub: Hub, *, stall_s: float = STALL_S) -> None:
        self.hub = hub
        self.stall_s = stall_s
        self._address_of: AddressOf = lambda request: request.remote or ""
        self._addresses: Counter[str] = Counter()
        self.clips = Clips(hub.metrics, hub.clock)
        self.calls: dict[str, AudioCall] = {}
        self._sockets: set[_Socket] = set()

    def add_to(self, app: web.Application, address: AddressOf) -> None:
        """Joins the application. ``address`` tells where a request came from."""
        self._address_of = address
        app.router.add_get(PATH, self.handle)
        app.cleanup_ctx.append(self._lifetime)
        app.on_shutdown.append(self._shut)

    async def _lifetime(self, app: web.Application) -> AsyncIterator[None]:
        self.clips.start()
        yield
        await self.clips.stop()

    async def _shut(self, app: web.Application) -> None:
        """The server stops: every client is told."""
        closing = (
            socket.close(WSCloseCode.GOING_AWAY, "the server is restarting") for socket in self._sockets
        )
        await asyncio.gather(*closing)

    def health(self) -> dict[str, Any]:
        """How the endpoint is, for ``/health``."""
        return {"clients": len(self._sockets)}

    def notices(self) -> list[dict[str, str]]:
        """What people should know: nothing; engines and refusals are said by the server itself."""
        return []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """A connection, from its request to its end. Refusals (429, 503) come before the upgrade."""
        if not web.WebSocketResponse().can_prepare(request).ok:
            raise BadRequest("This address is for WebSockets.", code="NOT_A_WEBSOCKET")
        address = self._address_of(request)
        if 0 < self.hub.settings.ws_max_per_address <= self._addresses[address]:
            raise TooManyRequests(
                "There are too many connections from your address.",
                code="TOO_MANY_CONNECTIONS",
                retry_after_s=RETRY_S,
            )
        self._addresses[address] += 1
        try:
            return await self._serve(request, address)
        finally:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    async def _serve(self, request: web.Request, address: str) -> web.StreamResponse:
        hub = self.hub
        session, held = self._session(request, address)
        room = request.query.get("room", "")[: messages.MAX_ROOM] or None
        socket = _Socket(self, session, room)
        self._sockets.add(socket)
        try:
            await socket.run(request)
        finally:
            self._sockets.discard(socket)
            await socket.stop()
            is_over = session.line is None or session.detach(socket.call)
            if is_over and (hub.draining or not held):
                await hub.end(session, "drained" if hub.draining else "left")
        return socket.ws

    def _session(self, request: web.Request, address: str) -> tuple[Session, bool]:
        """A session that was made before, or a new one; and whether it outlives its connection. Raises Overloaded."""
        hub = self.hub
        session_id = request.query.get("session", "")
        found = next((session for session in hub if session_id and session.id == session_id), None)
        if found is None:
            return hub.open(source=None, target=None, room=None, address=address), False
        if hub.draining and (refusal := hub.refusal()) is not None:
            raise refusal
        return found, True
