"""What waits to be sent to one WebSocket client: bounded, so that a slow reader costs nobody but itself.

Audio: at most ``AUDIO_S`` of sound wait (a longer clip only alone); the oldest goes first. A partial caption that still
waits is replaced by the next. Other text is never dropped: a client for which too much of it waits, or that takes
nothing for ``STALL_S``, is given up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from media_server.metrics import Metrics

AUDIO_S = 1.0  # of sound: what is older is of no use to somebody who listens live
MAX_TEXTS = 1_000
MAX_TEXT_BYTES = 2 * 1024 * 1024  # a history is the longest text
READY_TEXTS = 64  # answers that wait; a client that reads none of them is not read from either
READY_BYTES = 256 * 1024
STALL_S = 10.0

type Payload = str | bytes
type Send = Callable[[Payload], Awaitable[None]]


@dataclass(slots=True)
class _Item:
    payload: Payload
    audio_s: float = 0.0
    partial: bool = False


class Stalled(Exception):
    """The client does not take what it is sent; the text is the reason for the closing frame."""


class Outbox:
    """``text`` and ``audio`` never block; ``run`` sends until it is cancelled, or raises Stalled.

    Duties of the caller: run ``run()`` in one task, close the connection when it ends.
    """

    def __init__(self, send: Send, metrics: Metrics, *, stall_s: float = STALL_S) -> None:
        self._send = send
        self._metrics = metrics
        self._stall_s = stall_s
        self._items: deque[_Item] = deque()
        self._audio_s = 0.0
        self._texts = 0
        self._bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._overflow = False
        self._closed = False
        self.sent = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def audio_s(self) -> float:
        """Seconds of sound that wait."""
        return self._audio_s

    def text(self, text: str, *, partial: bool = False) -> None:
        """A text message; a ``partial`` takes the place of one that still waits at the end of the queue."""
        if self._closed:
            return
        if partial and self._items and self._items[-1].partial:
            self._took(self._items.pop())
            self._metrics.drops.labels("ws_partials").inc()
        self._put(_Item(text, partial=partial))
        self._texts += 1
        self._bytes += len(text)
        if self._texts > MAX_TEXTS or self._bytes > MAX_TEXT_BYTES:
            self._overflow = True

    def audio(self, payload: Payload, seconds: float) -> None:
        """A clip of sound, binary or as text; the oldest that waits are dropped where it is too much."""
        if self._closed:
            return
        self._put(_Item(payload, audio_s=seconds))
        self._audio_s += seconds
        while self._audio_s > AUDIO_S:
            oldest = next(item for item in self._items if item.audio_s)
            if oldest is self._items[-1]:
                return
            self._items.remove(oldest)
            self._took(oldest)
            self._metrics.drops.labels("ws_audio").inc()

    async def ready(self) -> None:
        """Returns when few answers wait: who asks without reading has to read first."""
        await self._room.wait()

    async def run(self) -> None:
        """Sends what comes, in order. Raises Stalled, or what ``send`` raises when the connection is gone."""
        while True:
            while not self._items:
                self._news.clear()
                await self._news.wait()
            item = self._items.popleft()
            self._took(item)
            try:
                async with asyncio.timeout(self._stall_s):
                    await self._send(item.payload)
            except TimeoutError:
                raise Stalled("nothing was read for too long") from None
            if self._overflow:
                raise Stalled("too much waits to be read")
            self.sent += 1

    def _put(self, item: _Item) -> None:
        self._items.append(item)
        self._news.set()
        self._set_room()

    def _took(self, item: _Item) -> None:
        if item.audio_s:
            self._audio_s = max(0.0, self._audio_s - item.audio_s)
        else:
            self._texts -= 1
            self._bytes -= len(item.payload)
        self._set_room()

    def close(self) -> None:
        """Nothing is sent any more: nobody need wait for it."""
        self._closed = True
        self._items.clear()
        self._room.set()

    def _set_room(self) -> None:
        if self._closed or (self._texts < READY_TEXTS and self._bytes < READY_BYTES):
            self._room.set()
        else:
            self._room.clear()
