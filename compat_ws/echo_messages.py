"""What travels on ``/ws-audio``, without a socket: text in, text out; binary in, sound and binary out.

A binary message is a header of 12 bytes, ``<Id`` (uint32 sequence, float64 milliseconds), and interleaved PCM16,
little-endian. The answer carries the very bytes of the header, whatever they hold, and the sound in mono, cut to
whole frames. What does not parse gets an ``error`` and changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from media_server.audio.frames import Pcm
from media_server.pipeline.denoise import NoiseGate

HEADER = 12
"""Bytes: ``<Id``, packed."""
MIN_RATE, MAX_RATE = 8_000, 192_000  # Hz
MAX_CHANNELS = 8
LARGEST = HEADER + 768_000
"""Bytes of the largest legal message: a second of eight channels at 48 kHz, or of two at 192 kHz."""

ACK = '{"type":"ack"}'
INVALID_JSON = '{"type":"error","message":"invalid_json"}'
UNKNOWN_TEXT = '{"type":"error","message":"unknown_text_message"}'


class BadFormat(ValueError):
    """A ``config`` that cannot be used; the text says what and why."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a client sends its sound: PCM16 little-endian, ``channels`` interleaved."""

    rate: int
    """Hz"""
    channels: int
    frame: int
    """Samples of one channel; what is answered is a multiple of it."""


def format_of(message: dict[str, Any], default: Format) -> Format:
    """The format that a ``config`` asks for; what it does not name is the default. Raises BadFormat."""
    name = message.get("format", "s16le")
    if name != "s16le":
        raise BadFormat("format should be s16le: PCM of 16 bits, little-endian")
    rate = _whole(message, "sampleRate", default.rate, MIN_RATE, MAX_RATE)
    return Format(
        rate=rate,
        channels=_whole(message, "channelCount", default.channels, 1, MAX_CHANNELS),
        frame=_whole(message, "frameSize", default.frame, 1, rate),
    )


def _whole(message: dict[str, Any], key: str, default: int, least: int, most: int) -> int:
    value = message.get(key, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadFormat(f"{key} should be a whole number from {least} to {most}")
    return value


def answer_text(text: str, default: Format) -> tuple[str, Format | None]:
    """The answer to a text message, and the format that holds from now on (None: as before)."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return INVALID_JSON, None
    if not isinstance(message, dict) or message.get("type") != "config":
        return UNKNOWN_TEXT, None
    try:
        return ACK, format_of(message, default)
    except BadFormat as error:
        body = {"type": "error", "message": "invalid_config", "detail": str(error)}
        return json.dumps(body, separators=(",", ":")), None


def sound_of(data: bytes, sound: Format) -> Pcm:
    """The sound of a message in mono, cut to whole frames: a view of ``data`` where it is mono already.

    Bytes and samples that make no whole frame of all channels are left away.
    """
    channels = sound.channels
    samples = np.frombuffer(data, np.int16, (len(data) - HEADER) // 2, HEADER)
    whole = len(samples) // channels // sound.frame * sound.frame
    if channels == 1:
        return samples[:whole]
    mixed = samples[: whole * channels].reshape(whole, channels).astype(np.int32).sum(axis=1)
    mono: Pcm = (mixed / channels).astype(np.int16)  # towards zero, as the older servers rounded
    return mono


def gated(data: bytes, sound: Format, gate: NoiseGate) -> bytes:
    """The answer to a binary message of 12 bytes or more, by the gate: ``data`` itself where nothing changes."""
    if sound.channels == 1 and len(data) == HEADER + 2 * sound.frame:  # one frame: nearly every message
        frame = np.frombuffer(data, np.int16, sound.frame, HEADER)
        out = gate.process_frame(frame)
        return data if out is frame else data[:HEADER] + out.tobytes()
    pcm = sound_of(data, sound)
    out = gate.process_frames(pcm, sound.frame)
    if out is pcm and sound.channels == 1:
        end = HEADER + 2 * len(pcm)
        return data if end == len(data) else data[:end]
    return data[:HEADER] + out.tobytes()
