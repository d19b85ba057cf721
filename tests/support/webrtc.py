"""A stock aiortc client and a server's handler that remembers, for tests of calls over loopback.

The client is aiortc as it comes: hardening adopts the server's connections one by one and leaves its
classes alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aioice.ice
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from media_server.audio.frames import Pcm
from media_server.metrics import Metrics
from media_server.rtc.peer import Peer, RtcConfig
from media_server.rtc.tracks import frame_of

LOCAL = RtcConfig(bind="127.0.0.1")


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something is true; fail when it does not come."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


class Handler:
    """Remembers everything a peer tells."""

    def __init__(self) -> None:
        self.frames: list[Pcm] = []
        self.gap_ms = 0
        self.texts: list[tuple[str, str]] = []
        self.channels: list[str] = []
        self.played: list[tuple[Pcm, float]] = []
        self.closed: list[str] = []
        self.connected = 0
        self.after_close = 0

    def _alive(self) -> None:
        self.after_close += len(self.closed)

    def on_audio(self, pcm: Pcm) -> None:
        self._alive()
        self.frames.append(pcm)

    def on_gap(self, milliseconds: int) -> None:
        self._alive()
        self.gap_ms += milliseconds

    def on_text(self, channel: str, text: str) -> None:
        self._alive()
        self.texts.append((channel, text))

    def on_channel_open(self, channel: str) -> None:
        self._alive()
        self.channels.append(channel)

    def on_connected(self) -> None:
        self._alive()
        self.connected += 1

    def on_played(self, pcm: Pcm, at_s: float) -> None:
        self.played.append((pcm, at_s))

    def on_closed(self, reason: str) -> None:
        self.closed.append(reason)


class ToneTrack(MediaStreamTrack):
    """A microphone that hums, in real time."""

    kind = "audio"

    def __init__(self, frequency: float = 440.0, level: int = 8_000) -> None:
        super().__init__()
        self._frequency, self._level = frequency, level
        self._count = 0
        self._start: float | None = None

    async def recv(self) -> Any:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self._start is None:
            self._start = loop.time()
        await asyncio.sleep(max(0.0, self._start + self._count * 0.02 - loop.time()))
        time = np.arange(self._count * 960, (self._count + 1) * 960) / 48_000
        frame = frame_of(
            (np.sin(2 * np.pi * self._frequency * time) * self._level).astype(np.int16), self._count * 960
        )
        self._count += 1
        return frame


class _BlackHole:
    """A transport that sends nothing."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def sendto(self, data: bytes, addr: Any) -> None: ...

    def close(self) -> None:
        self._transport.close()


@dataclass
class Client:
    """A stock peer connection that calls."""

    pc: RTCPeerConnection
    channel: Any = None
    received: list[Any] = field(default_factory=list)
    """Frames heard."""
    texts: list[str] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    def make(cls, *, audio: str | None = "sendrecv", label: str | None = "captions") -> Client:
        client = cls(RTCPeerConnection(RTCConfiguration(iceServers=[])))
        pc = client.pc
        if audio is not None:
            pc.addTransceiver(ToneTrack() if "send" in audio else "audio", direction=audio)
        if label is not None:
            client.channel = pc.createDataChannel(label)
            client.channel.on("message", client.texts.append)

        @pc.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            client._tasks.append(asyncio.ensure_future(client._listen(track)))

        return client

    async def _listen(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                self.received.append(await track.recv())

    async def offer(self) -> str:
        await self.pc.setLocalDescription()
        return str(self.pc.localDescription.sdp)

    async def take(self, answer: str) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def connected(self) -> None:
        await until(lambda: self.pc.connectionState == "connected")
        if self.channel is not None:
            await until(lambda: self.channel.readyState == "open")

    @property
    def dtls(self) -> Any:
        transceivers = self.pc.getTransceivers()
        if transceivers:
            return transceivers[0].receiver.transport
        assert self.pc.sctp is not None
        return self.pc.sctp.transport

    @property
    def connection(self) -> Any:
        return self.dtls.transport._connection

    async def send_rtp(
        self, payload: bytes, *, seq: int, timestamp: int, ssrc: int, payload_type: int = 96
    ) -> None:
        """A packet of one's own making through the client's encryption."""
        header = bytes((0x80, payload_type)) + seq.to_bytes(2) + timestamp.to_bytes(4) + ssrc.to_bytes(4)
        await self.dtls._send_rtp(header + payload)

    def vanish(self) -> None:
        """As when its network is pulled: nothing leaves and nothing arrives any more."""
        for protocol in self.connection._protocols:
            protocol.transport = _BlackHole(protocol.transport)
            protocol.datagram_received = lambda data, addr: None

    async def close(self) -> None:
        await self.pc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass
class Call:
    client: Client
    peer: Peer
    handler: Handler
    metrics: Metrics

    @property
    def server_address(self) -> tuple[str, int]:
        return candidate_of(self.peer.answer_sdp)

    def dropped(self, reason: str) -> float:
        value = self.metrics.registry.get_sample_value("lai_rtp_dropped_total", {"reason": reason})
        return value or 0.0


def candidate_of(sdp: str) -> tuple[str, int]:
    found = re.search(r"a=candidate:\S+ 1 udp \d+ (127\.0\.0\.1) (\d+) typ host", sdp)
    assert found, sdp
    return found[1], int(found[2])


@contextlib.asynccontextmanager
async def call(
    *,
    audio: str | None = "sendrecv",
    label: str | None = "captions",
    config: RtcConfig = LOCAL,
    rewrite: Callable[[str], str] = lambda answer: answer,
    client: Client | None = None,
) -> AsyncIterator[Call]:
    """A connected call; both ends are closed at the end."""
    client = client if client is not None else Client.make(audio=audio, label=label)
    handler, metrics = Handler(), Metrics()
    peer: Peer | None = None
    try:
        peer = await Peer.accept(await client.offer(), handler, config, metrics, address="127.0.0.1")
        await client.take(rewrite(peer.answer_sdp))
        await client.connected()
        await until(lambda: peer.state == "connected")
        yield Call(client, peer, handler, metrics)
    finally:
        if peer is not None:
            await peer.close("test over")
        await client.close()


def stranger(address: tuple[str, int], *datagrams: bytes) -> None:
    """Datagrams from an address that nobody knows."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for datagram in datagrams:
            sock.sendto(datagram, address)


@pytest.fixture
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock aiortc gathers on 127.0.0.1 only: tests run without a network, and in the same way everywhere."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Every task that a test starts has ended when it is over."""
    before = asyncio.all_tasks()
    yield

    def left() -> set[asyncio.Task[Any]]:
        return {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}

    try:
        await until(lambda: not left(), 2.0)
    except AssertionError:
        raise AssertionError(f"tasks were left: {sorted(task.get_name() for task in left())}") from None
