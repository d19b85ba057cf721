"""Messages as bytes: no socket, no pickle.

A frame is 12 bytes ``<4sII`` (magic, header length, body length), a header in JSON and a body of raw arrays.
The header is ``{"type": NAME, "value": {field: value}}``; an array of int16 stands in it as its number of
samples and its little-endian bytes come next in the body, in the order of the fields. Where a field may hold
one of several dataclasses, its value is ``{"type": NAME, "value": ...}``, too. Nothing depends on the
machine: the same bytes may cross a network.

Whoever reads hands bytes to ``Decoder.feed`` and gets whole messages; after a ``WireError`` the stream is
lost and has to be closed. Values are checked against the types of the dataclasses on both sides.
"""

from __future__ import annotations

import functools
import json
import math
import struct
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from media_server.engines.base import Pcm
from media_server.engines.messages import Message

MAX_HEADER_BYTES = 1 << 20  # texts: 10,000 characters escaped are 60 KB
MAX_BODY_BYTES = 32 << 20  # sound: 16 windows of 30 s at 16 kHz are 15.4 MB

_MAGIC = b"MVL1"
_FRAME = struct.Struct("<4sII")
_INT16 = np.dtype("<i2")

type _Pack = Callable[[Any, list[bytes]], Any]
type _Unpack = Callable[[Any, _Body], Any]


class WireError(Exception):
    """Bytes that are no message, or a value that does not fit its type. The text never quotes the value."""


def encode(message: Message) -> bytes:
    """One message as a frame; ``WireError`` when a value has the wrong type or is too large."""
    pack, _ = _codec(Message)
    parts: list[bytes] = []
    header = json.dumps(pack(message, parts), separators=(",", ":"), allow_nan=False).encode("ascii")
    body_bytes = sum(map(len, parts))
    if len(header) > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise WireError(f"message too large: {len(header)} + {body_bytes} bytes")
    return b"".join((_FRAME.pack(_MAGIC, len(header), body_bytes), header, *parts))


class Decoder:
    """Cuts a stream of bytes into messages. It holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        self._buffer += data
        messages: list[Message] = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Message | None:
        buffer = self._buffer
        if len(buffer) < _FRAME.size:
            if not _MAGIC.startswith(bytes(buffer[:4])):
                raise WireError("not a frame")
            return None
        magic, header_bytes, body_bytes = _FRAME.unpack_from(buffer)
        if magic != _MAGIC:
            raise WireError("not a frame")
        if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
            raise WireError(f"frame too large: {header_bytes} + {body_bytes} bytes")
        end = _FRAME.size + header_bytes + body_bytes
        if len(buffer) < end:
            return None
        with memoryview(buffer) as frame:
            header = bytes(frame[_FRAME.size : _FRAME.size + header_bytes])
            body = _Body(bytes(frame[_FRAME.size + header_bytes : end]))
        del buffer[:end]
        try:
            value = json.loads(header)
        except (ValueError, RecursionError):
            raise WireError("header is not JSON") from None
        _, unpack = _codec(Message)
        message = unpack(value, body)
        body.end()
        return cast(Message, message)


class _Body:
    """The arrays of one frame, taken in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, samples: int) -> Pcm:
        end = self._at + samples * _INT16.itemsize
        if samples < 0 or end > len(self._data):
            raise WireError("body is shorter than its arrays")
        pcm = np.frombuffer(self._data, _INT16, samples, self._at)
        self._at = end
        return pcm.astype(np.int16, copy=False)

    def end(self) -> None:
        if self._at != len(self._data):
            raise WireError("body is longer than its arrays")


@functools.cache
def _codec(hint: Any) -> tuple[_Pack, _Unpack]:
    """How values of a type become JSON and come back."""
    origin = get_origin(hint)
    if hint == Pcm:
        return _pack_pcm, _unpack_pcm
    if origin is Literal:
        return _checked(get_args(hint).__contains__)
    if origin in (Union, types.UnionType):
        return _union(get_args(hint))
    if origin is tuple:
        return _sequence(get_args(hint)[0])
    if origin is dict:
        return _mapping(get_args(hint)[1])
    if isinstance(hint, type) and is_dataclass(hint):
        return _record(hint)
    if hint is float:
        return _pack_float, _pack_float
    return {
        str: _checked(lambda value: isinstance(value, str)),
        bool: _checked(lambda value: isinstance(value, bool)),
        int: _checked(lambda value: isinstance(value, int) and not isinstance(value, bool)),
        type(None): _checked(lambda value: value is None),
    }[hint]


