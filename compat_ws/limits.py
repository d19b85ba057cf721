"""How little is buffered below our own queues."""

from __future__ import annotations

import asyncio
import socket

SEND_BUFFER = 16 * 1024  # bytes that the system holds for a client: what waits longer waits in our queue
WRITE_BUFFER = 4 * 1024  # bytes that the transport holds before it asks us to wait


def buffer_little(transport: asyncio.Transport | None) -> None:
    """Small buffers below our own queue: a slow reader's sound is dropped there, not kept in the system."""
    if transport is None:
        return
    transport.set_write_buffer_limits(high=WRITE_BUFFER)
    if (sock := transport.get_extra_info("socket")) is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
