"""The messages of ``/ws/audio``: text and bytes in, values out, and back. Sans-IO; raises BadRequest with a code.

Rules: a message is read whole or refused whole. Keys are taken in either spelling (``sampleRate``, ``sample_rate``) and
unknown ones are ignored. Numbers are finite; true and false are no numbers.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from media_server.engines.base import Pcm
from media_server.errors import BadRequest
from media_server.events import Caption
from media_server.languages import language_code, target_code

DEFAULT_RATE = 16_000
MIN_RATE, MAX_RATE = 8_000, 48_000
MAX_PCM_BYTES = 5 * MAX_RATE * 2  # 5 s at the highest rate: clients send 10 to 400 ms at a time
MAX_TEXT = MAX_PCM_BYTES * 4 // 3 + 4096  # the same in base64, and its keys
MAX_MESSAGE = 2 * MAX_TEXT  # what is longer ends the connection (close code 1009)
MAX_ROOM = 128
TELLING = 64  # samples that tell noise from sound; a shorter message is taken for a piece of a stream

ACK = '{"type":"ack"}'


@dataclass(frozen=True, slots=True)
class Configure:
    """``config`` or ``start``. What is None stays as it is."""

    starts: bool
    rate: int | None
    source: str | None
    target: str | None
    room: str | None
    consent: bool | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """``audio_chunk``; ``rate`` None: the one of the last ``config`` or ``start``."""

    pcm: Pcm
    seq: int | None
    rate: int | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    ts_ms: int | float | None


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    pass


@dataclass(frozen=True, slots=True)
class Consent:
    granted: bool


type Message = Configure | Chunk | Heartbeat | HistoryRequest | Consent


# -- client to server -------------------------------------------------------------------------------------------


def load(text: str) -> dict[str, Any]:
    """The JSON object of a text message."""
    if len(text) > MAX_TEXT:
        raise BadRequest(f"A text message may have {MAX_TEXT} characters.", code="TOO_LARGE")
    try:
        message = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise BadRequest("The message is not JSON.", code="INVALID_JSON") from None
    if not isinstance(message, dict):
        raise BadRequest("The message is not a JSON object.", code="INVALID_JSON")
    return message


def kind(message: dict[str, Any]) -> str:
    """The ``type`` of a message; empty where it is none that is known here."""
    named = message.get("type")
    return named if isinstance(named, str) and named in _KINDS else ""


def parse(message: dict[str, Any]) -> Message:
    """What a message says."""
    match kind(message):
        case "config" | "start" as named:
            return _configure(message, named == "start")
        case "audio_chunk":
            return _chunk(message)
        case "heartbeat":
            return Heartbeat(_number(message, "ts_ms"))
        case "history_request":
            return HistoryRequest()
        case "consent":
            granted = message.get("granted")
            if not isinstance(granted, bool):
                raise BadRequest("granted should be true or false.", code="INVALID_MESSAGE")
            return Consent(granted)
    raise BadRequest(f"type should be one of {', '.join(sorted(_KINDS))}.", code="UNKNOWN_TYPE")


_KINDS = frozenset({"config", "start", "audio_chunk", "heartbeat", "history_request", "consent"})


def _configure(message: dict[str, Any], starts: bool) -> Configure:
    _format(message)
    target = target_code(_either(message, "targetLang", "target_lang"), "targetLang")
    room = _either(message, "roomId", "room_id")
    if room is not None and (not isinstance(room, str) or len(room) > MAX_ROOM):
        raise BadRequest(f"roomId should be a text of at most {MAX_ROOM} characters.", code="INVALID_MESSAGE")
    consent = message.get("consent")
    if consent is not None and not isinstance(consent, bool):
        raise BadRequest("consent should be true or false.", code="INVALID_MESSAGE")
    source = language_code(_either(message, "sourceLang", "source_lang"), "sourceLang")
    return Configure(starts, _rate(message), source, target, room or None, consent)


def _chunk(message: dict[str, Any]) -> Chunk:
    _format(message)
    rate = _rate(message)
    seq = _number(message, "seq")
    if seq is not None and (seq != int(seq) or seq < 0):
        raise BadRequest("seq should be a whole number, 0 or more.", code="INVALID_MESSAGE")
    encoded = message.get("audio_b64")
    if not isinstance(encoded, str):
        raise BadRequest("audio_b64 should be audio in base64.", code="INVALID_BASE64")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("audio_b64 is not base64.", code="INVALID_BASE64") from None
    if len(data) > MAX_PCM_BYTES:
        raise BadRequest(f"A chunk may have {MAX_PCM_BYTES} bytes of audio.", code="TOO_LARGE")
    if len(data) % 2:
        raise BadRequest("The chunk ends within a sample: PCM16 has two bytes a sample.", code="ODD_BYTES")
    return Chunk(np.frombuffer(data, "<i2").astype(np.int16), None if seq is None else int(seq), rate)


def _format(message: dict[str, Any]) -> None:
    """Mono PCM16 is the only format; a client that names another one is told so."""
    channels = _number(message, "channels")
    if channels not in (None, 1):
        raise BadRequest("Audio should have one channel.", code="UNSUPPORTED_FORMAT")
    name = message.get("audio_format")
    if name is not None and name != "PCM16_LE":
        raise BadRequest("audio_format should be PCM16_LE.", code="UNSUPPORTED_FORMAT")


def _rate(message: dict[str, Any]) -> int | None:
    rates = [message[key] for key in ("sampleRate", "sample_rate") if message.get(key) is not None]
    if not rates:
        return None
    rate = rates[0]
    if not _is_number(rate):
        raise BadRequest("sampleRate should be a number.", code="INVALID_RATE")
    if rate != int(rate) or not MIN_RATE <= rate <= MAX_RATE:
        raise BadRequest(
            f"sampleRate should be a whole number from {MIN_RATE} to {MAX_RATE}.", code="INVALID_RATE"
        )
    return int(rate)


def _number(message: dict[str, Any], key: str) -> int | float | None:
    value = message.get(key)
    if value is None:
        return None
    if not _is_number(value):
        raise BadRequest(f"{key} should be a number.", code="INVALID_MESSAGE")
    number: int | float = value
    return number


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) < 2**64  # Python's have no end
    return isinstance(value, float) and math.isfinite(value)


def _either(message: dict[str, Any], *keys: str) -> Any:
    return next((message[key] for key in keys if message.get(key) is not None), None)


def _no_number(name: str) -> NoReturn:
    """Python's JSON takes NaN and Infinity, which JSON does not have."""
    raise ValueError(name)


