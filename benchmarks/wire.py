"""The socket of a stock aiortc peer: packets go past its sender and its receiver, which cost several times as much.

What a load saves is the server's where both share a machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiortc import RTCPeerConnection

from benchmarks.callplan import OPUS_FRAME

OPUS_TYPE = 96  # the payload type that aiortc offers Opus with first


class Wire:
    """Of a peer that is connected. ``heard`` gets every SRTP packet of sound that comes, the rest goes to aiortc."""

    def __init__(self, pc: RTCPeerConnection, heard: Callable[[bytes], None]) -> None:
        self.dtls: Any = pc.getTransceivers()[0].receiver.transport
        pair = self.dtls.transport._connection._nominated[1]
        protocol: Any = pair.protocol
        self._protect = self.dtls._tx_srtp.protect
        self._transport, self._address = protocol.transport, pair.remote_addr
        self._ssrc: bytes = pc.getSenders()[0]._ssrc.to_bytes(4)
        stock = protocol.datagram_received

        def received(data: bytes, addr: tuple[str, int]) -> None:
            if data and 128 <= data[0] < 192 and data[1] & 0x7F == OPUS_TYPE:
                heard(data)
            else:
                stock(data, addr)

        protocol.datagram_received = received

    def send(self, number: int, payload: bytes) -> None:
        """The frame of that number, 20 ms of Opus."""
        stamp = number * OPUS_FRAME & 0xFFFF_FFFF
        head = bytes((0x80, OPUS_TYPE)) + (number & 0xFFFF).to_bytes(2) + stamp.to_bytes(4)
        self._transport.sendto(self._protect(head + self._ssrc + payload), self._address)
