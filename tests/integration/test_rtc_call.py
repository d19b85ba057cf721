"""Calls of an unmodified aiortc client over loopback."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest

from media_server.errors import BadRequest, Overloaded, TooManyRequests
from media_server.metrics import Metrics
from media_server.rtc.peer import Peer, RtcConfig
from media_server.rtc.sdp import MAX_AUDIO
from tests.support.webrtc import LOCAL, Client, Handler, call, no_leaked_tasks, only_loopback, until

__all__ = ["no_leaked_tasks", "only_loopback"]

pytestmark = pytest.mark.usefixtures("only_loopback", "no_leaked_tasks")


def tone(seconds: float, frequency: float = 700) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    time = np.arange(round(seconds * 48_000)) / 48_000
    return (np.sin(2 * np.pi * frequency * time) * 9_000).astype(np.int16)


def pitch(pcm: np.ndarray[tuple[int], np.dtype[np.int16]], rate: int = 48_000) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * rate / len(pcm))


async def test_a_microphone_is_heard_in_frames_of_20_ms_in_real_time() -> None:
    async with call() as here:
        start = len(here.handler.frames)
        began = asyncio.get_running_loop().time()
        await until(lambda: len(here.handler.frames) >= start + 50)
        took = asyncio.get_running_loop().time() - began
        assert took == pytest.approx(1.0, abs=0.3)
        assert {len(frame) for frame in here.handler.frames} == {960}
        assert pitch(np.concatenate(here.handler.frames[-25:])) == pytest.approx(440, abs=3)
        assert here.handler.gap_ms == 0
        stats = here.peer.stats()
        assert (stats.loss, stats.concealed, stats.late) == (0.0, 0, 0)
        assert stats.state == "connected"


async def test_a_clip_is_heard_whole_by_a_client_that_decodes_it() -> None:
    async with call() as here:
        here.peer.speech.play(tone(1.0), clip="u1", last=True)
        await until(lambda: here.peer.speech.queued_ms == 0 and len(here.handler.played) == 50)
        await until(lambda: len(here.client.received) >= 45)
        assert here.metrics.registry.get_sample_value("lai_audio_late_ms_count")
        heard = np.concatenate(
            [frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in here.client.received[5:40]]
        )
        assert pitch(heard) == pytest.approx(700, abs=3)
        stamps = [frame.pts for frame in here.client.received]
        assert set(np.diff(stamps)) == {960}
        times = [at for _, at in here.handler.played]
        assert times[-1] - times[0] == pytest.approx(
            0.98, abs=0.3
        )  # other work on this machine may hold it up
        assert here.peer.stats().sent == 50


async def test_text_goes_both_ways_and_ping_is_answered() -> None:
    async with call(label="anything") as here:
        await until(lambda: here.handler.channels == ["anything"])
        here.client.channel.send("ping 42")
        here.client.channel.send('{"type":"mute","muted":true}')
        here.peer.send_text('{"type":"final","text":"hello"}')
        await until(lambda: len(here.client.texts) == 2 and here.handler.texts)
        assert set(here.client.texts) == {"pong 42", '{"type":"final","text":"hello"}'}
        assert here.handler.texts == [("anything", '{"type":"mute","muted":true}')]


async def test_the_answer_comes_at_once() -> None:
    client = Client.make()
    offer = await client.offer()
    loop = asyncio.get_running_loop()
    began = loop.time()
    peer = await Peer.accept(offer, Handler(), LOCAL, Metrics(), address="127.0.0.1")
    assert loop.time() - began < 0.3
    await peer.close("done")
    await client.close()


@pytest.mark.parametrize(
    ("audio", "label"),
    [
        ("sendrecv", None),
        ("sendonly", None),
        ("recvonly", "captions"),
        ("recvonly", None),
        (None, "captions"),
    ],
)
async def test_offers_of_every_shape_are_answered(audio: str | None, label: str | None) -> None:
    async with call(audio=audio, label=label) as here:
        if audio and "send" in audio:
            await until(lambda: len(here.handler.frames) > 5)
        if audio and "recv" in audio:
            here.peer.speech.play(tone(0.4), clip="a", last=True)
            await until(lambda: len(here.client.received) > 5)
        if label:
            here.peer.send_text("hello")
            await until(lambda: here.client.texts == ["hello"])


async def test_a_second_audio_line_is_a_second_track_to_the_listener() -> None:
    client = Client.make()
    client.pc.addTransceiver("audio", direction="recvonly")
    async with call(client=client) as here:
        await until(lambda: len(here.handler.frames) > 5)
        assert here.peer.floor is not None
        here.peer.floor.play(tone(0.3), clip="floor", last=True)
        here.peer.speech.play(tone(0.3), clip="speech", last=True)
        await until(lambda: len({frame.pts for frame in client.received}) > 5 and len(client.received) > 15)


@pytest.mark.parametrize(("kind", "more"), [("video", 1), ("video", 2), ("audio", 5)])
async def test_what_is_not_taken_is_rejected_in_its_place_and_a_stock_client_gets_its_call(
    kind: str, more: int
) -> None:
    client = Client.make()
    for _ in range(more):
        client.pc.addTransceiver(kind, direction="sendrecv")
    async with call(client=client) as here:
        await until(lambda: len(here.handler.frames) > 5 and here.handler.channels)
        offered = [
            line.split() for line in client.pc.localDescription.sdp.splitlines() if line.startswith("m=")
        ]
        answered = [line.split() for line in here.peer.answer_sdp.splitlines() if line.startswith("m=")]
        assert [line[0] for line in answered] == [line[0] for line in offered]
        rejected = [line[0] for line in answered if line[1] == "0"]
        assert rejected == [f"m={kind}"] * (more if kind == "video" else more + 1 - MAX_AUDIO)
        here.peer.speech.play(tone(0.4), clip="a", last=True)
        await until(lambda: len(client.received) > 5)
        assert here.handler.connected == 1


async def test_only_opus_is_offered_back_with_in_band_fec() -> None:
    async with call(label=None) as here:
        maps = re.findall(r"a=rtpmap:(\d+) (\S+)", here.peer.answer_sdp)
        assert [codec for _, codec in maps] == ["opus/48000/2"]
        assert f"a=fmtp:{maps[0][0]} minptime=10;useinbandfec=1;stereo=0" in here.peer.answer_sdp


async def test_a_client_that_hangs_up_ends_the_call_once() -> None:
    async with call() as here:
        await here.client.close()
        await until(lambda: here.handler.closed)
        await here.peer.close("again")
        await here.peer.close("and again")
        assert here.handler.closed == ["closed by peer"]
        assert here.peer.state == "closed"
        assert here.handler.after_close == 0


async def test_close_returns_when_everything_has_ended() -> None:
    async with call() as here:
        before = len(here.handler.frames)
        await asyncio.gather(here.peer.close("enough"), here.peer.close("enough"))
        assert here.handler.closed == ["enough"]
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("rtc.")]
        assert len(here.handler.frames) - before <= 1
        here.peer.send_text("nobody hears this")
        here.peer.speech.play(tone(0.1), clip="late", last=True)


async def test_an_offer_that_never_connects_is_given_up() -> None:
    client, handler = Client.make(), Handler()
    config = RtcConfig(bind="127.0.0.1", connect_timeout_s=0.3)
    await Peer.accept(await client.offer(), handler, config, Metrics(), address="127.0.0.1")
    await until(lambda: handler.closed == ["not connected in time"])
    await client.close()


async def test_half_open_offers_are_capped_per_address_and_altogether() -> None:
    client = Client.make(audio=None)
    offer = await client.offer()
    config = RtcConfig(bind="127.0.0.1", max_half_open=4, max_half_open_per_address=2)
    peers = []

    async def accept(address: str) -> None:
        peers.append(await Peer.accept(offer, Handler(), config, Metrics(), address=address))

    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        await accept(address)
    with pytest.raises(TooManyRequests):
        await accept("192.0.2.1")
    await accept("192.0.2.2")
    with pytest.raises(Overloaded) as refused:
        await accept("192.0.2.3")
    assert refused.value.retry_after_s
    await peers[0].close("gone")
    await accept("192.0.2.3")
    for peer in peers:
        await peer.close("done")
    await client.close()


async def test_a_microphone_that_falls_silent_ends_the_call_unless_it_is_muted() -> None:
    config = RtcConfig(bind="127.0.0.1", media_timeout_s=0.4)
    async with call(config=config) as here:
        await until(lambda: len(here.handler.frames) > 3)
        here.peer.muted = True
        here.client.pc.getSenders()[0]._enabled = False
        await until(lambda: here.handler.gap_ms > 800)  # silence is time, too
        assert here.handler.closed == []
        here.peer.muted = False
        await until(lambda: here.handler.closed == ["no media"])


async def test_media_stay_in_the_port_range_and_the_public_address_is_named() -> None:
    config = RtcConfig(bind="127.0.0.1", port_min=5160, port_max=5161, public_ip="203.0.113.7")
    offers = [Client.make(audio=None) for _ in range(3)]
    peers = []
    for client in offers[:2]:
        peer = await Peer.accept(await client.offer(), Handler(), config, Metrics(), address="127.0.0.1")
        peers.append(peer)
    named = [re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", peer.answer_sdp) for peer in peers]
    # A loopback address is never rewritten, nobody could reach it through a NAT.
    assert {(host, int(port)) for found in named for host, port in found} == {
        ("127.0.0.1", 5160),
        ("127.0.0.1", 5161),
    }
    assert all("c=IN IP4 203.0.113.7" in peer.answer_sdp for peer in peers)
    with pytest.raises(Overloaded, match="no UDP port from 5160 to 5161") as full:
        await Peer.accept(await offers[2].offer(), Handler(), config, Metrics(), address="127.0.0.1")
    assert full.value.status == 503
    await peers[0].close("room")
    again = await Peer.accept(await offers[2].offer(), Handler(), config, Metrics(), address="127.0.0.1")
    for peer in (*peers, again):
        await peer.close("done")
    for client in offers:
        await client.close()


async def test_no_usable_audio_is_said_in_words() -> None:
    client = Client.make(label=None)
    offer = (await client.offer()).replace("opus/48000/2", "speex/16000")
    with pytest.raises(BadRequest, match="Opus"):
        await Peer.accept(offer, Handler(), LOCAL, Metrics())
    await client.close()


async def test_a_handler_that_fails_costs_its_own_call_nothing_but_the_frame(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Handler):
        def on_audio(self, pcm: np.ndarray[tuple[int], np.dtype[np.int16]]) -> None:
            super().on_audio(pcm)
            raise RuntimeError("frame")

        def on_text(self, channel: str, text: str) -> None:
            super().on_text(channel, text)
            raise RuntimeError("text")

    client, handler, metrics = Client.make(), Failing(), Metrics()
    peer = await Peer.accept(await client.offer(), handler, LOCAL, metrics, address="127.0.0.1")
    await client.take(peer.answer_sdp)
    await client.connected()
    await until(lambda: len(handler.frames) > 10)
    client.channel.send("one")
    client.channel.send("two")
    await until(lambda: len(handler.texts) == 2)
    assert handler.closed == []
    assert "handler failed on a frame" in caplog.text
    await peer.close("done")
    await client.close()
