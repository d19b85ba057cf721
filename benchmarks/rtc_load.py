"""Load: many callers that send prepared Opus and decode nothing, and watch when what they sent comes back."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import statistics
import sys
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.wire import Wire
from media_server.audio import opus
from media_server.audio.resample import resample

STEP = 0.020  # s
SLOTS = 10  # callers are spread over the 20 ms
LATE = 0.040  # s beyond the caller's fastest packet
PIECE = 30  # frames that are looked for in what was sent
LISTENED = 3  # callers whose packets are decoded after a measurement
ON_TIME = 0.99  # share of a caller's packets that must be


def prepared(seconds: float = 8.0) -> tuple[list[bytes], np.ndarray[Any, np.dtype[np.int16]]]:
    """A voice as Opus, 20 ms a payload, with a trace of noise: nothing of it is digital silence. And the
    voice."""
    path = Path(__file__).resolve().parent.parent / "tests/data/jfk.wav"
    with wave.open(str(path)) as file:
        pcm = resample(
            np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate(), 48_000
        )
    pcm = pcm[: int(seconds * 48_000)]
    noise = np.random.default_rng(1).integers(-12, 13, len(pcm), dtype=np.int16)
    pcm = np.clip(pcm.astype(np.int32) + noise, -32_768, 32_767).astype(np.int16)
    encoder = opus.new_encoder()
    encoder.set_packet_loss(10)
    return [encoder.encode(pcm[at : at + 960]) for at in range(0, len(pcm) - 960, 960)], pcm


def _place(piece: np.ndarray[Any, Any], voice: np.ndarray[Any, Any]) -> int:
    """Where ``piece`` begins in ``voice``: the best normalized correlation."""
    size = len(voice) + len(piece)
    spectrum = np.fft.rfft(voice.astype(np.float64), size) * np.conj(np.fft.rfft(piece, size))
    products = np.fft.irfft(spectrum, size)[: len(voice) - len(piece)]
    energy = np.concatenate(([0.0], np.cumsum(voice.astype(np.float64) ** 2)))
    power = energy[len(piece) : len(voice)] - energy[: len(voice) - len(piece)]
    return int(np.argmax(products / np.sqrt(power + 1.0)))


class Answering(Protocol):
    """A server that answers ``{"offer": sdp}`` with ``{"answer": sdp}`` and ``{"stats": 1}`` with ``cpu`` (seconds),
    ``memory`` (bytes) and counts of frames.
    """

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]: ...


class Quiet(MediaStreamTrack):
    """Keeps aiortc's own sender asleep: the load speaks in its place."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


@dataclass
class Watched:
    """What one caller saw in a stretch of time."""

    sent: int
    came: int
    delays: list[float]
    """Seconds from sending a frame to its return."""
    gaps: list[float]
    """Seconds between the arrivals of frames that follow each other."""

    @property
    def on_time(self) -> bool:
        """Nearly all that came came in time. Silence is not sent back, so less may come than was sent."""
        if self.came < 0.5 * self.sent:
            return False
        fastest = min(self.delays)
        return sum(delay - fastest <= LATE for delay in self.delays) >= ON_TIME * len(self.delays)


async def _connect(pc: RTCPeerConnection, server: Answering, looped: bool) -> None:
    pc.addTrack(Quiet())
    acknowledged = asyncio.Event()
    if looped:
        channel = pc.createDataChannel("captions")
        channel.on("open", lambda: channel.send('{"type":"loopback","on":true}'))
        channel.on("message", lambda text: acknowledged.set() if '"ack"' in text else None)
    await pc.setLocalDescription()
    reply = await server.ask({"offer": pc.localDescription.sdp})
    await pc.setRemoteDescription(RTCSessionDescription(reply["answer"], "answer"))
    deadline = time.monotonic() + 20
    while pc.connectionState != "connected" or (looped and not acknowledged.is_set()):
        if time.monotonic() > deadline:
            raise TimeoutError("a caller did not connect")
        await asyncio.sleep(0.01)


