"""Language codes as clients write them."""

from __future__ import annotations

from media_server.errors import BadRequest


def language_code(value: object, key: str) -> str | None:
    """An ISO 639-1 code in lower case, or ``auto``; region parts ("en-US") are left out. None stays None."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 35:
        raise BadRequest(f"{key} should be a language code.", code="INVALID_LANGUAGE")
    code = value.replace("_", "-").split("-")[0].lower()
    if code != "auto" and not (2 <= len(code) <= 3 and code.isascii() and code.isalpha()):
        raise BadRequest(f"{key} should be a language code.", code="INVALID_LANGUAGE")
    return code
