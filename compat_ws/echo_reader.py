"""Messages handled where they are parsed, without a queue, a future and a task switch for each.

aiohttp hands WebSocket messages over through ``WebSocketDataQueue``; here that queue passes binary messages straight on
while nobody is behind with them. That touches private names of aiohttp: ``usable`` says whether they are there, and
where they are not, the public ``receive()`` does the same work more slowly. Tested with the locked version.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import WSMsgType, web

try:
    from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
except ImportError:  # pragma: no cover - another aiohttp
    usable = False
else:
    usable = all(
        (
            hasattr(web.WebSocketResponse, "_post_start"),
            hasattr(web.WebSocketResponse, "_reader"),
            hasattr(web.WebSocketResponse, "_parser"),
            list(inspect.signature(web.WebSocketResponse._post_start).parameters)
            == ["self", "request", "protocol", "writer"],
        )
    )
"""Whether this aiohttp can be used like that."""

_BINARY = WSMsgType.BINARY
QUEUE_BYTES = 64 * 1024  # where messages wait after all; twice this pauses the socket


class Corked(Protocol):
    """What gathers writes between ``cork`` and ``uncork``."""

    def cork(self) -> None: ...
    def uncork(self) -> None: ...


if usable:

    class _Direct(WebSocketDataQueue):
        """Passes binary messages to ``take`` while ``open``; everything else waits for ``receive()``, as ever.

        What waits shuts the queue, since what comes after it has to wait as well, and so does ``take`` when it has
        enough; the reader of ``receive()`` opens it again.
        """

        take: Callable[[bytes], bool]
        open = False

        def feed_data(self, data: Any, size: int) -> None:
            if self.open and data[0] is _BINARY:
                if self.take(data[1]):
                    self.open = False
                return
            self.open = False
            super().feed_data(data, size)

    class _Corking(WebSocketReader):
        """What is answered to one piece of input leaves in one piece."""

        out: Corked

        def feed_data(self, data: bytes | bytearray | memoryview) -> tuple[bool, bytes]:
            out = self.out
            out.cork()
            result: tuple[bool, bytes] = WebSocketReader.feed_data(self, data)
            out.uncork()
            return result


class DirectWebSocket(web.WebSocketResponse):
    """A WebSocketResponse whose binary messages may go straight to a function.

    ``receive()`` gives whatever did not. Who has taken a message from it calls ``open``; order is kept.
    """

    out: Corked
    """Where answers go; set before ``prepare``."""
    _direct: Any = None

    def _post_start(self, request: Any, protocol: str | None, writer: Any) -> None:
        if not usable:
            super()._post_start(request, protocol, writer)
            return
        self._ws_protocol, self._writer = protocol, writer
        self._reset_heartbeat()
        assert self._loop is not None
        direct = self._direct = _Direct(request.protocol, QUEUE_BYTES, loop=self._loop)
        self._reader = direct
        parser = self._parser = _Corking(direct, self._max_msg_size, compress=False, decode_text=True)
        parser.out = self.out
        heard = None if self._heartbeat is None else self._on_data_received
        request.protocol.set_parser(parser, data_received_cb=heard)
        request.protocol.keep_alive(False)

    def open(self, take: Callable[[bytes], bool]) -> None:
        """From now on binary messages go to ``take``, until it returns True: it has enough for now."""
        direct = self._direct
        if direct is not None and not direct._buffer:
            direct.take = take
            direct.open = True
