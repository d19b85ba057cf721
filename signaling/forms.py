"""Forms with a file (multipart/form-data, RFC 7578), read piece by piece within bounds of size, number and time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from media_server.errors import BadRequest, TooLarge
from signaling.requests import RequestTimeout, UnsupportedMediaType

MAX_FIELDS = 32
MAX_FIELD_BYTES = 16 * 1024


@dataclass(slots=True)
class Form:
    file: bytes = b""
    fields: dict[str, list[str]] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """The field's value; BadRequest when it is there more than once."""
        values = self.fields.get(name, [])
        if len(values) > 1:
            raise BadRequest(f"{name} is there {len(values)} times.", code="INVALID_FORM")
        return values[0].strip() if values else default


async def read_form(request: web.Request, most: int, seconds: float) -> Form:
    """The form, its field ``file`` with at most ``most`` bytes. Raises a PeerError with words."""
    if request.content_type != "multipart/form-data":
        raise UnsupportedMediaType(
            "The body should be a form with a file (Content-Type: multipart/form-data)."
        )
    if (request.content_length or 0) > most + MAX_FIELDS * MAX_FIELD_BYTES:
        raise TooLarge(_too_large(most))
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, most)
    except TimeoutError:
        request.protocol.close()  # the rest of the body is not worth waiting for
        raise RequestTimeout(f"The form did not come within {seconds:.0f} s.") from None
    except (
        ValueError,
        AssertionError,
        LookupError,
        TypeError,
        RuntimeError,
        HttpProcessingError,
        web.RequestPayloadError,
    ):
        # What aiohttp's reader raises for a body that is no form.
        raise BadRequest("The form cannot be read.", code="INVALID_FORM") from None


async def _read(request: web.Request, most: int) -> Form:
    form = Form()
    found = False
    reader = await request.multipart()
    count = 0
    while (part := await reader.next()) is not None:
        count += 1
        if not isinstance(part, BodyPartReader) or not part.name or count > MAX_FIELDS:
            raise BadRequest("The form cannot be read.", code="INVALID_FORM")
        if part.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "binary").lower() not in {
            "binary",
            "8bit",
            "7bit",
        }:
            raise BadRequest("A part of the form is encoded, which forms are not.", code="INVALID_FORM")
        is_file = part.name == "file"
        if is_file and found:
            raise BadRequest("There is more than one file.", code="INVALID_FORM")
        data = await _content(part, most if is_file else MAX_FIELD_BYTES, is_file)
        if is_file:
            form.file, found = data, True
        else:
            form.fields.setdefault(part.name, []).append(data.decode("utf-8"))
    if not found:
        raise BadRequest("The form has no file.", code="FILE_MISSING")
    return form


async def _content(part: BodyPartReader, most: int, is_file: bool) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(1 << 16):
        data += chunk
        if len(data) > most:
            raise TooLarge(_too_large(most) if is_file else "A field of the form is too large.")
    return bytes(data)


def _too_large(most: int) -> str:
    return f"The file is larger than {most >> 20} MB: send it in parts, or as MP3 or Opus."
