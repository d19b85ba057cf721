"""Text over data channels, within bounds in both directions. Sans-IO but for the channel it is given."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from media_server.clock import Clock, monotonic

logger = logging.getLogger(__name__)

MAX_TEXT = 16_384  # bytes of one message
RATE_IN = 50  # messages a second, and at once
BUFFERED = 65_536  # bytes that SCTP may hold before messages wait here
MAX_WAITING = 1_048_576  # bytes that may wait here; a channel that needs more is closed

_PARTIAL = ('{"type":"partial"', '{"type": "partial"')
PING = "ping "


class TokenBucket:
    """``rate`` a second, and as many at once."""

    def __init__(self, rate: float, clock: Clock = monotonic) -> None:
        self._rate = self._tokens = rate
        self._clock = clock
        self._at = clock()

    def take(self) -> bool:
        now = self._clock()
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class _Channel:
    """One open channel and what waits for it: oldest partials are dropped first, finals never."""

    def __init__(self, channel: Any, dropped: Callable[[], None]) -> None:
        self.channel = channel
        self._dropped = dropped
        self._waiting: deque[tuple[str, int, bool]] = deque()
        self._bytes = 0
        channel.bufferedAmountLowThreshold = BUFFERED // 2
        channel.on("bufferedamountlow", self.flush)

    def send(self, text: str, partial: bool) -> None:
        size = len(text.encode())
        self._waiting.append((text, size, partial))
        self._bytes += size
        self.flush()
        while self._bytes > BUFFERED and self._drop_partial():
            pass
        if self._bytes > MAX_WAITING:
            logger.warning("a data channel takes nothing and is closed")
            self._waiting.clear()
            self._bytes = 0
            self.channel.close()

    def flush(self) -> None:
        while self._waiting and self.channel.readyState == "open" and self.channel.bufferedAmount < BUFFERED:
            text, size, _ = self._waiting.popleft()
            self._bytes -= size
            try:
                self.channel.send(text)
            except ValueError:  # longer than the peer says it takes
                self._dropped()

    def _drop_partial(self) -> bool:
        for index, (_, size, partial) in enumerate(self._waiting):
            if partial:
                del self._waiting[index]
                self._bytes -= size
                self._dropped()
                return True
        return False


class Captions:
    """All channels of one peer. ``on_text`` gets what the peer says, ``count`` why something was refused."""

    def __init__(
        self,
        on_open: Callable[[str], None],
        on_text: Callable[[str, str], None],
        count: Callable[[str], None],
        dropped: Callable[[], None],
        clock: Clock = monotonic,
    ) -> None:
        self._on_open, self._on_text = on_open, on_text
        self._count, self._dropped = count, dropped
        self._bucket = TokenBucket(RATE_IN, clock)
        self._channels: dict[int, _Channel] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._channels)

    def add(self, channel: Any) -> None:
        """The peer opened a channel."""
        if self._closed:
            return
        key = id(channel)
        self._channels[key] = _Channel(channel, self._dropped)
        channel.on("message", lambda message: self._received(channel, message))
        channel.on("close", lambda: self._channels.pop(key, None))
        self._on_open(channel.label)

    def send(self, text: str, partial: bool | None = None) -> None:
        """To every open channel. ``partial`` texts may be dropped; None looks at what the text says it is."""
        if partial is None:
            partial = text.startswith(_PARTIAL)
        for channel in list(self._channels.values()):
            channel.send(text, partial)

    def close(self) -> None:
        """Nothing is received or sent any more. The channels end with their connection."""
        self._closed = True
        self._channels.clear()

    def _received(self, channel: Any, message: str | bytes) -> None:
        if self._closed:
            return
        if not isinstance(message, str):
            self._count("binary_message")
            return
        if not self._bucket.take():
            self._count("message_rate")
            return
        if len(message) > MAX_TEXT or len(message.encode()) > MAX_TEXT:
            self._count("message_size")
            return
        if message.startswith(PING):
            entry = self._channels.get(id(channel))
            if entry is not None:
                entry.send("pong " + message[len(PING) :], True)
            return
        self._on_text(channel.label, message)
