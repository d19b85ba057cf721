"""Clips of speech for clients that play files: made once for each (speaker, language), whoever listens.

Browser and JSON clients get a clip a sentence, the first as soon as it is whole; legacy clients one an utterance. All
listeners are given the same pieces (``Spoken``), so the first of them brings a piece in and the others only put
themselves down as its listeners. MP3 is made in a thread of its own. At most ``WAITING`` clips wait for it; beyond
that the oldest is dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from media_server.audio import mp3
from media_server.clock import Clock
from media_server.engines.base import VOICE_RATE, Pcm
from media_server.events import Spoken
from media_server.metrics import Metrics
from media_server.tasks import TaskOwner

WAITING = 64  # clips: minutes of speech


@dataclass(frozen=True, slots=True)
class Clip:
    """A complete MP3 file."""

    mp3: bytes
    seconds: float
    speaker: str
    end_ms: int
    """End of the utterance it interprets, on the speaker's time line."""


class Listener(Protocol):
    def on_clip(self, clip: Clip) -> None:
        """Never blocks."""
        ...


@dataclass(slots=True)
class _Open:
    """A clip that is being put together."""

    latest: Spoken
    speaker: str
    ended_at_s: list[float] = field(default_factory=list)
    pieces: list[Pcm] = field(default_factory=list)
    listeners: dict[Listener, None] = field(default_factory=dict)

    def add(self, spoken: Spoken) -> None:
        self.latest = spoken
        self.pieces.append(spoken.pcm)
        self.ended_at_s += spoken.ended_at_s


class Clips:
    """One for all clients. ``stop`` ends its task and its thread."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._open: dict[tuple[str, str, bool], _Open] = {}
        self._waiting: deque[_Open] = deque()
        self._news = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "mp3")
        self._tasks = TaskOwner("clips")

    def start(self) -> None:
        self._tasks.start(self._encode(), "encode")

    async def stop(self) -> None:
        await self._tasks.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def play(self, spoken: Spoken, speaker: str, listener: Listener, *, whole: bool) -> None:
        """A piece of speech for ``listener``; ``whole``: one clip for the utterance."""
        key = (speaker, spoken.language, whole)
        clip = self._open.get(key)
        if clip is not None and clip.latest is not spoken:
            ends = spoken.last or (spoken.sentence and not whole)
            if ends or spoken.utterance != clip.latest.utterance:
                self._finish(key)
                clip = None
        if spoken.last:
            return
        if clip is None:
            clip = self._open[key] = _Open(spoken, speaker)
            clip.add(spoken)
        elif clip.latest is not spoken:
            clip.add(spoken)
        clip.listeners[listener] = None

    def leave(self, listener: Listener) -> None:
        """The listener is gone."""
        for key, clip in list(self._open.items()):
            clip.listeners.pop(listener, None)
            if not clip.listeners:
                del self._open[key]

    def forget(self, speaker: str) -> None:
        """Drops what is being made of the words of ``speaker``, who has withdrawn consent."""
        for key in [key for key in self._open if key[0] == speaker]:
            del self._open[key]
        self._waiting = deque(clip for clip in self._waiting if clip.speaker != speaker)

    def _finish(self, key: tuple[str, str, bool]) -> None:
        self._waiting.append(self._open.pop(key))
        if len(self._waiting) > WAITING:
            self._waiting.popleft()
            self._metrics.drops.labels("clips").inc()
        self._news.set()

    async def _encode(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            clip = self._waiting.popleft()
            pcm = np.concatenate(clip.pieces)
            if not len(pcm):
                continue
            data = await loop.run_in_executor(self._thread, mp3.encode, pcm)
            made = Clip(data, len(pcm) / VOICE_RATE, clip.speaker, clip.latest.end_ms)
            for listener in clip.listeners:
                listener.on_clip(made)
                for ended_at_s in clip.ended_at_s:
                    self._metrics.e2e.observe(max(0.0, self._clock() - ended_at_s) * 1000)