def _checked(fits: Callable[[Any], bool]) -> tuple[_Pack, _Unpack]:
    def check(value: Any, _: object) -> Any:
        try:
            if fits(value):
                return value
        except TypeError:  # an unhashable value asked of a Literal
            pass
        raise WireError("a value does not fit its type")

    return check, check


def _pack_float(value: Any, _: object) -> float:
    try:
        if (
            isinstance(value, int | float | np.floating)
            and not isinstance(value, bool)
            and math.isfinite(value)
        ):
            return float(value)
    except OverflowError:  # an int beyond the range of floats
        pass
    raise WireError("a number is missing or not finite")


def _pack_pcm(value: Any, parts: list[bytes]) -> int:
    if not (isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == np.int16):
        raise WireError("an array is not int16 mono")
    parts.append(np.ascontiguousarray(value, _INT16).tobytes())
    return len(value)


def _unpack_pcm(value: Any, body: _Body) -> Pcm:
    if not isinstance(value, int) or isinstance(value, bool):
        raise WireError("an array has no length")
    return body.take(value)


def _sequence(item: Any) -> tuple[_Pack, _Unpack]:
    pack_item, unpack_item = _codec(item)

    def pack(value: Any, parts: list[bytes]) -> list[Any]:
        if not isinstance(value, tuple):
            raise WireError("a value does not fit its type")
        return [pack_item(entry, parts) for entry in value]

    def unpack(value: Any, body: _Body) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise WireError("a value does not fit its type")
        return tuple([unpack_item(entry, body) for entry in value])

    return pack, unpack


def _mapping(item: Any) -> tuple[_Pack, _Unpack]:
    pack_item, unpack_item = _codec(item)

    def each(value: Any, convert: Callable[[Any], Any]) -> dict[str, Any]:
        if not (isinstance(value, dict) and all(isinstance(key, str) for key in value)):
            raise WireError("a value does not fit its type")
        return {key: convert(entry) for key, entry in value.items()}

    return (
        lambda value, parts: each(value, lambda entry: pack_item(entry, parts)),
        lambda value, body: each(value, lambda entry: unpack_item(entry, body)),
    )


def _union(members: tuple[Any, ...]) -> tuple[_Pack, _Unpack]:
    """Dataclasses go by name; plain values are told apart by JSON itself, the exact type first."""
    named: dict[str, Any] = {m.__name__: m for m in members if isinstance(m, type) and is_dataclass(m)}
    plain = tuple(member for member in members if not is_dataclass(member))

    def of(value: Any) -> Any:
        for member in plain:
            if type(value) is member:
                return member
        for member in plain:  # an int where a float is meant, a Literal, an array
            if get_origin(member) is not None or (member is float and type(value) is int):
                return member
        raise WireError("a value does not fit its type")

    def pack(value: Any, parts: list[bytes]) -> Any:
        name = type(value).__name__
        if is_dataclass(value) and named.get(name) is type(value):
            return {"type": name, "value": _codec(named[name])[0](value, parts)}
        return _codec(of(value))[0](value, parts)

    def unpack(value: Any, body: _Body) -> Any:
        if isinstance(value, dict) and isinstance(name := value.get("type"), str) and name in named:
            return _codec(named[name])[1](value.get("value"), body)
        return _codec(of(value))[1](value, body)

    return pack, unpack


def _record(kind: type) -> tuple[_Pack, _Unpack]:
    hints = get_type_hints(kind)
    members = tuple((field.name, *_codec(hints[field.name])) for field in fields(kind))

    def pack(value: Any, parts: list[bytes]) -> dict[str, Any]:
        if type(value) is not kind:
            raise WireError("a value does not fit its type")
        return {name: pack_field(getattr(value, name), parts) for name, pack_field, _ in members}

    def unpack(value: Any, body: _Body) -> Any:
        if not isinstance(value, dict) or value.keys() != {name for name, _, _ in members}:
            raise WireError(f"{kind.__name__} has other fields")
        return kind(**{name: unpack_field(value[name], body) for name, _, unpack_field in members})

    return pack, unpack
