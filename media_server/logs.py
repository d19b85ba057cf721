"""Log lines for people or for collectors. What callers pass in ``extra`` becomes fields; none of it is speech."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the extra fields, and an exception's type and place."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """A line for people, the extra fields at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in _extra(record).items())
        text = super().format(record)
        if not extra:
            return text
        first, newline, rest = text.partition("\n")
        return f"{first}  {extra}{newline}{rest}"


GARBLED = (HttpProcessingError, RequestPayloadError)


class Impersonal(logging.Filter):
    """For aiohttp's log of requests that it cannot handle: what a peer has garbled is no error of ours, and where the
    peer is stays out of the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], GARBLED):
            return False
        if record.msg == "Error handling request from %s":
            record.msg, record.args = "a request failed in the HTTP layer", ()
        return True


def configure(level: str, fmt: str) -> None:
    """Sends everything to standard error in one format; libraries speak up from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("media_server", "signaling", "compat_ws"):
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    # aiortc and aioice log candidates and credentials of people at INFO and below; faults of theirs reach us as
    # closed connections
    for name in ("aiortc", "aioice", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("aiohttp.server").addFilter(Impersonal())
