"""The codec of captions and control: events to the JSON of the wire and back. Sans-IO."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from media_server import glossary
from media_server.errors import BadRequest
from media_server.events import Caption, Goodbye, Lag, Lost, RoomEvent, Speaking, Status
from media_server.glossary import Glossary
from media_server.languages import language_code

MAX_CONTROL_BYTES = 16 * 1024  # a control message is far smaller; a data-channel message never larger


def encode(event: RoomEvent) -> str:
    """JSON text of one event for a data channel."""
    return json.dumps(_fields(event), ensure_ascii=False, separators=(",", ":"))


def _fields(event: RoomEvent) -> dict[str, Any]:
    match event:
        case Caption():
            shared: dict[str, Any] = {
                "type": "final" if event.final else "partial",
                "text": event.text,
                "lang": event.lang,
                "translation": event.translation,
                "target_lang": event.target_lang,
                "id": event.id,
                "speaker": event.speaker,
                "start_ms": event.start_ms,
                "end_ms": event.end_ms,
                "revision": event.revision,
            }
            if event.final:
                shared["confidence"] = event.confidence
            else:
                shared["committed"] = event.committed
                shared["translation_committed"] = event.translation_committed
            if event.note:
                shared["note"] = event.note
            return shared
        case Speaking():
            return {"type": "speaking", "speaker": event.speaker, "on": event.on, "at_ms": event.at_ms}
        case Lag():
            return {"type": "stats", "id": event.utterance, "lag_ms": event.lag_ms}
        case Lost():
            return {
                "type": "lost",
                "id": event.utterance,
                "speaker": event.speaker,
                "message": event.message,
                "start_ms": event.start_ms,
                "end_ms": event.end_ms,
            }
        case Status():
            return {
                "type": "status",
                "stage": event.stage,
                "engine": event.engine,
                "level": event.level,
                "message": event.message,
            }
        case Goodbye():
            return {"type": "goodbye", "message": event.message, "retry_after_s": event.retry_after_s}


def error(code: str, message: str) -> str:
    """An error message for a client."""
    return json.dumps({"type": "error", "code": code, "message": message}, ensure_ascii=False)


ACK = '{"type":"ack"}'


@dataclass(frozen=True, slots=True)
class Configure:
    """Languages and names to use from the next utterance on; None leaves one as it is."""

    source: str | None
    target: str | None
    glossary: Glossary | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """Names and terms to use from the next utterance on, in place of those before."""

    glossary: Glossary


@dataclass(frozen=True, slots=True)
class Mute:
    muted: bool


@dataclass(frozen=True, slots=True)
class Loopback:
    on: bool


@dataclass(frozen=True, slots=True)
class Consent:
    granted: bool


type Control = Configure | Terms | Mute | Loopback | Consent


def decode(text: str) -> Control:
    """One control message of a client; raises BadRequest with a code and words."""
    if len(text) > MAX_CONTROL_BYTES:
        raise BadRequest("The message is too long.", code="TOO_LARGE")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest("The message is not JSON.", code="INVALID_JSON") from None
    if not isinstance(message, dict):
        raise BadRequest("The message is not a JSON object.", code="INVALID_JSON")
    match message.get("type"):
        case "config":
            terms = message.get("glossary")
            return Configure(
                _language(message, "sourceLang"),
                _language(message, "targetLang"),
                None if terms is None else glossary.parse(terms),
            )
        case "glossary":
            return Terms(glossary.parse(message.get("terms")))
        case "mute":
            return Mute(_flag(message, "muted"))
        case "loopback":
            return Loopback(_flag(message, "on"))
        case "consent":
            return Consent(_flag(message, "granted"))
        case _:
            raise BadRequest("The message has no type that is known here.", code="UNKNOWN_TYPE")


def _flag(message: dict[str, Any], key: str) -> bool:
    value = message.get(key)
    if not isinstance(value, bool):
        raise BadRequest(f"{key} should be true or false.", code="INVALID_MESSAGE")
    return value


def _language(message: dict[str, Any], key: str) -> str | None:
    return language_code(message.get(key), key)
