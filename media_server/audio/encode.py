"""Speech to the formats of OpenAI's speech API, piece by piece: what is made can be sent before the rest is."""

from __future__ import annotations

import io
import itertools
import struct
from typing import cast

import av
import numpy as np
from av.filter import Graph

from media_server.audio.frames import Pcm
from media_server.audio.resample import Resampler

RATE = 24_000  # Hz, what OpenAI's voices have
MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_CONTAINERS = {
    # Without the header that is filled in at the end: what is streamed has no way back.
    "mp3": ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}, 64_000),
    "opus": ("ogg", "libopus", {"page_duration": "200000"}, 32_000),
    "aac": ("adts", "aac", {}, 64_000),
    "flac": ("flac", "flac", {}, 0),
}


class _Tempo:
    """The same speech faster or slower at its pitch (0.25 to 4 times), by FFmpeg's atempo."""

    def __init__(self, rate: int, speed: float) -> None:
        steps = [speed]
        while steps[-1] < 0.5:  # the least that the filter takes at once
            steps[-1:] = [0.5, steps[-1] / 0.5]
        self._rate = rate
        self._graph = Graph()
        nodes = [self._graph.add_abuffer(sample_rate=rate, format="s16", layout="mono")]
        nodes += [self._graph.add("atempo", f"{step:.4f}") for step in steps]
        nodes += [self._graph.add("aformat", "sample_fmts=s16"), self._graph.add("abuffersink")]
        for one, following in itertools.pairwise(nodes):
            one.link_to(following)
        self._graph.configure()

    def push(self, pcm: Pcm | None) -> Pcm:
        """None at the end."""
        if pcm is None:
            self._graph.push(None)
        else:
            self._graph.push(_frame(pcm, self._rate))
        pieces: list[Pcm] = []
        while True:
            try:
                pieces.append(cast(Pcm, self._graph.pull().to_ndarray().reshape(-1)))
            except (av.error.EOFError, av.error.BlockingIOError):
                return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


class _Sink(io.RawIOBase):
    """Where a multiplexer writes to; ``take`` empties it."""

    def __init__(self) -> None:
        self._data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(cast(bytes, data))
        self._data += piece
        return len(piece)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


class Encoder:
    """``push`` takes int16 mono at ``source_rate``; what it and ``end`` give, joined, is a file. ``speed``: 0.25 to 4.

    WAV comes at the end as a whole, because its header says how long it is; samples (``pcm``) are int16, little-endian.
    """

    def __init__(self, form: str, source_rate: int, speed: float = 1.0) -> None:
        self._form = form
        self._tempo = None if speed == 1.0 else _Tempo(source_rate, speed)
        self._samples = 0
        self._resampler = Resampler(source_rate, RATE)
        self._sink = _Sink()
        self._whole = bytearray()
        self._container: av.container.OutputContainer | None = None
        if form in _CONTAINERS:
            name, codec, options, bit_rate = _CONTAINERS[form]
            self._container = av.open(self._sink, "w", format=name, options=options)
            self._stream = cast(av.AudioStream, self._container.add_stream(codec, rate=RATE, layout="mono"))
            if bit_rate:
                self._stream.bit_rate = bit_rate

    def push(self, pcm: Pcm) -> bytes:
        return self._encode(pcm if self._tempo is None else self._tempo.push(pcm))

    def _encode(self, pcm: Pcm) -> bytes:
        sound = self._resampler.process(pcm)
        if not len(sound):
            return b""
        if self._container is None:
            samples = sound.astype("<i2").tobytes()
            if self._form == "pcm":
                return samples
            self._whole += samples
            return b""
        frame = _frame(sound, RATE)
        frame.pts = self._samples
        self._samples += len(sound)
        self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def end(self) -> bytes:
        rest = self._encode(self._tempo.push(None)) if self._tempo is not None else b""
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self.close()
            return rest + self._sink.take()
        return rest if self._form == "pcm" else _wav_header(len(self._whole)) + bytes(self._whole)

    def close(self) -> None:
        """Gives back what is native. Idempotent."""
        if self._container is not None:
            self._container.close()
            self._container = None


def _frame(pcm: Pcm, rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), "s16", "mono")
    frame.sample_rate = rate
    return frame


def _wav_header(size: int) -> bytes:
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16, b"data", size
    )  # fmt: skip
