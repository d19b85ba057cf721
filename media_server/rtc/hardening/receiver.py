"""Receiving one audio m-line: statistics and reports as RTCP wants them, payloads handed on by a call.

No decoder thread, no stock jitter buffer, and nothing that grows when nobody listens.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from aiortc import rtcrtpreceiver
from aiortc.rtp import RtcpByePacket, RtcpReceiverInfo, RtcpRrPacket, RtcpSrPacket, clamp_packets_lost

from media_server.clock import monotonic

CLOCK_RATE = 48_000  # Hz
REPORT_S = 1.0  # +-50 %
MAX_JITTER = CLOCK_RATE * 10  # a jump of time stamps is no jitter; the report has 32 bits for it

Sink = Callable[[int, int, int, bytes, float], None]
"""ssrc, sequence number, time stamp, payload, time of arrival."""


class SourceStatistics:
    """What RFC 3550 appendix A.3 and A.8 ask for. Named as aiortc's own, whose statistics read them."""

    __slots__ = (
        "_expected_before",
        "_received_before",
        "_transit",
        "base_seq",
        "cycles",
        "heard",
        "jitter_q4",
        "max_seq",
        "packets_received",
    )

    def __init__(self, seq: int) -> None:
        self.base_seq = self.max_seq = seq
        self.cycles = 0
        self.packets_received = 0
        self.jitter_q4 = 0
        self.heard = 0.0
        self._transit: int | None = None
        self._expected_before = 0
        self._received_before = 0

    def add(self, seq: int, timestamp: int, now: float) -> None:
        self.packets_received += 1
        self.heard = now
        if (seq - self.max_seq & 0xFFFF) < 0x8000:
            if seq < self.max_seq:
                self.cycles += 1 << 16
            self.max_seq = seq
        transit = int(now * CLOCK_RATE) - timestamp & 0xFFFF_FFFF
        if self._transit is not None:
            difference = transit - self._transit & 0xFFFF_FFFF
            if difference >= 0x8000_0000:
                difference = 0x1_0000_0000 - difference
            if difference < MAX_JITTER:
                self.jitter_q4 += difference - (self.jitter_q4 + 8 >> 4)
        self._transit = transit

    @property
    def jitter(self) -> int:
        return self.jitter_q4 >> 4

    @property
    def packets_expected(self) -> int:
        return self.cycles + self.max_seq - self.base_seq + 1

    @property
    def packets_lost(self) -> int:
        return int(clamp_packets_lost(self.packets_expected - self.packets_received))

    def fraction_lost(self) -> int:
        """Share lost since the last call, in 256ths."""
        expected = self.packets_expected - self._expected_before
        received = self.packets_received - self._received_before
        self._expected_before += expected
        self._received_before += received
        lost = expected - received
        return min(255, (lost << 8) // expected) if expected > 0 and lost > 0 else 0


_Stock: Any = rtcrtpreceiver.RTCRtpReceiver


class AudioReceiver(_Stock):  # type: ignore[misc]
    """aiortc's receiver, adopted: ``harden()`` must be called before it receives."""

    _RTCRtpReceiver__started: bool

    def harden(self, count: Callable[[str], None]) -> None:
        self.count = count
        self.sink: Sink | None = None
        self.on_bye: Callable[[], None] | None = None
        self._payload_types: frozenset[int] = frozenset()

    async def receive(self, parameters: Any) -> None:
        """Like aiortc's, without its decoder thread."""
        if self._RTCRtpReceiver__started:
            return
        self._payload_types = frozenset(codec.payloadType for codec in parameters.codecs)
        self.transport._register_rtp_receiver(self, parameters)
        self._RTCRtpReceiver__rtcp_task = asyncio.create_task(self._run_rtcp(), name="rtc.receiver_reports")
        self._RTCRtpReceiver__started = True

    def rtp(self, ssrc: int, payload_type: int, seq: int, timestamp: int, payload: bytes, now: float) -> None:
        """A decrypted packet with a payload."""
        if not self._enabled:
            return
        if payload_type not in self._payload_types:
            self.count("payload_type")
            return
        streams: dict[int, SourceStatistics] = self._RTCRtpReceiver__remote_streams
        statistics = streams.get(ssrc)
        if statistics is None:
            statistics = streams[ssrc] = SourceStatistics(seq)
        statistics.add(seq, timestamp, now)
        if self.sink is not None:
            self.sink(ssrc, seq, timestamp, payload, now)

    def rtcp(self, packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            self._RTCRtpReceiver__lsr[packet.ssrc] = packet.sender_info.ntp_timestamp >> 16 & 0xFFFF_FFFF
            self._RTCRtpReceiver__lsr_time[packet.ssrc] = time.time()
        elif isinstance(packet, RtcpByePacket) and self.on_bye is not None:
            self.on_bye()

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        self.rtcp(packet)

    def last_heard(self, ssrc: int) -> float:
        statistics = self._RTCRtpReceiver__remote_streams.get(ssrc)
        return statistics.heard if statistics is not None else 0.0

    def forget(self, ssrc: int) -> None:
        """A source that ended: no report speaks of it any more."""
        self._RTCRtpReceiver__remote_streams.pop(ssrc, None)
        self._RTCRtpReceiver__lsr.pop(ssrc, None)
        self._RTCRtpReceiver__lsr_time.pop(ssrc, None)

    def received(self) -> tuple[int, int, int]:
        """Packets received and lost, jitter in units of the clock, of the source heard last."""
        streams = self._RTCRtpReceiver__remote_streams.values()
        last = max(streams, key=lambda statistics: statistics.heard, default=None)
        return (last.packets_received, last.packets_lost, last.jitter) if last is not None else (0, 0, 0)

    async def _run_rtcp(self) -> None:
        """Receiver reports (RFC 3550 section 6.4.2) of the sources heard since the last one."""
        self._RTCRtpReceiver__rtcp_started.set()
        reported = 0.0
        try:
            while True:
                await asyncio.sleep(REPORT_S * (0.5 + random.random()))
                reports = [
                    self._report(ssrc, statistics)
                    for ssrc, statistics in self._RTCRtpReceiver__remote_streams.items()
                    if statistics.heard > reported
                ]
                reported = monotonic()
                if self._RTCRtpReceiver__rtcp_ssrc is not None and reports:
                    await self._send_rtcp(RtcpRrPacket(ssrc=self._RTCRtpReceiver__rtcp_ssrc, reports=reports))
        except asyncio.CancelledError:
            pass
        finally:
            self._RTCRtpReceiver__rtcp_exited.set()

    def _report(self, ssrc: int, statistics: SourceStatistics) -> RtcpReceiverInfo:
        lsr = self._RTCRtpReceiver__lsr.get(ssrc, 0)
        delay = time.time() - self._RTCRtpReceiver__lsr_time.get(ssrc, 0.0)
        return RtcpReceiverInfo(
            ssrc=ssrc,
            fraction_lost=statistics.fraction_lost(),
            packets_lost=statistics.packets_lost,
            highest_sequence=statistics.cycles + statistics.max_seq & 0xFFFF_FFFF,
            jitter=statistics.jitter,
            lsr=lsr,
            dlsr=int(delay * 65_536) if lsr and 0 < delay < 65_536 else 0,
        )
