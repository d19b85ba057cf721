"""Sound in a file of somebody else's: which formats are looked at, and no more of it than is asked for.

FFmpeg's demultiplexers for playlists open other addresses, local files among them; only formats that hold their sound
themselves are let at the bytes, and nothing else is opened on their behalf.
"""

from __future__ import annotations

import io
from typing import Any, NoReturn

import av
import numpy as np
from av.error import FFmpegError

from media_server.audio.frames import Pcm

FORMATS = "wav,w64,mp3,ogg,flac,aac,aiff,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
MOST_PACKETS = 500_000  # without sound in them; a file that goes on and on holds nothing


class NotSound(Exception):
    """What is wrong with the file, for people."""


class TooLong(NotSound):
    """It holds more sound than is wanted."""


def decode(data: bytes, rate: int, most_s: float) -> Pcm:
    """int16 mono at ``rate``, of the first line of sound. Raises ``NotSound``."""
    pieces: list[Pcm] = []
    most, total = int(most_s * rate), 0
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
    try:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        with av.open(io.BytesIO(data), "r", options=options, io_open=_refuse) as container:
            if not container.streams.audio:
                raise NotSound("the file holds no sound")
            for frame in container.decode(container.streams.audio[0]):
                for out in resampler.resample(frame):
                    pieces.append(out.to_ndarray().reshape(-1).astype(np.int16, copy=False))
                    total += len(pieces[-1])
                if total > most:
                    raise TooLong(f"the file holds more than {most_s:g} s of sound")
            for out in resampler.resample(None):
                pieces.append(out.to_ndarray().reshape(-1).astype(np.int16, copy=False))
    except (FFmpegError, ValueError, EOFError, OverflowError):
        if not pieces:
            raise NotSound("the file is damaged, or of no format that is known here") from None
        # What could be decoded before the damage is kept: recordings that were cut off end like that.
    if not total:
        raise NotSound("the file holds no sound")
    return np.concatenate(pieces)


def _refuse(*_: Any) -> NoReturn:
    raise ValueError("a sound file opens no other")
