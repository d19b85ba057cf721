"""Attacks and accidents, each against this server and, where it is cheap, against stock aiortc, which
fails."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import aiortc.rtp
import numpy as np
import pytest
from aiortc.rtp import RtcpByePacket, RtcpRtpfbPacket
from av import AudioFrame

from media_server.audio import opus
from media_server.errors import ConfigError, PeerError
from media_server.metrics import Metrics
from media_server.rtc import hardening
from media_server.rtc.hardening import names
from media_server.rtc.peer import Peer, RtcConfig
from tests.support.relay import Relay
from tests.support.stock import stock_server
from tests.support.webrtc import (
    LOCAL,
    Client,
    Handler,
    ToneTrack,
    call,
    candidate_of,
    no_leaked_tasks,
    only_loopback,
    stranger,
    until,
)

__all__ = ["no_leaked_tasks", "only_loopback"]

pytestmark = pytest.mark.usefixtures("only_loopback", "no_leaked_tasks")

ALERT = bytes((21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40))  # a fatal DTLS alert, in the clear


async def hears_on(handler: Handler, frames: int = 10) -> None:
    start = len(handler.frames)
    await until(lambda: len(handler.frames) >= start + frames)


# Row 1: one empty datagram


async def test_stock_loses_the_call_to_one_empty_datagram() -> None:
    client = Client.make(label=None)
    async with stock_server(client) as server:
        await client.take(server.answer)
        await client.connected()
        await until(lambda: server.frames > 10)
        stranger(server.address, b"")
        await until(lambda: client.dtls.state == "closed" or server.pc.connectionState == "closed")


async def test_datagrams_of_strangers_do_nothing() -> None:
    async with call() as here:
        stranger(here.server_address, b"", b"\x80" * 50, b"\x16" * 60, ALERT, b"\xff" * 30, b"\x40" * 9)
        stranger(here.server_address, b"\x80" * 1_501, b"\x00" * 20, b"\x01\x01" + b"\xff" * 40)
        await until(lambda: here.dropped("stranger") >= 3 and here.dropped("size") >= 2)
        await hears_on(here.handler)
        assert here.dropped("kind") == 2
        assert here.client.pc.connectionState == "connected"


# Row 2: an alert before the handshake


async def test_stock_fails_the_handshake_over_a_strangers_alert() -> None:
    client = Client.make(label=None)
    async with stock_server(client) as server:
        stranger(server.address, ALERT)
        await client.take(server.answer)
        await until(lambda: server.pc.connectionState == "failed")


async def test_an_alert_before_the_handshake_does_not_fail_it() -> None:
    client, handler, metrics = Client.make(), Handler(), Metrics()
    peer = await Peer.accept(await client.offer(), handler, LOCAL, metrics, address="127.0.0.1")
    stranger(candidate_of(peer.answer_sdp), ALERT, b"")
    await client.take(peer.answer_sdp)
    await client.connected()
    await hears_on(handler)
    await peer.close("done")
    await client.close()


async def test_mutated_stun_raises_nothing_into_the_loop() -> None:
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    rng = np.random.default_rng(2)
    async with call() as here:
        connection = here.client.connection
        request = connection.build_request(connection._check_list[0], nominate=False)
        request.add_message_integrity(connection.remote_password.encode())
        valid = bytes(request)
        for _ in range(500):
            data = bytearray(valid[: int(rng.integers(1, len(valid) + 1))])
            for _ in range(int(rng.integers(0, 6))):
                data[int(rng.integers(len(data)))] = int(rng.integers(256))
            data[0] &= 3
            stranger(here.server_address, bytes(data))
        await hears_on(here.handler)
        await until(lambda: here.dropped("stun") > 50)
    assert errors == []


# Row 3: SSRC floods


async def test_a_flood_of_sources_is_capped_and_close_does_not_hang() -> None:
    payload = opus.new_encoder().encode(np.zeros(960, np.int16))
    async with call() as here:
        for n in range(200):
            await here.client.send_rtp(payload, seq=n, timestamp=0, ssrc=100_000 + n)
        await until(lambda: here.dropped("sources") >= 190)
        await hears_on(here.handler)
        await asyncio.sleep(1.6)  # a report goes out meanwhile
        began = time.monotonic()
        await here.peer.close("enough")
        assert time.monotonic() - began < 1.0


async def test_stock_hangs_in_close_after_a_flood_of_sources_and_hard_close_ends_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, logger="asyncio")
    payload = opus.new_encoder().encode(np.zeros(960, np.int16))
    client = Client.make(label=None)
    async with stock_server(client) as server:
        await client.take(server.answer)
        await client.connected()
        await until(lambda: server.frames > 5)
        for n in range(200):
            await client.send_rtp(payload, seq=n, timestamp=0, ssrc=100_000 + n)
        receiver: Any = server.pc.getReceivers()[0]
        await until(receiver._RTCRtpReceiver__rtcp_task.done)
        assert receiver._RTCRtpReceiver__rtcp_task.exception() is not None
        began = time.monotonic()
        assert not await hardening.hard_close(server.pc, 0.5)
        assert time.monotonic() - began < 3.0


# Row 5: payloads that are no Opus


async def test_stock_is_deaf_after_one_empty_payload() -> None:
    client = Client.make(label=None)
    async with stock_server(client) as server:
        await client.take(server.answer)
        await client.connected()
        await until(lambda: server.frames > 10)
        sender: Any = client.pc.getSenders()[0]
        history = sender._RTCRtpSender__rtp_history
        last = max(history.values(), key=lambda packet: packet.timestamp)
        for n in range(1, 4):
            await client.send_rtp(
                b"",
                seq=last.sequence_number + n & 0xFFFF,
                timestamp=last.timestamp + n * 960 & 0xFFFF_FFFF,
                ssrc=last.ssrc,
            )
        await asyncio.sleep(0.5)
        before = server.frames
        await asyncio.sleep(0.5)
        assert server.frames - before < 5


async def test_empty_and_garbage_payloads_do_not_deafen() -> None:
    async with call() as here:
        await hears_on(here.handler)
        sender: Any = here.client.pc.getSenders()[0]
        history = sender._RTCRtpSender__rtp_history
        last = max(history.values(), key=lambda packet: packet.timestamp)
        for n, payload in enumerate((b"", b"\x03", b"\xff" * 400, b"\x0b\xff\x00", b"")):
            await here.client.send_rtp(
                payload,
                seq=last.sequence_number + n + 1 & 0xFFFF,
                timestamp=last.timestamp + (n + 1) * 960 & 0xFFFF_FFFF,
                ssrc=last.ssrc,
            )
        await until(lambda: here.dropped("empty") == 2)
        await hears_on(here.handler, 40)


# Row 8: absurd time stamps


async def test_a_jump_of_the_time_stamp_is_neither_silence_for_a_day_nor_deafness() -> None:
    payload = opus.new_encoder().encode(np.zeros(960, np.int16))
    async with call(audio="recvonly") as quiet:
        assert quiet.handler.frames == []
    client = Client.make()
    async with call(client=client) as here:
        await hears_on(here.handler)
        client.pc.getSenders()[0]._enabled = False
        await asyncio.sleep(0.6)  # the microphone's place is free for another source
        stamp = 0
        for n in range(40):
            stamp = stamp - 48_000 if n == 10 else stamp + (960 if n != 20 else 1 << 31)
            await client.send_rtp(payload, seq=n, timestamp=stamp & 0xFFFF_FFFF, ssrc=77)
            await asyncio.sleep(0.005)
        before = here.handler.gap_ms
        await until(lambda: here.peer.stats().received >= 35)
        assert here.handler.gap_ms - before < 1_500


# Row 10: peers that are gone


async def test_a_killed_peer_is_noticed_within_ten_seconds() -> None:
    async with call() as here:
        await hears_on(here.handler)
        began = time.monotonic()
        here.client.vanish()
        await until(lambda: here.handler.closed, 12)
        assert time.monotonic() - began < 10
        assert here.handler.closed == ["connection lost"]


async def test_a_goodbye_ends_the_call_unless_the_peer_is_still_there() -> None:
    async with call() as here:
        await hears_on(here.handler)
        ssrc = here.client.pc.getSenders()[0]._ssrc
        await here.client.dtls._send_rtp(bytes(RtcpByePacket(sources=[ssrc])))
        await asyncio.sleep(1.0)
        assert here.handler.closed == []  # it answers, so only its microphone went
        await here.client.dtls._send_rtp(bytes(RtcpByePacket(sources=[ssrc])))
        await asyncio.sleep(0.05)
        here.client.vanish()
        await until(lambda: here.handler.closed == ["bye"], 5)


# Row 11: malformed descriptions


async def test_malformed_offers_are_refused_and_leave_nothing_behind() -> None:
    client = Client.make()
    offer = await client.offer()
    rng = np.random.default_rng(4)
    refused, taken = 0, 0
    config = RtcConfig(bind="127.0.0.1", max_half_open=1_000, max_half_open_per_address=1_000)
    for _ in range(150):
        lines = offer.splitlines()
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(lines)))
            line = lines[at]
            cut = int(rng.integers(len(line) + 1))
            lines[at] = [line[:cut], line + "9" * 12, line.replace(":", " "), "", line.upper()][
                int(rng.integers(5))
            ]
        try:
            peer = await Peer.accept("\r\n".join(lines) + "\r\n", Handler(), config, Metrics())
        except PeerError as error:
            refused += error.status in (400, 413)
        else:
            taken += 1
            await peer.close("done")
    assert refused > 20
    assert refused + taken == 150
    await client.close()


# Row 13: tracks that nobody reads


async def test_a_second_microphone_is_not_kept_anywhere() -> None:
    client = Client.make()
    client.pc.addTransceiver(ToneTrack(880), direction="sendonly")
    async with call(client=client) as here:
        await hears_on(here.handler, 30)
        for transceiver in here.peer._pc.getTransceivers():
            track: Any = transceiver.receiver.track
            assert track._queue.qsize() == 0


# Row 14: NACK storms


async def storm(client: Client, ssrc: int, numbers: list[int]) -> int:
    """Ask for these packets again, ten times. Returns how many of them come."""
    came: list[bytes] = []
    client.connection.data_received = lambda data, component: came.append(data)
    nack = RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=ssrc)
    nack.lost = sorted(numbers)
    for _ in range(10):
        await client.dtls._send_rtp(bytes(nack))
    await asyncio.sleep(0.3)
    wanted = set(numbers)
    return sum(
        1
        for data in came
        if data and 128 <= data[0] < 192 and data[1] & 127 == 96 and int.from_bytes(data[2:4]) in wanted
    )


async def test_stock_retransmits_everything_it_is_asked_for() -> None:
    client = Client.make(label=None)
    async with stock_server(client, ToneTrack()) as server:
        await client.take(server.answer)
        await client.connected()
        await until(lambda: len(client.received) > 30)
        sender: Any = server.pc.getSenders()[0]
        sent = [packet.sequence_number for packet in sender._RTCRtpSender__rtp_history.values()][:20]
        assert await storm(client, sender._ssrc, sent) >= 150


async def test_nothing_is_retransmitted() -> None:
    async with call(label=None) as here:
        here.peer.speech.play(np.full(24_000, 3_000, np.int16), clip="a", last=True)
        await until(lambda: here.peer.stats().sent == 25)
        receiver: Any = here.client.pc.getReceivers()[0]
        streams = receiver._RTCRtpReceiver__remote_streams
        await until(lambda: sum(stream.packets_received for stream in streams.values()) == 25)
        sender: Any = here.peer._pc.getSenders()[0]
        sent = [sender._seq - n & 0xFFFF for n in range(1, 21)]
        assert await storm(here.client, sender._ssrc, sent) == 0
        assert here.dropped("feedback") == 10


# Row 15: the audio level


def test_the_level_of_a_frame_is_right_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiortc.rtp, "compute_audio_level_dbov", aiortc.rtp.compute_audio_level_dbov)
    stock = aiortc.rtp.compute_audio_level_dbov
    hardening.install()
    frame = AudioFrame(format="s16", layout="stereo", samples=960)
    tone = (np.sin(np.arange(960) / 960 * 2 * np.pi * 8) * 16_384).astype(np.int16)
    plane = np.zeros(frame.planes[0].buffer_size // 2, np.int16)
    plane[:1_920] = np.repeat(tone, 2)
    frame.planes[0].update(plane.tobytes())
    assert aiortc.rtp.compute_audio_level_dbov(frame) == -9
    assert stock(frame) != -9  # it counts two channels as one, and the padding with it
    began = time.perf_counter()
    for _ in range(200):
        aiortc.rtp.compute_audio_level_dbov(frame)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(20):
        stock(frame)
    assert ours / 200 < (time.perf_counter() - began) / 20 / 5


# Row 17: data channels


async def test_channels_and_messages_are_bounded() -> None:
    async with call() as here:
        for n in range(10):
            here.client.pc.createDataChannel(f"more{n}")
        await until(lambda: here.dropped("channels") >= 6)
        assert len(here.handler.channels) == 4
        here.client.channel.transport._remote_max_message_size = 0
        here.client.channel.send("x" * 20_000)
        here.client.channel.send("y" * 16_000)
        await until(lambda: here.handler.texts)
        assert [len(text) for _, text in here.handler.texts] == [16_000]
        await hears_on(here.handler)


async def test_a_message_without_end_ends_only_the_senders_channel() -> None:
    async with call() as here:
        here.client.channel.transport._remote_max_message_size = 0
        here.client.channel.send("x" * 2_000_000)
        await until(lambda: here.dropped("sctp_window") == 1)
        await hears_on(here.handler)


async def test_garbage_in_the_association_harms_nobody() -> None:
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    rng = np.random.default_rng(3)
    async with call() as here:
        sctp = here.client.pc.sctp
        assert sctp is not None
        for _ in range(300):
            await here.client.dtls._send_data(rng.bytes(int(rng.integers(1, 200))))
        await hears_on(here.handler)
        here.client.channel.send("still here")
        await until(lambda: here.handler.texts)
    assert errors == []


# Names


def test_every_private_name_is_where_it_was() -> None:
    assert names.missing_names() == []
    hardening.check_private_names()


def test_a_name_that_moved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("aioice.ice.Connection.query_consent")
    with pytest.raises(ConfigError, match=r"Connection\.query_consent"):
        hardening.check_private_names()


# The network changes


async def test_a_peer_whose_nat_forgot_it_is_followed() -> None:
    async with Relay() as relay, call(rewrite=relay.rewrite) as here:
        await hears_on(here.handler)
        await relay.rebind()
        start = len(here.handler.frames)
        await until(lambda: len(here.handler.frames) > start + 20, 8)
        relay.passed_down.clear()
        here.peer.speech.play(np.full(24_000, 2_000, np.int16), clip="a", last=True)
        await until(lambda: sum(128 <= seen.data[0] < 192 for seen in relay.passed_down) >= 20, 8)
        assert here.handler.closed == []
