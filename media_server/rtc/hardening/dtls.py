"""The transport of one call: RTP and RTCP are dealt with where they arrive, in one call, without a task.

DTLS itself, and SCTP in it, still go the way of aiortc: through a queue to its task.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pylibsrtp
from aiortc import rtcdtlstransport
from aiortc.rtp import RtcpPacket, RtpPacket

from media_server.clock import monotonic

if TYPE_CHECKING:
    from media_server.rtc.hardening.ice import IceConnection
    from media_server.rtc.hardening.receiver import AudioReceiver

MAX_SOURCES = 8  # SSRCs of one peer: more than ~64 make aiortc's reports fail and its close hang
SOURCE_FORGOTTEN_S = 10.0  # an SSRC that was silent for so long makes room for another

_RTP = struct.Struct("!BBHII")


_Stock: Any = rtcdtlstransport.RTCDtlsTransport


class DtlsTransport(_Stock):  # type: ignore[misc]
    """aiortc's transport, adopted: ``harden()`` must be called before it starts."""

    connection: IceConnection
    sources: dict[int, tuple[AudioReceiver, float]]
    """SSRC -> who receives it, and when it was last heard (refreshed when room is needed)."""

    def harden(self, connection: IceConnection, count: Callable[[str], None]) -> None:
        self.connection = connection
        self.count = count
        self.sources = {}

    async def start(self, parameters: Any) -> None:
        """aiortc starts transports in a task that nobody looks after: what goes wrong there is a failed
        state.

        A transport may have been closed while another one of the same call was being set up.
        """
        if self.transport.state != "completed":
            return
        try:
            await super().start(parameters)
        except Exception:  # assertions and OpenSSL errors about what the peer offered
            self.count("dtls")
            self._set_state(rtcdtlstransport.State.FAILED)

    # In

    def media_received(self, data: bytes) -> bool:
        """A datagram that looks like SRTP or SRTCP. Says whether the peer made it."""
        srtp = self._rx_srtp
        if srtp is None:
            self.count("early")
            return False
        if len(data) < 12:
            self.count("size")
            return False
        try:
            if 192 <= data[1] <= 208:
                self._rtcp_received(srtp.unprotect_rtcp(data))
            else:
                ssrc = int.from_bytes(data[8:12])
                source = self.sources.get(ssrc)
                if source is None and len(self.sources) >= MAX_SOURCES and not self._make_room():
                    # Asked before decryption: libsrtp keeps a state for every source it has decrypted.
                    self.count("sources")
                    return False
                self._rtp_received(srtp.unprotect(data), source[0] if source is not None else None)
        except pylibsrtp.Error:
            self.count("srtp")
            return False
        self._RTCDtlsTransport__rx_bytes += len(data)
        self._RTCDtlsTransport__rx_packets += 1
        return True

    def _rtp_received(self, data: bytes, receiver: AudioReceiver | None) -> None:
        """Cut a packet (RFC 3550 section 5.1) and give it to its receiver."""
        first, second, seq, timestamp, ssrc = _RTP.unpack_from(data)
        start = 12 + 4 * (first & 15)
        end = len(data)
        if first & 16:
            if end < start + 4:
                self.count("rtp")
                return
            start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
        if first & 32:
            end -= data[-1]
        if start >= end:
            # Also a packet without payload: some senders probe with them, decoders stumble over them.
            self.count("empty" if start == end else "rtp")
            return
        if receiver is None:
            receiver = self._new_source(data, ssrc)
            if receiver is None:
                self.count("unknown_source")
                return
        receiver.rtp(ssrc, second & 127, seq, timestamp, data[start:end], monotonic())

    def _new_source(self, data: bytes, ssrc: int) -> AudioReceiver | None:
        """Whose is this SSRC (RFC 8843 section 9.2)? By its MID, by the offer, else by the payload type."""
        router = self._rtp_router
        try:
            packet = RtpPacket.parse(data, self._rtp_header_extensions_map)
        except Exception:  # aiortc's parser raises ValueError, struct.error and UnicodeDecodeError
            return None
        receiver: Any = router.mid_table.get(packet.extensions.mid) if packet.extensions.mid else None
        if receiver is not None:
            router.ssrc_table[ssrc] = receiver
        else:
            receiver = router.route_rtp(packet)
        if receiver is not None:
            self.sources[ssrc] = (receiver, monotonic())
        return receiver  # type: ignore[no-any-return]

    def _make_room(self) -> bool:
        """Forget the source that was silent longest, if it was silent for long."""
        now = monotonic()
        for ssrc, (receiver, _) in list(self.sources.items()):
            if now - receiver.last_heard(ssrc) > SOURCE_FORGOTTEN_S:
                del self.sources[ssrc]
                self._rtp_router.ssrc_table.pop(ssrc, None)
                receiver.forget(ssrc)
                return True
        return False

    def _rtcp_received(self, data: bytes) -> None:
        try:
            packets = RtcpPacket.parse(data)
        except Exception:  # aiortc's parser raises ValueError, struct.error, IndexError and AssertionError
            self.count("rtcp")
            return
        for packet in packets:
            for recipient in self._rtp_router.route_rtcp(packet):
                recipient.rtcp(packet)

    # Out

    def send_media(self, packet: bytes) -> bool:
        """Encrypt and send an RTP packet at once; False while there is no connection."""
        srtp = self._tx_srtp
        pair = self.connection._nominated.get(1)
        if srtp is None or pair is None:
            return False
        try:
            data = srtp.protect(packet)
        except (pylibsrtp.Error, ValueError):
            self.count("protect")
            return False
        pair.protocol.send(data, pair.remote_addr)
        self._RTCDtlsTransport__tx_bytes += len(data)
        self._RTCDtlsTransport__tx_packets += 1
        return True
