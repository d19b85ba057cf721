"""MP3 clips, for clients that play files: LAME by way of PyAV."""

from __future__ import annotations

import io

import av
import numpy as np

from media_server.audio.frames import RATE, Pcm
from media_server.audio.resample import resample

MP3_RATE = 24_000  # Hz: voices have no more than 11 kHz
BIT_RATE = 48_000  # bit/s, mono
MIME = "audio/mpeg"


def encode(pcm: Pcm) -> bytes:
    """A whole clip, int16 mono at 48 kHz, as a complete MP3 file. Some 3 ms of CPU a second of sound, most of them
    without the interpreter's lock.
    """
    out = io.BytesIO()
    narrow = np.ascontiguousarray(resample(pcm, RATE, MP3_RATE))
    with av.open(out, "w", format="mp3") as container:
        stream = container.add_stream(
            "libmp3lame", rate=MP3_RATE, layout="mono", format="s16p", bit_rate=BIT_RATE
        )
        frame = av.AudioFrame.from_ndarray(narrow.reshape(1, -1), format="s16p", layout="mono")
        frame.sample_rate, frame.pts = MP3_RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()