@dataclass
class Caller:
    pc: RTCPeerConnection
    payloads: list[bytes]
    loss: float = 0.0
    seed: int = 0
    _sent_at: list[float] = field(default_factory=list)
    _came: list[tuple[int, float]] = field(default_factory=list)
    _heard: list[tuple[int, float, bytes]] | None = None
    """Frame, arrival and SRTP packet, of a caller that is listened to."""
    _first: int | None = None
    sent: int = 0

    @classmethod
    async def make(
        cls, server: Answering, payloads: list[bytes], loss: float, seed: int, looped: bool = False
    ) -> Caller:
        """Connected. ``looped``: asks over a data channel to hear itself, as the call page does."""
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        try:
            await _connect(pc, server, looped)
        except BaseException:
            await pc.close()
            raise
        caller = cls(pc, payloads, loss, seed)
        caller._take_over()
        return caller

    def _take_over(self) -> None:
        self._wire = Wire(self.pc, self._received)
        self._random = random.Random(self.seed)

    def send(self, now: float) -> None:
        n = len(self._sent_at)
        self._sent_at.append(now)
        if self.loss and n > 20 and self._random.random() < self.loss:
            return
        self._wire.send(n, self.payloads[n % len(self.payloads)])
        self.sent += 1

    def _received(self, data: bytes) -> None:
        stamp = int.from_bytes(data[4:8])
        if self._first is None:
            self._first = stamp
        frame, now = ((stamp - self._first) & 0xFFFF_FFFF) // 960, time.monotonic()
        self._came.append((frame, now))
        if self._heard is not None:
            self._heard.append((frame, now, data))

    def watch(self, listen: bool = False) -> None:
        """Forget what was seen so far; ``listen`` keeps the packets for ``heard_delay``."""
        self._mark = len(self._sent_at)
        self._came.clear()
        self._heard = [] if listen else None

    def heard_delay(self, voice: np.ndarray[Any, np.dtype[np.int16]]) -> float:
        """Seconds from sending a sound to its return, by what is in the packets, decoded afterwards.

        A second of what came back is looked for in what was sent.
        """
        assert self._heard is not None
        heard = [(frame, at, self._payload(data)) for frame, at, data in self._heard]
        self._heard = None
        for at in range(0, len(heard) - PIECE, 10):
            piece = heard[at : at + PIECE]
            if piece[-1][0] - piece[0][0] != PIECE - 1:
                continue  # a pause
            decoder = opus.new_decoder()
            pcm = np.concatenate([decoder.decode(payload) for _, _, payload in piece]).astype(np.float32)
            if np.abs(pcm).mean() < 200:
                continue
            position = _place(pcm, voice) / 960  # in the loop of what is sent
            # Of the times that this place of the loop was sent, the last one before it came back.
            arrival = piece[0][1]
            loops = len(self.payloads)
            sent = [n for n in range(int(position), len(self._sent_at), loops) if self._sent_at[n] < arrival]
            if sent:
                return arrival - self._sent_at[sent[-1]] - (position % 1) * STEP
        return float("nan")

    def _payload(self, data: bytes) -> bytes:
        """The payload of a packet: aiortc's session has not seen it yet, the load took it off the socket."""
        plain = self._wire.dtls._rx_srtp.unprotect(data)
        start = 12
        if plain[0] & 16:
            start += 4 + 4 * int.from_bytes(plain[14:16])
        return bytes(plain[start:])

    def seen(self) -> Watched:
        until = len(self._sent_at) - 25  # what was sent in the last half second may still be on its way
        delays = [
            at - self._sent_at[frame]
            for frame, at in self._came
            if self._mark <= frame < until and frame < len(self._sent_at)
        ]
        came = [(frame, at) for frame, at in self._came if self._mark <= frame < until]
        gaps = [
            now - before
            for (earlier, before), (frame, now) in itertools.pairwise(came)
            if frame == earlier + 1
        ]
        return Watched(until - self._mark, len(delays), delays, gaps)


