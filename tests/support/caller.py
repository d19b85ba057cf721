"""A caller made of stock aiortc: sends a recording as its microphone, keeps captions and the sound that
comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from numpy.typing import NDArray

from media_server.audio.resample import resample

RATE = 48_000
FRAME = 960
DATA = Path(__file__).resolve().parents[1] / "data"

type Pcm = NDArray[np.int16]


def recording(name: str) -> Pcm:
    """A recording of the tests' data, int16 mono at 48 kHz."""
    with wave.open(str(DATA / name)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return resample(pcm, file.getframerate(), RATE)


class Microphone(MediaStreamTrack):
    """Plays what it is given in real time, and silence before and after it."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pending: list[Pcm] = []
        self._started = 0.0
        self._count = 0
        self.said_at = 0.0
        """Monotonic time at which the last recording was sent to its end."""
        self.done = asyncio.Event()
        self.shape: Callable[[Pcm], Pcm] = lambda frame: frame

    def say(self, pcm: Pcm) -> None:
        self.done.clear()
        self._pending += [pcm[start : start + FRAME] for start in range(0, len(pcm), FRAME)]

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if not self._started:
            self._started = time.monotonic()
        due = self._started + self._count * 0.020
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        samples = np.zeros(FRAME, np.int16)
        if self._pending:
            piece = self._pending.pop(0)
            samples[: len(piece)] = piece
            if not self._pending:
                self.said_at = time.monotonic()
                self.done.set()
        frame = AudioFrame.from_ndarray(self.shape(samples)[None], format="s16", layout="mono")
        frame.pts, frame.sample_rate, frame.time_base = self._count * FRAME, RATE, Fraction(1, RATE)
        self._count += 1
        return frame


class Loudspeaker:
    """Plays what arrives on a time line of its own, and tells what sounds at a time: for an echo.

    A frame begins when the one before it ends, or 40 ms after its arrival where there was a pause.
    """

    def __init__(self) -> None:
        self._line = np.zeros(RATE * 60, np.int16)
        self._zero = time.monotonic()
        self._end = 0

    def push(self, pcm: Pcm) -> None:
        now = int((time.monotonic() - self._zero) * RATE)
        start = self._end if self._end > now else now + RATE // 25
        self._line[start : start + len(pcm)] = pcm
        self._end = start + len(pcm)

    def sounding(self, delay_ms: int) -> Pcm:
        """The 20 ms that sounded ``delay_ms`` ago."""
        start = int((time.monotonic() - self._zero - delay_ms / 1000) * RATE)
        return self._line[max(0, start) : max(0, start) + FRAME]


class Answers(Protocol):
    """Who can be called: a server in a process of its own, or in the test's."""

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        """(status, JSON body) of a POST of JSON."""
        ...


class Caller:
    """``async with Caller(server, targetLang="es") as caller``: connected, its channel open (if it has
    one)."""

    def __init__(
        self, server: Answers, *, channel: str | None = "captions", path: str = "/offer", **keys: object
    ) -> None:
        self._server = server
        self._path = path
        self._keys = keys
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.messages: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.texts: list[str] = []
        self.loudspeaker = Loudspeaker()
        self.sound: list[tuple[float, Pcm]] = []
        """(arrival, samples) of every decoded frame, 48 kHz mono."""
        self.answer: dict[str, Any] = {}
        self.answered_after = 0.0
        self.channel: RTCDataChannel | None = self.pc.createDataChannel(channel) if channel else None
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Caller:
        opened = asyncio.Event()
        connected = asyncio.Event()
        if self.channel is not None:
            self.channel.on("open", opened.set)
            self.channel.on("message", self._message)
        self.pc.on("track", self._track)

        def changed() -> None:
            if self.pc.connectionState == "connected":
                connected.set()

        self.pc.on("connectionstatechange", changed)
        self.pc.addTrack(self.microphone)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        body = {"sdp": self.pc.localDescription.sdp, "type": "offer", **self._keys}
        started = time.monotonic()
        status, self.answer = await self._server.post(self._path, body)
        self.answered_after = time.monotonic() - started
        if status != 200:
            await self.pc.close()
            raise AssertionError(f"{status}: {self.answer}")
        await self.pc.setRemoteDescription(RTCSessionDescription(self.answer["sdp"], "answer"))
        async with asyncio.timeout(15):
            await connected.wait()
            if self.channel is not None:
                await opened.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.microphone.stop()
        await self.pc.close()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    def _message(self, text: str) -> None:
        self.texts.append(text)
        if text.startswith("{"):
            self.messages.append(json.loads(text))
            self.times.append(time.monotonic())
        self._news.set()

    def _track(self, track: MediaStreamTrack) -> None:
        self._reader = asyncio.get_running_loop().create_task(self._read(track), name="caller.read")

    async def _read(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
            self.sound.append((time.monotonic(), samples.astype(np.int16)))
            self.loudspeaker.push(self.sound[-1][1])
            self._news.set()

    def send(self, **message: object) -> None:
        assert self.channel is not None
        self.channel.send(json.dumps(message))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def finals(self) -> list[dict[str, Any]]:
        """The last revision of every final, in the order of their first."""
        last: dict[str, dict[str, Any]] = {}
        for message in self.of("final"):
            last[message["id"]] = message
        return list(last.values())

    def heard_seconds(self) -> float:
        """Seconds of sound that is louder than silence."""
        return sum(len(pcm) / RATE for _, pcm in self.sound if np.abs(pcm.astype(np.int32)).max() > 200)

    async def until(
        self, condition: Callable[[], object], timeout_s: float = 20.0, poll_s: float | None = None
    ) -> None:
        """Waits for news (or ``poll_s``) until the condition holds; AssertionError with what came instead."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._news.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), poll_s)
        except TimeoutError:
            kinds = [message["type"] for message in self.messages]
            raise AssertionError(
                f"waited {timeout_s} s; messages {kinds}, sound {self.heard_seconds():.2f} s"
            ) from None
