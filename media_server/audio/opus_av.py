"""Opus by PyAV, for machines without a libopus that ctypes can load. Gaps become silence."""

from __future__ import annotations

from typing import Any

import numpy as np

from media_server.audio.frames import FRAME_SAMPLES, RATE, Pcm
from media_server.audio.opus import BITRATE, OpusError


class AvDecoder:
    conceals = False

    def __init__(self) -> None:
        self._context: Any = None
        self.reset()

    def reset(self) -> None:
        import av

        # An empty or broken payload can leave FFmpeg's decoder at its end: a new one is the only way back.
        self._context = av.CodecContext.create("opus", "r")
        self._context.sample_rate = RATE
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)

    def decode(self, payload: bytes) -> Pcm:
        import av

        if not payload:
            raise OpusError("empty payload")
        try:
            frames = self._context.decode(av.Packet(payload))
            pieces = [
                out.to_ndarray().reshape(-1) for frame in frames for out in self._resampler.resample(frame)
            ]
        except (av.FFmpegError, ValueError) as error:
            self.reset()
            raise OpusError("not decodable") from error
        return np.concatenate(pieces).astype(np.int16) if pieces else np.empty(0, np.int16)

    def conceal(self, samples: int) -> Pcm:
        return np.zeros(samples, np.int16)

    def decode_fec(self, payload: bytes, samples: int) -> Pcm:
        return np.zeros(samples, np.int16)


class AvEncoder:
    def __init__(self, bitrate: int = BITRATE, complexity: int = 5) -> None:
        self._bitrate, self._complexity, self._loss = bitrate, complexity, 0
        self._context: Any = None
        self.reset()

    def reset(self) -> None:
        import av

        self._context = av.CodecContext.create("libopus", "w")
        self._context.bit_rate = self._bitrate
        self._context.format = "s16"
        self._context.layout = "mono"
        self._context.sample_rate = RATE
        self._context.options = {
            "application": "audio",
            "compression_level": str(self._complexity),
            "fec": "1" if self._loss else "0",
            "packet_loss": str(self._loss),
        }

    def encode(self, pcm: Pcm) -> bytes:
        import av

        if len(pcm) != FRAME_SAMPLES:
            raise OpusError("a frame has 960 samples")
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        packets = self._context.encode(frame)
        if not packets:
            raise OpusError("nothing encoded")
        return bytes(packets[0])

    def set_packet_loss(self, percent: int) -> None:
        self._loss = max(0, min(100, percent))  # taken over by the next reset: options are fixed once open
