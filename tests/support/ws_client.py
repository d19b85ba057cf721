"""A client of the older WebSocket endpoint, made with `websockets`: any dialect; keeps all it is sent, in order."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import time
from collections.abc import Callable
from itertools import groupby
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from media_server.audio.resample import resample

type Pcm = NDArray[np.int16]

CONFIG = {"type": "config", "sampleRate": 16000, "frameSize": 320, "targetLang": "es", "roomId": "default"}
START = {"type": "start", "sample_rate": 16000, "channels": 1, "chunk_ms": 400, "audio_format": "PCM16_LE"}


class Reachable(Protocol):
    """A server on this machine."""

    @property
    def port(self) -> int: ...


class WsClient:
    """``async with WsClient(server) as client``: connected; ``received`` holds dicts and, for binary, bytes."""

    def __init__(self, server: Reachable, query: str = "", *, path: str = "/ws/audio") -> None:
        self._url = f"ws://127.0.0.1:{server.port}{path}{query}"
        self.socket: ClientConnection
        self.received: list[dict[str, Any] | bytes] = []
        self.times: list[float] = []
        self.seq = 0
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None]

    async def __aenter__(self) -> WsClient:
        self.socket = await connect(self._url, max_size=None, proxy=None)
        self._reader = asyncio.get_running_loop().create_task(self._read(), name="ws.read")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self._reader

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self.socket:
                self.times.append(time.monotonic())
                self.received.append(json.loads(message) if isinstance(message, str) else message)
                self._news.set()
        self._news.set()

    # -- what it sends ------------------------------------------------------------------------------------------

    async def send(self, message: dict[str, Any] | None = None, /, **keys: object) -> None:
        await self.socket.send(json.dumps((message or {}) | keys))

    async def speak(self, pcm: Pcm, rate: int = 16_000, *, ms: int = 20, pace: float = 1.0) -> None:
        """Sound (int16 at 16 kHz) in binary messages of ``ms`` at ``rate``, in ``pace`` times real time."""
        for piece in await self._paced(resample(pcm, 16_000, rate), rate, ms, pace):
            await self._on_time()
            await self.socket.send(piece.tobytes())

    async def speak_json(self, pcm: Pcm, rate: int = 16_000, *, ms: int = 400, pace: float = 1.0) -> None:
        """The same as ``audio_chunk`` messages, numbered from where the last ones ended."""
        for piece in await self._paced(resample(pcm, 16_000, rate), rate, ms, pace):
            await self._on_time()
            self.seq += 1
            await self.send(
                type="audio_chunk",
                seq=self.seq,
                ts_ms=int(time.time() * 1000),
                sample_rate=rate,
                channels=1,
                audio_format="PCM16_LE",
                chunk_ms=ms,
                audio_b64=base64.b64encode(piece.tobytes()).decode(),
            )

    async def _paced(self, pcm: Pcm, rate: int, ms: int, pace: float) -> list[Pcm]:
        step = rate * ms // 1000
        self._due, self._step_s = time.monotonic(), ms / 1000 / pace
        return [pcm[start : start + step] for start in range(0, len(pcm), step)]

    async def _on_time(self) -> None:
        await asyncio.sleep(max(0.0, self._due - time.monotonic()))
        self._due += self._step_s

    # -- what it was sent ---------------------------------------------------------------------------------------

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.received if isinstance(one, dict) and one["type"] == kind]

    @property
    def clips(self) -> list[bytes]:
        """MP3 files, in binary or in base64."""
        return [
            one if isinstance(one, bytes) else base64.b64decode(one["audio_b64"], validate=True)
            for one in self.received
            if isinstance(one, bytes) or one["type"] == "tts_audio"
        ]

    @property
    def order(self) -> list[str]:
        """The kinds of what came, one for each run of the same; ``mp3`` for binary."""
        kinds = ["mp3" if isinstance(one, bytes) else str(one["type"]) for one in self.received]
        return [kind for kind, _ in groupby(kinds)]

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the closing frame; None while the connection is open."""
        code = self.socket.close_code
        return None if code is None else (code, self.socket.close_reason or "")

    async def got(self, kind: str, count: int = 1) -> None:
        """Waits for that many messages of a kind, or ``mp3`` clips in either form."""
        await self.until(lambda: len(self.clips if kind == "mp3" else self.of(kind)) >= count)

    async def until(self, condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Waits for news until the condition holds; AssertionError with what came instead."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"waited {timeout_s} s; came {self.order}") from None


def decoded(mp3: bytes) -> tuple[Pcm, int]:
    """The samples of an MP3 clip, mono, and their rate."""
    with av.open(io.BytesIO(mp3), "r", format="mp3") as file:
        frames = list(file.decode(audio=0))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=frames[0].sample_rate)
    pieces = [out.to_ndarray().reshape(-1) for frame in frames for out in resampler.resample(frame)]
    return np.concatenate(pieces), frames[0].sample_rate
