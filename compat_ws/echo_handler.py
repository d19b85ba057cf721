"""``WS /ws-audio``: every binary message comes back denoised, to its sender and nobody else.

Nothing is kept, heard by an engine, or sent to anybody but the one who sent it, so this is no entrance of sound in the
sense of ``Interpreter.feed()``, and consent is not asked for.

Answers go straight to the transport while it takes them (``echo_sending``); compression is never agreed to, since it
costs more than everything else here together. One timer serves all clients: idle ones, stalled ones, metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from aiohttp import WebSocketError, WSMsgType, web

from compat_ws.echo_denoise import Denoisers, EchoStream
from compat_ws.echo_messages import LARGEST, Format, answer_text
from compat_ws.echo_reader import DirectWebSocket, usable
from compat_ws.echo_sending import Outbox
from media_server.errors import BadRequest, Overloaded, TooManyRequests
from media_server.pipeline.denoise import NoiseGate
from media_server.rooms.hub import Hub
from media_server.tasks import TaskOwner

logger = logging.getLogger(__name__)

PATH = "/ws-audio"
HEARTBEAT_S = 10.0  # without a byte from the client, then a ping
PONG_S = 5.0  # to answer it
STALLED_S = 10.0  # without taking anything of what waits
CLOSE_S = 2.0  # from our goodbye to the end of the connection
SWEEP_S = 1.0
UNSENT = 32 * 1024  # bytes that the system keeps for a client beyond what is on its way to it
FULL_SHOWN_S = 10.0  # /health speaks of it this long

_EXPECTED = (ConnectionError, TimeoutError, WebSocketError)
"""What a peer or a network can do to a connection."""

GOING_AWAY, POLICY, BROKEN = 1001, 1008, 1011  # RFC 6455 section 7.4.1


class Client:
    """One connection: its stream, its way out, and what the sweep last saw of it."""

    def __init__(self, outbox: Outbox, stream: EchoStream, transport: asyncio.Transport, now: float) -> None:
        self.outbox, self.stream = outbox, stream
        self.started_s = self.spoke_at_s = self._alive_at_s = now
        self._pinged = False
        self.seen = self.counted = 0
        self.reason = "left"
        self._transport = transport
        self._abort: asyncio.TimerHandle | None = None

    def close(self, code: int, reason: str, words: str) -> None:
        """Says goodbye with a reason; whoever does not answer to that is cut off. Idempotent."""
        if self._abort is None:
            self.reason = reason
            self.outbox.close(code, words)
            self._abort = asyncio.get_running_loop().call_later(CLOSE_S, self._transport.abort)

    def beat(self, now: float) -> None:
        """Pings a client that has been silent, and cuts off one that does not answer."""
        if self.outbox.heard:
            self.outbox.heard = False
            self._alive_at_s, self._pinged = now, False
        elif self._pinged and now - self._alive_at_s > HEARTBEAT_S + PONG_S:
            self.reason = "no pong"
            self._transport.abort()
        elif not self._pinged and now - self._alive_at_s > HEARTBEAT_S:
            self._pinged = True
            self.outbox.ping()

    def gone(self) -> None:
        self.stream.close()
        if self._abort is not None:
            self._abort.cancel()


class Echo:
    """The endpoint. ``add_to`` an application, whose start and end are this one's, too."""

    path = PATH

    def __init__(self, hub: Hub, denoiser: tuple[str, str]) -> None:
        """``denoiser``: name and reason of the one that calls use; it says whether RNNoise is there."""
        self._hub, self._settings, self._metrics = hub, hub.settings, hub.metrics
        settings = hub.settings
        self._default = Format(
            settings.default_sample_rate, settings.default_channels, settings.default_frame_size
        )
        self._gate = NoiseGate(settings.noise_gate_threshold, settings.noise_gate_attenuation)
        self._denoisers = Denoisers() if denoiser[0] == "rnnoise" else None
        self._reason = denoiser[1]
        self._clients: set[Client] = set()
        self._addresses: Counter[str] = Counter()
        self._tasks = TaskOwner("echo")
        self._empty = asyncio.Event()
        self._address: Callable[[web.Request], str] = lambda request: request.remote or ""
        self._messages = 0
        self._reported = {"rnnoise": 0, "full": 0, "gate": 0}

    def add_to(self, app: web.Application, address: Callable[[web.Request], str]) -> None:
        """Joins the application. ``address`` tells where a request came from."""
        self._address = address
        app.router.add_get(PATH, self.handle)
        app.cleanup_ctx.append(self._lifetime)
        app.on_shutdown.append(self._say_goodbye)

    async def _lifetime(self, app: web.Application) -> AsyncIterator[None]:
        if self._denoisers is not None:
            self._denoisers.start()
        self._tasks.start(self._sweep_on(), "sweep")
        yield
        await self._tasks.stop()
        if self._denoisers is not None:
            self._denoisers.stop()

    async def _say_goodbye(self, app: web.Application) -> None:
        for client in list(self._clients):
            client.close(GOING_AWAY, "server stopped", "the server is restarting")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S + 1):
                while self._clients:
                    self._empty.clear()
                    await self._empty.wait()

    # -- one connection -----------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """``GET /ws-audio``: an upgrade, or JSON with the reason why not."""
        ws = DirectWebSocket(compress=False, heartbeat=None, max_msg_size=2 * LARGEST, writer_limit=0)
        address = self._address(request)
        self._admit(request, ws, address)
        self._addresses[address] += 1
        try:
            ws.out = outbox = Outbox(ws, request, self._start_drain, self._count_drops)
            await ws.prepare(request)
            await self._serve(request, ws, outbox)
        except ConnectionError:
            pass  # gone before it began
        finally:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
        return ws

    def _admit(self, request: web.Request, ws: web.WebSocketResponse, address: str) -> None:
        settings, hub = self._settings, self._hub
        if not ws.can_prepare(request):
            raise BadRequest("This address speaks WebSocket (RFC 6455) only.", code="NOT_A_WEBSOCKET")
        if hub.draining or hub.loop_lag_s * 1000 > settings.max_loop_lag_ms:
            raise Overloaded("The server is busy or restarting. Please try again.", retry_after_s=3)
        if self._addresses.total() >= settings.echo_max_clients:
            raise Overloaded("The server is full.", code="SERVER_FULL", retry_after_s=10)
        if 0 < settings.ws_max_per_address <= self._addresses[address]:
            raise TooManyRequests("Too many connections from this address.", retry_after_s=10)

    def _start_drain(self, drain: Coroutine[Any, Any, None]) -> None:
        self._tasks.start(drain, "drain")

    async def _serve(self, request: web.Request, ws: DirectWebSocket, outbox: Outbox) -> None:
        loop = asyncio.get_running_loop()
        transport = request.transport
        if transport is None:
            return
        _keep_little_unsent(transport)
        stream = EchoStream(self._default, self._gate, self._denoisers, outbox.send, loop.time)
        client = Client(outbox, stream, transport, loop.time())
        self._clients.add(client)
        self._metrics.ws_connections.labels(PATH).inc()
        try:
            await self._listen(ws, stream)
        except Exception:  # the last line of defence: an upgraded connection takes no HTTP error any more
            logger.exception("an echo client failed")
            client.close(BROKEN, "failed", "something went wrong on the server")
        finally:
            self._clients.discard(client)
            client.gone()
            self._account(client)
            self._empty.set()
            logger.info(
                "echo ended",
                extra={
                    "reason": client.reason,
                    "duration_s": round(loop.time() - client.started_s, 1),
                    "messages": stream.messages,
                },
            )

    async def _listen(self, ws: DirectWebSocket, stream: EchoStream) -> None:
        """Until the client leaves. Most binary messages never come here: ``echo_reader`` passes them on."""
        while True:
            message = await ws.receive()
            if message.type is WSMsgType.BINARY:
                stream.take(message.data)
            elif message.type is WSMsgType.TEXT:
                answer, sound = answer_text(message.data, self._default)
                stream.say(answer)
                if sound is not None and sound != stream.sound:
                    stream.set_format(sound)
            else:  # closed, by whomever
                if message.type is WSMsgType.ERROR and not isinstance(message.data, _EXPECTED):
                    logger.error("an echo client failed", exc_info=message.data)
                return
            await stream.eased()
            ws.open(stream.take)

    # -- time and accounts --------------------------------------------------------------------------------------

    async def _sweep_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep(loop.time())

    def sweep(self, now: float) -> None:
        """Closes who is idle or stalled, and brings the metrics up to date."""
        waiting_s = 0.0
        for client in list(self._clients):
            self._account(client)
            if usable:
                client.beat(now)
            waiting_s += client.outbox.waiting_s
            if client.stream.messages != client.seen:
                client.seen, client.spoke_at_s = client.stream.messages, now
            if client.outbox.stalled_for(now) > STALLED_S:
                client.close(POLICY, "stalled", "too slow: nothing was read for 10 seconds")
            elif now - client.spoke_at_s > self._settings.ws_idle_secs:
                client.close(GOING_AWAY, "idle", "idle: no sound came for a while")
        self._metrics.queue_depth.labels("echo").set(round(waiting_s, 3))
        self._report()

    def _account(self, client: Client) -> None:
        self._messages += client.stream.messages - client.counted
        client.counted = client.stream.messages

    def _report(self) -> None:
        counts = self._counts()
        for how, count in counts.items():
            self._metrics.echo_messages.labels(how).inc(count - self._reported[how])
        self._reported = counts

    def _counts(self) -> dict[str, int]:
        """Messages so far by what they went through; ``full``: the gate, since the cores were full."""
        denoised = self._denoisers.denoised if self._denoisers else 0
        full = self._denoisers.full if self._denoisers else 0
        gate = max(self._reported["gate"], self._messages - denoised - full)
        return {"rnnoise": denoised, "full": full, "gate": gate}

    def _count_drops(self, count: int) -> None:
        self._metrics.drops.labels("echo").inc(count)

    # -- what /health says --------------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """What runs here and what went through it."""
        denoisers = self._denoisers
        return {
            "clients": len(self._clients),
            "denoiser": "rnnoise" if denoisers else "gate",
            "reason": self._reason,
            "threads": denoisers.threads if denoisers else 0,
            "full": self._is_full(),
            "messages": self._counts(),
        }

    def notices(self) -> list[dict[str, str]]:
        """For people, while it holds."""
        if not self._is_full():
            return []
        words = f"The cores are full: some clients of {PATH} get the noise gate instead of RNNoise."
        return [{"level": "warning", "text": words}]

    def _is_full(self) -> bool:
        if self._denoisers is None:
            return False
        return asyncio.get_running_loop().time() - self._denoisers.full_at_s < FULL_SHOWN_S


def _keep_little_unsent(transport: asyncio.Transport) -> None:
    """A slow client's answers wait where the oldest can be dropped, not in the system's buffers."""
    sock = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if sock is not None and option is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, UNSENT)
