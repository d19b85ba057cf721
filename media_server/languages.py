"""Language codes as clients write them."""

from __future__ import annotations

import re

from media_server.errors import BadRequest

_TAG = re.compile(r"([A-Za-z]{2,3}|[Aa][Uu][Tt][Oo])(?:[-_][A-Za-z0-9_-]*)?")


def language_code(value: object, key: str) -> str | None:
    """An ISO 639-1 code in lower case, or ``auto``; region parts ("en-US") are left out. None stays None."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 35 or (found := _TAG.fullmatch(value)) is None:
        raise BadRequest(f"{key} should be a language code.", code="INVALID_LANGUAGE")
    return found[1].lower()


def target_code(value: object, key: str) -> str | None:
    """The same for a language that is to be heard: ``auto`` says nothing there."""
    code = language_code(value, key)
    if code == "auto":
        raise BadRequest(f"{key} should be a language.", code="INVALID_LANGUAGE")
    return code
