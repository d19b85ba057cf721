"""The stages with aiortc's face: tracks that are pushed to, or that pull from another track.

Pushed (``push``), a track hands what it made on by a call, ``on_frame``; that is how calls run here. As a
``MediaStreamTrack`` it also serves whoever pulls: an aiortc sender, a recorder, a relay. With a ``source``
it pulls from that when it is pulled from, so the chain reads as an aiortc user expects::

    speech = RecognizeTrack(DenoiseTrack(remote_track, denoiser), feed)
    pc.addTrack(speech)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler

from media_server.audio.frames import RATE, Framer, Pcm
from media_server.pipeline.denoise import Denoiser
from media_server.rtc.outbound import SpeechTrack

__all__ = ["DenoiseTrack", "RecognizeTrack", "SpeechTrack", "StageTrack", "frame_of", "samples_of"]

MAX_PULLED = 25  # frames that wait for a puller (0.5 s); the oldest is dropped beyond
_TIME_BASE = Fraction(1, RATE)


def frame_of(pcm: Pcm, pts: int) -> AudioFrame:
    """int16 mono at 48 kHz as a frame of PyAV."""
    frame = AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = RATE
    frame.pts = pts
    frame.time_base = _TIME_BASE
    return frame


def samples_of(frame: AudioFrame, resampler: AudioResampler) -> Pcm:
    """A frame of any rate and layout as int16 mono at 48 kHz."""
    pieces = [out.to_ndarray().reshape(-1) for out in resampler.resample(frame)]
    return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


class StageTrack(MediaStreamTrack):
    """Frames of 20 ms through ``process``. ``on_frame`` gets each result."""

    kind = "audio"

    def __init__(
        self,
        source: MediaStreamTrack | None,
        process: Callable[[Pcm], Pcm],
        on_frame: Callable[[Pcm], None] | None = None,
    ) -> None:
        super().__init__()
        self._source = source
        self._process = process
        self.on_frame = on_frame
        self.dropped = 0
        self._resampler: Any = None
        self._framer = Framer()
        self._ready: deque[Pcm] = deque()
        self._pulling: asyncio.Event | None = None
        self._pts = 0

    def push(self, pcm: Pcm) -> Pcm:
        """A frame from the stage before; returns what this stage made of it."""
        out = self._process(pcm)
        if self.on_frame is not None:
            self.on_frame(out)
        if self._pulling is not None:  # somebody pulls
            self._ready.append(out)
            if len(self._ready) > MAX_PULLED:
                self._ready.popleft()
                self.dropped += 1
            self._pulling.set()
        return out

    async def recv(self) -> AudioFrame:
        """The next frame. Raises MediaStreamError when this track or its source has ended."""
        if self._pulling is None:
            self._pulling = asyncio.Event()
        while not self._ready:
            if self.readyState != "live":
                raise MediaStreamError
            if self._source is not None:
                await self._pull(self._source)
            else:
                self._pulling.clear()
                await self._pulling.wait()
        pcm = self._ready.popleft()
        frame = frame_of(pcm, self._pts)
        self._pts += len(pcm)
        return frame

    async def _pull(self, source: MediaStreamTrack) -> None:
        try:
            frame = await source.recv()
        except MediaStreamError:
            self.stop()
            raise
        if self._resampler is None:
            self._resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
        assert isinstance(frame, AudioFrame)
        for piece in self._framer.push(samples_of(frame, self._resampler)):
            self.push(piece)

    def stop(self) -> None:
        super().stop()
        self._ready.clear()
        if self._pulling is not None:
            self._pulling.set()


class DenoiseTrack(StageTrack):
    """Cleans what comes through. Owns its denoiser and frees it at its end."""

    def __init__(
        self,
        source: MediaStreamTrack | None,
        denoiser: Denoiser,
        on_frame: Callable[[Pcm], None] | None = None,
    ) -> None:
        super().__init__(source, denoiser.process, on_frame)
        self._denoiser = denoiser

    def stop(self) -> None:
        super().stop()
        self._denoiser.close()


class RecognizeTrack(StageTrack):
    """Shows every frame to ``feed``, the entrance of an interpreter, and passes it on unchanged."""

    def __init__(
        self,
        source: MediaStreamTrack | None,
        feed: Callable[[Pcm], None],
        on_frame: Callable[[Pcm], None] | None = None,
    ) -> None:
        def process(pcm: Pcm) -> Pcm:
            feed(pcm)
            return pcm

        super().__init__(source, process, on_frame)
