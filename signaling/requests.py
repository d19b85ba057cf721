"""Reading what a client sent: bodies with a bound in size and time, fields with their limits. BadRequest has words."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from media_server.config import Settings
from media_server.errors import BadRequest, PeerError, TooLarge
from signaling.auth import client_address

BODY_S = 10.0  # for a body of at most 64 KiB: 6 KiB/s, less than any network that could carry a call
NAME_LIMIT = 128  # characters of a room's name or a session's id
UNNAMED = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain"})
"""Types that HTTP clients put on a body when nobody told them what it is: it may well be JSON."""


class UnsupportedMediaType(PeerError):
    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"


class RequestTimeout(PeerError):
    status = 408
    code = "REQUEST_TIMEOUT"


async def read_body(request: web.Request, seconds: float = BODY_S) -> bytes:
    """The whole body, unpacked. Raises TooLarge (by the application's limit) and RequestTimeout.

    The limit holds for the unpacked bytes, so a compressed bomb costs no more than it.
    """
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        request.protocol.close()  # the rest of the body is not worth waiting for
        raise RequestTimeout(f"The body did not come within {seconds:.0f} s.") from None
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge("The request is too large.") from None
    except web.RequestPayloadError:
        raise BadRequest("The body cannot be read: its encoding is broken.", code="INVALID_BODY") from None


async def read_json(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; BadRequest with words for anything else."""
    kind = request.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind not in UNNAMED and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType("The body should be JSON (Content-Type: application/json).")
    body = await read_body(request)
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.", code="INVALID_JSON") from None
    if not isinstance(message, dict):
        raise BadRequest("The body is not a JSON object.", code="INVALID_JSON")
    return message


def text_of(message: dict[str, Any], key: str, limit: int = NAME_LIMIT) -> str | None:
    """A text of at most ``limit`` characters; None when it is missing, null or empty."""
    value = message.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > limit:
        raise BadRequest(f"{key} should be a text of at most {limit} characters.", code="INVALID_MESSAGE")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise BadRequest(f"{key} holds half a character.", code="INVALID_MESSAGE")
    return value


def address_of(request: web.Request, settings: Settings) -> str:
    """Where a request came from, behind trusted proxies, too. Never logged."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    return client_address(request.remote or "", forwarded, settings.trusted_proxies)


def first(*values: str | None) -> str | None:
    """The first that is there. Unlike ``or`` between calls it has looked at all of them, so a bad one is refused."""
    return next((value for value in values if value is not None), None)


def flag_of(message: dict[str, Any], key: str) -> bool | None:
    """True or false; None when it is missing or null."""
    value = message.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{key} should be true or false.", code="INVALID_MESSAGE")
    return value


def query_text(request: web.Request, key: str, limit: int = NAME_LIMIT) -> str | None:
    """A parameter of the URL of at most ``limit`` characters; None when it is missing or empty."""
    return text_of(dict(request.query), key, limit)


def query_flag(request: web.Request, key: str) -> bool:
    """A parameter of the URL that is 1, 0, true or false; missing or empty is false."""
    value = request.query.get(key, "").lower()
    if value not in {"", "0", "1", "false", "true"}:
        raise BadRequest(f"{key} should be 1 or 0.", code="INVALID_MESSAGE")
    return value in {"1", "true"}
