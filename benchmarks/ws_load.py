"""Load for ``benchmarks.ws``: clients of ``/ws-audio`` that cost next to nothing.

Frames are prepared (masked, and compressed where the server agreed to that); what comes back is counted by the heads
of frames and not looked into. The order of answers is that of messages, so the k-th answer belongs to the k-th message.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import time
import wave
import zlib
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from media_server.audio.resample import resample

FRAME = 480
RATE = 48_000
COUNT = 100  # prepared messages: half speech, half silence
_HEADER = struct.Struct("<Id")
_FLOOR = 0.015 * 32_768


def messages() -> list[bytes]:
    """Messages of 10 ms in turn: a voice, over the gate's threshold, and a quiet room, under it."""
    path = Path(__file__).resolve().parent.parent / "tests/data/jfk.wav"
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        pcm = resample(pcm, file.getframerate(), RATE)
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    level = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1))
    spoken = frames[level > 2 * _FLOOR][: COUNT // 2]
    room = np.random.default_rng(1).normal(0, 100, (COUNT // 2, FRAME)).astype(np.int16)
    out = []
    for index in range(COUNT):
        frame = spoken[index // 2] if index % 2 == 0 else room[index // 2]
        out.append(_HEADER.pack(index, index * 10.0) + frame.tobytes())
    return out


def masked(payload: bytes, first: int) -> bytes:
    """A client's frame (RFC 6455 section 5.2)."""
    size = len(payload)
    key = os.urandom(4)
    padded = np.frombuffer(payload.ljust(-(-size // 4) * 4, b"\0"), np.uint8).reshape(-1, 4)
    body = (padded ^ np.frombuffer(key, np.uint8)).tobytes()[:size]
    head = bytes((first, 128 | size)) if size < 126 else bytes((first, 128 | 126)) + size.to_bytes(2)
    return head + key + body


def deflated(payload: bytes) -> bytes:
    """A message of permessage-deflate (RFC 7692 section 7.2.1) that refers to none before it."""
    squeeze = zlib.compressobj(1, wbits=-15)
    return (squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


@dataclass(frozen=True)
class Prepared:
    plain: list[bytes]
    squeezed: list[bytes]

    @classmethod
    def make(cls) -> Prepared:
        made = messages()
        return cls(
            [masked(message, 0x82) for message in made],
            [masked(deflated(message), 0xC2) for message in made],
        )


class Talker(asyncio.Protocol):
    """One client. ``talk`` keeps ``window`` messages on their way; ``say`` sends one."""

    def __init__(self, prepared: Prepared, port: int, offer_deflate: bool, first: int) -> None:
        self._prepared, self._port, self._offer = prepared, port, offer_deflate
        self._frames = prepared.plain
        self._next = first
        self._buffer = b""
        self._skip = 0
        self._window = 0
        self._open = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers = 0
        self.sent_at: deque[float] = deque()
        self.delays: list[float] = []
        self.compressed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        self._transport.write(
            (
                f"GET /ws-audio HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                f"{offer if self._offer else ''}\r\n"
            ).encode()
        )

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the server refused a client"))

    def data_received(self, data: bytes) -> None:
        if not self._open:
            data = self._upgrade(data)
        count = self._count(data)
        if not count:
            return
        self.answers += count
        if self.sent_at:
            now, took = time.perf_counter(), self.sent_at.popleft
            for _ in range(min(count, len(self.sent_at))):
                self.delays.append(now - took())
        if self._window:
            self._send(count)

    def _upgrade(self, data: bytes) -> bytes:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return b""
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            self.ready.set_exception(ConnectionError(head.decode("latin-1")))
            return b""
        self.compressed = b"permessage-deflate" in head.lower()
        if self.compressed:
            self._frames = self._prepared.squeezed
        self._open, self._buffer = True, b""
        self.ready.set_result(None)
        return rest

    def _count(self, data: bytes) -> int:
        """How many frames end in ``data``, by their heads alone. Only answers are expected: pings are answered."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        at, size, count = self._skip, len(data), 0
        while at < size:
            left = size - at
            length = data[at + 1] & 127 if left >= 2 else 0
            head = 4 if length == 126 else 2
            if left < head:
                break
            if length == 126:
                length = data[at + 2] << 8 | data[at + 3]
            if data[at] & 15 == 9:
                if left < head + length:
                    break
                self._transport.write(masked(data[at + head : at + head + length], 0x8A))
            elif data[at] & 15 == 8:
                raise ConnectionError("the server said goodbye")
            else:
                count += 1
            at += head + length
        if at < size:
            self._buffer, self._skip = data[at:], 0
        else:
            self._skip = at - size
        return count

    def _send(self, count: int) -> None:
        frames, at = self._frames, self._next
        if count == 1:
            self._transport.write(frames[at % COUNT])
        else:
            self._transport.write(b"".join(frames[(at + n) % COUNT] for n in range(count)))
        self._next = at + count

    def say(self, now: float) -> None:
        self.sent_at.append(now)
        self._send(1)

    def talk(self, window: int) -> None:
        self._window = window
        self._send(window)

    def close(self) -> None:
        self._window = 0
        self._transport.abort()


def _same(talker: Talker) -> Talker:
    return talker


async def connect(prepared: Prepared, port: int, count: int, offer_deflate: bool = False) -> list[Talker]:
    loop = asyncio.get_running_loop()
    talkers = []
    for number in range(count):
        talker = Talker(prepared, port, offer_deflate, number * 7)
        await loop.create_connection(partial(_same, talker), "127.0.0.1", port)
        await talker.ready
        talkers.append(talker)
    return talkers


async def pace(talkers: list[Talker], seconds: float, period: float = 0.010, slots: int = 10) -> None:
    """Every client sends a message every ``period``; clients are spread over it."""
    start, tick = time.perf_counter(), 0
    while (now := time.perf_counter()) - start < seconds:
        due = start + tick * period / slots
        if now < due:
            await asyncio.sleep(due - now)
            continue
        for talker in talkers[tick % slots :: slots]:
            talker.say(time.perf_counter())
        tick += 1