class ServerProcess:
    """A server of ``benchmarks.rtc_server`` as a child, on a core of its own."""

    def __init__(self, kind: str, core: int) -> None:
        self.kind, self._core = kind, core
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> ServerProcess:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.rtc_server",
            self.kind,
            "--core",
            str(self._core),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 15)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        async with self._lock:
            stdin.write(json.dumps(request).encode() + b"\n")
            await stdin.drain()
            line = await stdout.readline()
        if not line:
            raise ConnectionError(f"the {self.kind} server ended")
        reply: dict[str, Any] = json.loads(line)
        return reply


@dataclass(frozen=True)
class Measured:
    sessions: int
    seconds: float
    cores_per_session: float
    on_time: int
    """Callers whose packets came back in time."""
    delay_ms: float
    """From sending a sound to its return, by the sound itself: codec, denoiser and queues are in it."""
    spread_p95_ms: float
    """How much later than the fastest packet the slowest twentieth came."""
    memory: int
    frames: dict[str, float]
    """Counted by the server, in this stretch."""
    sent: int
    spread_ms: list[float]
    """How much later than the fastest packet of its caller each one came, in order of size."""
    gaps_ms: list[float]
    """Between the arrivals of frames that follow each other, in order of size."""


class Load:
    """Callers of one server, more and more of them."""

    def __init__(self, server: Answering, *, looped: bool = False, seed: int = 0) -> None:
        self._server = server
        self._looped, self._seed = looped, seed
        self._payloads, self._voice = prepared()
        self._callers: list[Caller] = []
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._callers)

    async def grow(self, count: int, loss: float = 0.0) -> None:
        while len(self._callers) < count:
            seed = self._seed + len(self._callers)
            self._callers.append(await Caller.make(self._server, self._payloads, loss, seed, self._looped))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="load")

    async def _run(self) -> None:
        start, tick = time.monotonic(), 0
        while True:
            slot = tick % SLOTS
            now = time.monotonic()
            for caller in self._callers[slot::SLOTS]:
                caller.send(now)
            tick += 1
            due = start + tick * STEP / SLOTS
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def measure(self, seconds: float, warm_up: float = 1.5) -> Measured:
        await asyncio.sleep(warm_up)
        sent = sum(caller.sent for caller in self._callers)
        for index, caller in enumerate(self._callers):
            caller.watch(listen=index < LISTENED)
        before, began = await self._server.ask({"stats": 1}), time.monotonic()
        await asyncio.sleep(seconds)
        after, took = await self._server.ask({"stats": 1}), time.monotonic() - began
        seen = [caller.seen() for caller in self._callers]
        # How much later than the fastest packet of its caller each one came, on top of what the sound says.
        spread = sorted(delay - min(watched.delays) for watched in seen for delay in watched.delays) or [
            float("nan")
        ]
        heard = [caller.heard_delay(self._voice) for caller in self._callers[:LISTENED]]
        heard = [delay for delay in heard if delay == delay] or [float("nan")]
        return Measured(
            sessions=len(self._callers),
            seconds=took,
            cores_per_session=(after["cpu"] - before["cpu"]) / took / len(self._callers),
            on_time=sum(watched.on_time for watched in seen),
            delay_ms=statistics.median(heard) * 1000,
            spread_p95_ms=spread[int(len(spread) * 0.95)] * 1000,
            memory=after["memory"],
            frames={k: after[k] - before[k] for k in ("played", "recovered", "concealed")},
            sent=sum(caller.sent for caller in self._callers) - sent,
            spread_ms=[value * 1000 for value in spread],
            gaps_ms=sorted(gap * 1000 for watched in seen for gap in watched.gaps),
        )

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*(caller.pc.close() for caller in self._callers), return_exceptions=True)


def pin(core: int) -> None:
    """This process on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def unpin() -> None:
    """This process, and those it starts, on every core again."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