class PcmStream:
    """Binary messages to samples. Keeps samples whole however the client cuts its stream.

    A message may end within a sample: its last byte waits for the next message. Whether that goes on with the sample,
    or begins with a new one because the rest was lost, is heard: samples put together from the wrong bytes are noise,
    many times as rough as any sound of a microphone.
    """

    def __init__(self) -> None:
        self._rest = b""

    def push(self, data: bytes) -> tuple[Pcm, bool]:
        """The samples that ``data`` completes, and whether a byte that belongs to none was dropped."""
        if len(data) > MAX_PCM_BYTES:
            raise BadRequest(f"A message may have {MAX_PCM_BYTES} bytes of audio.", code="TOO_LARGE")
        rest, self._rest = self._rest, b""
        if not rest:
            return self._cut(data), False
        joined, alone = _samples(rest + data), _samples(data)
        if len(alone) < TELLING or _roughness(joined) <= _roughness(alone):
            return self._cut(rest + data), False
        return self._cut(data), True

    def _cut(self, data: bytes) -> Pcm:
        if len(data) % 2:
            self._rest = data[-1:]
        return _samples(data)


def _samples(data: bytes) -> Pcm:
    return np.frombuffer(data, "<i2", len(data) // 2).astype(np.int16)


def _roughness(pcm: Pcm) -> float:
    """Mean difference between neighbours."""
    return float(np.abs(np.diff(pcm.astype(np.int32))).mean()) if len(pcm) > 1 else 0.0


# -- server to client -------------------------------------------------------------------------------------------


def _dump(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def partial(caption: Caption) -> str:
    return _dump({"type": "partial"} | _words(caption))


def final(caption: Caption) -> str:
    more = {"speaker": caption.speaker, "confidence": caption.confidence}
    return _dump({"type": "final"} | _words(caption) | more)


def _words(caption: Caption) -> dict[str, Any]:
    return {
        "text": caption.text,
        "lang": caption.lang,
        "translation": caption.translation,
        "target_lang": caption.target_lang,
    }


def history(items: list[tuple[float, Caption]]) -> str:
    """The answer to ``history_request``; each item with its time, seconds since the Unix epoch."""
    listed = [{"ts": round(at_s, 3), "type": "final"} | _words(caption) for at_s, caption in items]
    return _dump({"type": "history", "items": listed})


def pong(ts_ms: int | float | None) -> str:
    return _dump({"type": "pong", "ts_ms": ts_ms})


def warning(code: str, message: str) -> str:
    return _dump({"type": "warning", "code": code, "message": message})


def error(code: str, message: str) -> str:
    return _dump({"type": "error", "code": code, "message": message})


def tts_audio(mp3: bytes, seq: int) -> str:
    """Speech for the JSON dialect; ``seq`` is that of the last chunk of the utterance."""
    encoded = base64.b64encode(mp3).decode()
    return _dump({"type": "tts_audio", "mime": "audio/mpeg", "seq": seq, "audio_b64": encoded})
