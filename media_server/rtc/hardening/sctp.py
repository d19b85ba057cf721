"""Data channels (RFC 8831) of one call within bounds: what the peer sends wrong costs the peer, nobody
else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiortc import rtcsctptransport

MAX_MESSAGE = 16_384  # bytes
MAX_CHANNELS = 4
MAX_REASSEMBLY = 8 * MAX_MESSAGE  # bytes of unfinished messages


_Stock: Any = rtcsctptransport.RTCSctpTransport


class SctpTransport(_Stock):  # type: ignore[misc]
    """aiortc's association, adopted: ``harden()`` must be called before it starts."""

    def harden(self, count: Callable[[str], None]) -> None:
        self.count = count
        self._window = self._advertised_rwnd
        self._refused = False

    async def _handle_data(self, data: bytes) -> None:
        """aiortc asserts what a peer may get wrong, and does not keep it to the window it advertises."""
        if self._refused:
            return
        try:
            await super()._handle_data(data)
        except ConnectionError:
            raise
        # a parser of the peer's bytes: AssertionError, struct.error, UnicodeDecodeError, ...
        except Exception:
            self.count("sctp")
        if self._window - self._advertised_rwnd > MAX_REASSEMBLY:
            self.count("sctp_window")
            self._refused = True
            await self._abort()

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if len(data) > MAX_MESSAGE:
            self.count("message_size")
            return
        if stream_id not in self._data_channels and len(self._data_channels) >= MAX_CHANNELS:
            self.count("channels")
            return
        await super()._data_channel_receive(stream_id, pp_id, data)
