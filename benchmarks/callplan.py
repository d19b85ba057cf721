"""What a caller sends and what it saw, as plain data that travels between processes in JSON.

A call is a list of clips. Each is a run of Opus packets of 20 ms made beforehand, so that the caller costs next to
nothing while it is timed. Between clips it sends silence until the server has answered.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material import Clip
from media_server.audio.opus import new_encoder
from media_server.audio.resample import resample
from media_server.engines.base import RECOGNIZER_RATE

OPUS_RATE = 48_000
OPUS_FRAME = 960  # samples, 20 ms
PACKET_S = 0.020
BITRATE = 32_000  # what browsers send for a voice


@dataclass(frozen=True, slots=True)
class CallPlan:
    """``keys`` go into the offer. After a clip the caller waits for a final and for ``quiet_s`` without sound."""

    keys: dict[str, str]
    clips: list[list[str]]
    """Packets in base64."""
    silence: list[str]
    pause_s: float = 1.5
    """Least time between clips."""
    quiet_s: float = 0.4
    patience_s: float = 12.0
    """Longest time between clips."""


@dataclass(slots=True)
class CallLog:
    """Times are of one monotonic clock, in seconds."""

    sent: list[list[float]] = field(default_factory=list)
    """When each packet of each clip was sent."""
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    packets: list[tuple[float, int, str]] = field(default_factory=list)
    """Sound that came back: arrival, RTP time stamp, payload in base64."""
    cpu_s: float = 0.0
    """CPU time of the caller itself."""


def encode_clip(clip: Clip) -> list[str]:
    """The clip as Opus packets, the last one filled up with silence."""
    encoder = new_encoder(bitrate=BITRATE)
    pcm = resample(clip.pcm, RECOGNIZER_RATE, OPUS_RATE)
    pcm = np.pad(pcm, (0, -pcm.size % OPUS_FRAME))
    return [b64encode(encoder.encode(frame)).decode() for frame in pcm.reshape(-1, OPUS_FRAME)]


def plan_call(clips: Sequence[Clip], keys: dict[str, str], *, pause_s: float = 1.5) -> CallPlan:
    encoder = new_encoder(bitrate=BITRATE)
    silence = [b64encode(encoder.encode(np.zeros(OPUS_FRAME, np.int16))).decode() for _ in range(60)][-10:]
    return CallPlan(keys, [encode_clip(clip) for clip in clips], silence, pause_s)


def payload_of(text: str) -> bytes:
    return b64decode(text)


def write(path: Path, value: CallPlan | CallLog) -> None:
    path.write_text(json.dumps(asdict(value)), "utf-8")


def read_plan(path: Path) -> CallPlan:
    return CallPlan(**json.loads(path.read_text("utf-8")))


def read_log(path: Path) -> CallLog:
    return CallLog(**json.loads(path.read_text("utf-8")))
