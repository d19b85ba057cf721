"""Answers on their way to one client of ``/ws-audio``: straight to the socket, or into a short queue when it is full.

A client that reads too slowly loses its own oldest answers, never those of others, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

QUEUE_S = 1.0  # of sound
QUEUE_ENTRIES = 1_000  # answers may hold no sound at all
_BINARY, _TEXT, _CLOSE = (
    0x82,
    0x81,
    0x88,
)  # RFC 6455 section 5.2: FIN and the opcode, neither masked nor compressed
_PING = b"\x89\x00"
_SHORT, _MEDIUM = 126, 65_536


def frame_head(first: int, size: int) -> bytes:
    """The head of a server's frame of ``size`` bytes (RFC 6455 section 5.2)."""
    if size < _SHORT:
        return bytes((first, size))
    if size < _MEDIUM:
        return bytes((first, 126)) + size.to_bytes(2)
    return bytes((first, 127)) + size.to_bytes(8)


class Outbox:
    """The way out to one client. ``start`` runs a coroutine as a task of the owner's.

    The queue holds a second of sound; the oldest answer makes room, ``dropped`` is told how many went.
    """

    def __init__(
        self,
        ws: web.WebSocketResponse,
        request: web.Request,
        start: Callable[[Coroutine[Any, Any, None]], object],
        dropped: Callable[[int], None],
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self._ws = ws
        self._transport = transport
        self._write = transport.write
        self._flow = request.protocol
        self._start, self._dropped = start, dropped
        self._now = asyncio.get_running_loop().time
        self._waiting: deque[tuple[bytes | str, float]] = deque()
        self._waiting_s = 0.0
        self._sending = False
        self._closed = False
        self.heard = False
        """Anything has come from the client since this was last reset."""
        self._corked = False
        self._pieces: list[bytes] = []
        self._moved_at = 0.0
        self._size, self._head = -1, b""

    @property
    def waiting_s(self) -> float:
        """Seconds of sound that wait for the client."""
        return self._waiting_s

    def stalled_for(self, now: float) -> float:
        """Seconds since the client last took anything of what waits for it; 0.0 when nothing waits."""
        return now - self._moved_at if self._sending else 0.0

    def send(self, data: bytes | str, seconds: float) -> None:
        """A message with that much sound in it, binary or text; never waits."""
        if self._sending or self._closed or self._flow.writing_paused:
            self._queue(data, seconds)
            return
        if isinstance(data, str):
            data = data.encode()
            head = frame_head(_TEXT, len(data))
        else:
            if (size := len(data)) != self._size:
                self._size, self._head = size, frame_head(_BINARY, size)
            head = self._head
        if self._corked:
            self._pieces += (head, data)
        elif len(data) < _MEDIUM:
            self._write(head + data)
        else:  # a copy would cost more than a second call
            self._write(head)
            self._write(data)

    def cork(self) -> None:
        """Input has come: what is sent from here to ``uncork`` leaves in one piece, by one call of the system."""
        self.heard = True
        self._corked = True

    def uncork(self) -> None:
        self._corked = False
        if pieces := self._pieces:
            self._pieces = []
            if not self._closed:
                self._write(b"".join(pieces))

    def ping(self) -> None:
        """Asks for a sign of life (RFC 6455 section 5.5.2)."""
        if not self._closed and not self._transport.is_closing():
            self._write(_PING)

    def close(self, code: int, reason: str) -> None:
        """Says goodbye (RFC 6455 section 5.5.1). Whatever waits is dropped, nothing is sent any more."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        self._waiting_s = 0.0
        body = code.to_bytes(2) + reason.encode()[:123]
        if not self._transport.is_closing():
            self._write(frame_head(_CLOSE, len(body)) + body)

    def _queue(self, data: bytes | str, seconds: float) -> None:
        if self._closed:
            return
        waiting = self._waiting
        waiting.append((data, seconds))
        self._waiting_s += seconds
        dropped = 0
        while len(waiting) > 1 and (self._waiting_s > QUEUE_S or len(waiting) > QUEUE_ENTRIES):
            self._waiting_s -= waiting.popleft()[1]
            dropped += 1
        if dropped:
            self._dropped(dropped)
        if not self._sending:
            self._sending = True
            self._moved_at = self._now()
            self._start(self._drain())

    async def _drain(self) -> None:
        """Sends what waits, as fast as the client takes it; ends when nothing is left or the client has gone."""
        try:
            while self._waiting:
                data, seconds = self._waiting.popleft()
                self._waiting_s -= seconds
                # Both return at once while the socket takes it, else when it has room again (writer_limit=0).
                if isinstance(data, str):
                    await self._ws.send_str(data)
                else:
                    await self._ws.send_bytes(data)
                self._moved_at = self._now()
        except ConnectionError:
            pass  # the handler's loop sees it, too
        finally:
            self._waiting.clear()
            self._waiting_s = 0.0
            self._sending = False
