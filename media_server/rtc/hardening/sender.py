"""Sending one audio m-line: Opus payloads come by a call and leave in the same call.

Tracks that know nothing of pushing are still pulled from, as aiortc does it.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol

from aiortc import clock as ntp
from aiortc import rtcrtpsender
from aiortc.rtp import (
    RtcpByePacket,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)

CLOCK_RATE = 48_000  # Hz
REPORT_S = 1.0  # +-50 %
LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"

_RTP = struct.Struct("!BBHII")


class PushedTrack(Protocol):
    """A track that pushes: ``attach`` gives it where to push to, ``detach`` takes it back."""

    def attach(self, push: Callable[[bytes, int, bool, int], bool]) -> None: ...
    def detach(self) -> None: ...


_Stock: Any = rtcrtpsender.RTCRtpSender


class AudioSender(_Stock):  # type: ignore[misc]
    """aiortc's sender, adopted: ``harden()`` must be called before it sends."""

    _RTCRtpSender__started: bool
    _RTCRtpSender__rtt: float | None

    def harden(self, count: Callable[[str], None]) -> None:
        self.count = count
        self.loss = 0.0
        """Share of packets that the peer's last report says were lost, 0 to 1."""
        self.on_loss: Callable[[float], None] | None = None
        self._pushing: PushedTrack | None = None
        self._seq = random.randrange(1 << 15)
        self._origin = random.randrange(1 << 32)
        self._payload_type = 0
        self._mid_extension = b""
        self._level_id = 0
        self._last_sent = 0.0

    async def send(self, parameters: Any) -> None:
        """Like aiortc's, without its task where the track pushes."""
        track = self.track
        if self._RTCRtpSender__started:
            return
        if not hasattr(track, "attach"):
            await super().send(parameters)
            return
        self._RTCRtpSender__cname = parameters.rtcp.cname
        self._RTCRtpSender__mid = parameters.muxId
        self.transport._register_rtp_sender(self, parameters)
        self._payload_type = parameters.codecs[0].payloadType
        for extension in parameters.headerExtensions:
            if extension.uri == MID_URI and 0 < extension.id < 15 and parameters.muxId:
                mid = parameters.muxId.encode()[:16]
                self._mid_extension = bytes((extension.id << 4 | len(mid) - 1,)) + mid
            elif extension.uri == LEVEL_URI and 0 < extension.id < 15:
                self._level_id = extension.id
        # stop() waits for the end of a task that pushing does without.
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        self._RTCRtpSender__rtp_task = done
        self._RTCRtpSender__rtp_started.set()
        self._RTCRtpSender__rtp_exited.set()
        self._RTCRtpSender__rtcp_task = asyncio.create_task(self._run_rtcp(), name="rtc.sender_reports")
        self._RTCRtpSender__started = True
        self._pushing = track
        track.attach(self.push)

    async def stop(self) -> None:
        if self._pushing is not None:
            self._pushing.detach()
            self._pushing = None
        await super().stop()

    def push(self, payload: bytes, timestamp: int, marker: bool, level: int) -> bool:
        """Send one payload. ``timestamp`` counts samples, ``level`` is in dBov (RFC 6464), -127 to 0.

        False while there is no connection.
        """
        if not self._enabled:
            return False
        extension = self._mid_extension
        if self._level_id:
            extension += bytes((self._level_id << 4, -level & 127))
        stamp = self._origin + timestamp & 0xFFFF_FFFF
        header = _RTP.pack(
            0x90 if extension else 0x80,
            0x80 | self._payload_type if marker else self._payload_type,
            self._seq,
            stamp,
            self._ssrc,
        )
        if extension:  # one-byte header extension, RFC 8285 section 4.2
            words = len(extension) + 3 >> 2
            header += b"\xbe\xde" + words.to_bytes(2) + extension.ljust(words * 4, b"\0")
        if not self.transport.send_media(header + payload):
            return False
        self._seq = self._seq + 1 & 0xFFFF
        self._last_sent = time.time()
        self._RTCRtpSender__rtp_timestamp = stamp
        self._RTCRtpSender__octet_count += len(payload)
        self._RTCRtpSender__packet_count += 1
        return True

    def sent(self) -> tuple[int, int]:
        """Packets and bytes of payload."""
        return self._RTCRtpSender__packet_count, self._RTCRtpSender__octet_count

    @property
    def rtt(self) -> float | None:
        """Seconds, by the peer's reports."""
        return self._RTCRtpSender__rtt

    def rtcp(self, packet: Any) -> None:
        """Reports are used; NACKs are not: late audio is worthless, and one NACK could ask for 300
        packets."""
        if not isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            self.count("feedback")
            return
        for report in packet.reports:
            if report.ssrc != self._ssrc:
                continue
            if report.dlsr and report.lsr and report.lsr == self._RTCRtpSender__lsr:
                rtt = time.time() - self._RTCRtpSender__lsr_time - report.dlsr / 65_536
                before = self._RTCRtpSender__rtt
                if rtt >= 0:
                    self._RTCRtpSender__rtt = rtt if before is None else 0.85 * before + 0.15 * rtt
            self.loss = report.fraction_lost / 256
            if self.on_loss is not None:
                self.on_loss(self.loss)

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        self.rtcp(packet)

    async def _retransmit(self, sequence_number: int) -> None:
        """Nothing is sent twice."""

    async def _run_rtcp(self) -> None:
        """Sender reports (RFC 3550 section 6.4.1) whose time stamp goes on through silences."""
        self._RTCRtpSender__rtcp_started.set()
        try:
            while True:
                await asyncio.sleep(REPORT_S * (0.5 + random.random()))
                if not self._RTCRtpSender__packet_count:
                    continue
                now = time.time()
                stamp = self._RTCRtpSender__rtp_timestamp
                if self._last_sent:
                    stamp += int((now - self._last_sent) * CLOCK_RATE)
                moment = ntp.current_ntp_time()
                self._RTCRtpSender__lsr = moment >> 16 & 0xFFFF_FFFF
                self._RTCRtpSender__lsr_time = now
                report = RtcpSrPacket(
                    ssrc=self._ssrc,
                    sender_info=RtcpSenderInfo(
                        ntp_timestamp=moment,
                        rtp_timestamp=stamp & 0xFFFF_FFFF,
                        packet_count=self._RTCRtpSender__packet_count & 0xFFFF_FFFF,
                        octet_count=self._RTCRtpSender__octet_count & 0xFFFF_FFFF,
                    ),
                )
                await self._send_rtcp([report, self._source()])
        except asyncio.CancelledError:
            pass
        finally:
            self._RTCRtpSender__rtcp_exited.set()
        if self._RTCRtpSender__packet_count:
            await self._send_rtcp([RtcpByePacket(sources=[self._ssrc])])

    def _source(self) -> RtcpSdesPacket:
        cname = (self._RTCRtpSender__cname or "").encode()
        return RtcpSdesPacket(chunks=[RtcpSourceInfo(ssrc=self._ssrc, items=[(1, cname)])])
