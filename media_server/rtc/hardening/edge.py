"""The first thing a datagram meets: what may come in, and from whom.

Stock aiortc ends a call on one empty datagram and fails a handshake on one alert of 15 bytes, whoever sends
them; malformed STUN raises into the event loop. Here a datagram must be of a kind (RFC 7983) and, unless it
is STUN, come from an address that proved to know the call's ICE password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aioice import ice, stun

if TYPE_CHECKING:
    from media_server.rtc.hardening.ice import IceConnection

MAX_DATAGRAM = 1_500  # bytes: an Ethernet frame, and the size of libsrtp's buffer
MAX_QUEUED = 256  # DTLS datagrams waiting for the transport's task


_Stock: Any = ice.StunProtocol


class EdgeProtocol(_Stock):  # type: ignore[misc]
    """A socket of one call. ``receiver`` is its ``IceConnection``."""

    receiver: IceConnection

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        assert isinstance(data, bytes)
        connection = self.receiver
        if not 0 < len(data) <= MAX_DATAGRAM:
            connection.count("size")
            return
        if len(addr) != 2:  # IPv6 comes with flow and scope
            addr = (addr[0], addr[1])
        first = data[0]
        if 128 <= first < 192:  # RTP and RTCP
            if addr in connection.known:
                if connection.media(data):
                    connection.heard(addr)
            else:
                connection.media_from_stranger(data, addr, self)
        elif first < 4:
            self._stun(data, addr)
        elif 20 <= first < 64:
            if addr not in connection.known:
                connection.count("stranger")
            elif connection.queued() >= MAX_QUEUED:
                connection.count("queue")
            else:
                connection.data_received(data, self.local_candidate.component)
        else:
            connection.count("kind")

    def _stun(self, data: bytes, addr: tuple[str, int]) -> None:
        connection = self.receiver
        try:
            message = stun.parse_message(data)
        except Exception:  # a parser of a stranger's bytes: struct.error, IndexError, UnicodeDecodeError, ...
            connection.count("stun")
            return
        kind = message.message_class
        try:
            if kind == stun.Class.REQUEST:
                connection.request_received(message, addr, self)
            elif kind in (stun.Class.RESPONSE, stun.Class.ERROR):
                transaction = self.transactions.get(message.transaction_id)
                if transaction is not None:
                    transaction.response_received(message, addr)
        except Exception:  # attributes that parse but make no sense, as above
            connection.count("stun")

    def send(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send without waiting; a relayed transport makes a task of it."""
        self.transport.sendto(data, addr)
