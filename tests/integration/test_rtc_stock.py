"""What stock aiortc does under the faults that ours survives: each beside ours, or beside the test that holds ours.

Numbers are the rows of the tests in ``test_rtc_hardening``; the rows that are not here have both sides there.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpreceiver import TimestampMapper
from aiortc.rtp import RtpPacket

from benchmarks.caller import PreparedMicrophone
from media_server.audio import opus
from media_server.audio.frames import FRAME_SAMPLES
from media_server.errors import PeerError
from media_server.metrics import Metrics
from media_server.rtc import hardening
from media_server.rtc.hardening import ice
from media_server.rtc.peer import Peer, RtcConfig
from tests.support.application import application, steady
from tests.support.caller import Caller, recording
from tests.support.stock import stock_server
from tests.support.webrtc import Client, Handler, ToneTrack, no_leaked_tasks, only_loopback, until

__all__ = ["no_leaked_tasks", "only_loopback"]

pytestmark = pytest.mark.usefixtures("only_loopback", "no_leaked_tasks")


# Row 4: loss


def test_stocks_buffer_throws_away_packets_that_came() -> None:
    """At 5 % loss it gives on a quarter less than was sent; ``test_jitter`` holds that ours gives on all that comes."""
    chance = random.Random(5)
    buffer, given, came = JitterBuffer(capacity=16, prefetch=4), 0, 0
    for n in range(3_000):
        if chance.random() < 0.05:
            continue
        came += 1
        packet = RtpPacket(payload_type=96, sequence_number=n, timestamp=n * FRAME_SAMPLES, ssrc=1)
        packet._data = b"x"  # type: ignore[attr-defined]  # what depayloading leaves there
        given += buffer.add(packet)[1] is not None
    assert given < 0.9 * came


# Row 6: an error in a track


class Failing(ToneTrack):
    """Raises at its twentieth frame, and would go on."""

    count = 0

    async def recv(self) -> Any:
        self.count += 1
        if self.count == 20:
            raise ValueError("one bad frame")
        return await super().recv()


async def test_stock_is_mute_for_ever_after_one_error_in_a_track_and_calls_itself_connected() -> None:
    """``test_outbound`` and ``test_rtc_call`` hold that an error costs ours a frame."""
    client, track = Client.make(label=None), Failing()
    async with stock_server(client, track) as server:
        await client.take(server.answer)
        await client.connected()
        await until(lambda: track.count == 20)
        await asyncio.sleep(0.4)
        heard = len(client.received)
        await asyncio.sleep(0.6)
        assert track.count == 20, "nobody asks the track again"
        assert len(client.received) <= heard + 2
        assert server.pc.connectionState == "connected"


# Row 7: the loop's default executor


class Watched(ThreadPoolExecutor):
    """Notes what is given to it."""

    def __init__(self) -> None:
        super().__init__(4)
        self.given: list[str] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given.append(f"{fn.__module__}.{getattr(fn, '__qualname__', fn)}")
        return super().submit(fn, *args, **kwargs)


async def test_stock_encodes_in_the_default_executor() -> None:
    watched = Watched()
    asyncio.get_running_loop().set_default_executor(watched)
    client = Client.make(audio="recvonly", label=None)
    async with stock_server(client, ToneTrack()) as server:
        await client.take(server.answer)
        await client.connected()
        await until(lambda: len(client.received) > 10)
    assert len(watched.given) > 10


async def test_nothing_of_a_call_runs_in_the_default_executor() -> None:
    """A whole call: an offer, speech to a final, the denoised microphone back, the end. Its client uses it neither."""
    watched = Watched()
    silence = opus.new_encoder().encode(recording("jfk.wav")[:FRAME_SAMPLES] * 0)
    encoder = opus.new_encoder()
    speech = recording("jfk.wav")[: 50 * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    async with application(steady()) as app:
        asyncio.get_running_loop().set_default_executor(watched)
        caller = Caller(app, sourceLang="en", targetLang="en")
        microphone = caller.microphone = PreparedMicrophone([silence])  # type: ignore[assignment]
        async with caller:
            caller.send(type="loopback", on=True)
            await caller.until(lambda: caller.of("ack"))
            await microphone.play([encoder.encode(frame) for frame in speech])
            await caller.until(lambda: caller.finals and caller.sound, timeout_s=30)
        await until(lambda: not any(session.line for session in app.hub))
    assert watched.given == []


# Row 8: absurd time stamps


def test_stock_takes_a_second_back_for_a_day_ahead() -> None:
    mapper = TimestampMapper()
    assert mapper.map(96_000) == 0
    assert mapper.map(48_000) / 48_000 > 24 * 3_600
    """``test_jitter`` and ``test_rtc_hardening`` hold that ours takes it for a discontinuity."""


# Row 9: offers that never complete


async def test_stock_keeps_an_offer_that_never_connects() -> None:
    """``test_rtc_call`` holds that ours is given up, after a time that is set to 0.3 s there as here."""
    handler, abandoned = Handler(), Client.make()
    config = RtcConfig(bind="127.0.0.1", connect_timeout_s=0.3)
    await Peer.accept(await abandoned.offer(), handler, config, Metrics())
    client = Client.make()
    async with stock_server(client) as server:
        await until(lambda: handler.closed == ["not connected in time"])
        await asyncio.sleep(1.0)
        assert server.pc.connectionState in {"new", "connecting"}
    await abandoned.close()


# Row 10: peers that are gone


def test_stock_needs_half_a_minute_to_notice_a_dead_peer() -> None:
    """Answers that must be missing, times the shortest wait between two; ``test_rtc_hardening`` holds ours to 10 s."""
    assert aioice.ice.CONSENT_FAILURES * aioice.ice.CONSENT_INTERVAL * 0.8 > 20
    assert ice.CONSENT_FAILURES * ice.CONSENT_INTERVAL * 1.2 < 10


# Row 11: malformed descriptions


def mangled(offer: str, chance: random.Random) -> str:
    lines = offer.splitlines()
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines))
        line = lines[at]
        cut = chance.randrange(len(line) + 1)
        lines[at] = chance.choice((line[:cut], line + "9" * 12, line.replace(":", " "), "", line.upper()))
    return "\r\n".join(lines) + "\r\n"


async def test_stock_raises_every_kind_of_error_from_malformed_offers_and_ours_one() -> None:
    chance, stock, ours = random.Random(4), set(), set()
    client = Client.make()
    offer = await client.offer()
    config = RtcConfig(bind="127.0.0.1", max_half_open=1_000, max_half_open_per_address=1_000)
    for _ in range(120):
        text = mangled(offer, chance)
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        try:
            await pc.setRemoteDescription(RTCSessionDescription(text, "offer"))
        except Exception as error:  # what is counted
            stock.add(type(error).__name__)
        await hardening.hard_close(pc, 0.5)  # its own close raises as well in some of these
        try:
            peer = await Peer.accept(text, Handler(), config, Metrics())
        except PeerError as error:
            ours.add(error.status)
        else:
            await peer.close("done")
    await client.close()
    assert len(stock) >= 3, stock
    assert ours <= {400, 413}


# Row 12: addresses that a client names


async def test_stock_goes_to_every_address_that_a_client_names_and_ours_to_none_of_them() -> None:
    client = Client.make()
    named = "a=candidate:1 1 udp 2130706431 169.254.169.254 80 typ host\r\n"
    offer = re.sub(r"a=candidate:.*?\r\n", named, await client.offer(), count=1)
    assert named in offer
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    assert "169.254.169.254" in addresses(pc)
    await pc.close()
    peer = await Peer.accept(offer, Handler(), RtcConfig(bind="127.0.0.1"), Metrics(), address="127.0.0.1")
    assert "169.254.169.254" not in addresses(peer._pc)
    await peer.close("done")
    await client.close()


def addresses(pc: RTCPeerConnection) -> set[str]:
    """What the first transport would send to."""
    gatherer: Any = pc.getTransceivers()[0].receiver.transport.transport
    return {candidate.ip for candidate in gatherer.getRemoteCandidates()}


# Row 13: tracks that nobody reads


async def test_stock_keeps_everything_of_a_track_that_nobody_reads() -> None:
    """``test_rtc_hardening`` holds that ours keeps nothing."""
    client = Client.make(label=None)
    async with stock_server(client, listens=False) as server:
        await client.take(server.answer)
        await client.connected()
        track: Any = server.pc.getReceivers()[0].track
        await until(lambda: track._queue.qsize() > 50)


# Row 17: data channels


async def test_stock_takes_messages_of_any_size_and_any_number_of_channels() -> None:
    """``test_rtc_hardening`` holds ours to 16 KiB and four channels."""
    client, channels, sizes = Client.make(), list[Any](), list[int]()

    def opened(channel: Any) -> None:
        channels.append(channel)
        channel.on("message", lambda text: sizes.append(len(text)))

    async with stock_server(client) as server:
        server.pc.on("datachannel", opened)
        await client.take(server.answer)
        await client.connected()
        for n in range(10):
            client.pc.createDataChannel(f"more{n}")
        client.channel.transport._remote_max_message_size = 0
        client.channel.send("x" * 300_000)
        await until(lambda: sizes == [300_000] and len(channels) == 11, 20)
