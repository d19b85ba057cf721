"""Opus (RFC 6716) by libopus, called through ctypes: mono, loss concealment and in-band FEC included.

FFmpeg's wrapper around the same library exposes neither. The library inside the av wheel is taken first,
then the system's; where there is none PyAV's codec is used, with concealment off (``origin()`` says which).

The calls take 30 to 60 us and keep the interpreter lock: they are made inline, no thread is needed. An
encoder or decoder belongs to one stream and one thread.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from media_server.audio.frames import FRAME_SAMPLES, RATE, Pcm
from media_server.errors import InterpreterError

MAX_PACKET_MS = 120  # RFC 6716 section 3.2.5
MAX_PAYLOAD = 1_275  # bytes of one frame, RFC 6716 section 3.2.1
BITRATE = 32_000  # bit/s, transparent for one voice

_OK = 0
_APPLICATION_AUDIO = 2_049
_SET_BITRATE = 4_002
_SET_COMPLEXITY = 4_010
_SET_INBAND_FEC = 4_012
_SET_PACKET_LOSS = 4_014
_RESET_STATE = 4_028


class OpusError(InterpreterError):
    """A payload that is no Opus, or a call the library refused."""


class Decoder(Protocol):
    """One stream's decoder. What the methods return is a fresh array that the caller may keep."""

    conceals: bool

    def decode(self, payload: bytes) -> Pcm: ...
    def conceal(self, samples: int) -> Pcm: ...
    def decode_fec(self, payload: bytes, samples: int) -> Pcm: ...
    def reset(self) -> None: ...


class Encoder(Protocol):
    """One stream's encoder: 960 samples in, one payload out."""

    def encode(self, pcm: Pcm) -> bytes: ...
    def set_packet_loss(self, percent: int) -> None: ...
    def reset(self) -> None: ...


def _candidates() -> Iterator[tuple[str, str]]:
    """(path, words) of every place where the library may lie, best first."""
    spec = find_spec("av")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        folders = (package.parent / "av.libs", package / ".dylibs", package)
        for folder in folders:
            for pattern in ("libopus-*.so*", "libopus.so*", "libopus*.dylib", "*opus-*.dll", "libopus*.dll"):
                for path in sorted(folder.glob(pattern)):
                    yield str(path), "libopus of the av wheel"
    found = ctypes.util.find_library("opus")
    if found is not None:
        yield found, "libopus of the system"


def _declare(library: ctypes.PyDLL) -> None:
    """Give the functions their types; AttributeError where one is missing.

    Only the fixed arguments of the variadic ``*_ctl`` are declared, which makes ctypes use the variadic
    calling convention where it differs (Apple's ARM).
    """
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    library.opus_get_version_string.restype = ctypes.c_char_p
    library.opus_strerror.restype = ctypes.c_char_p
    library.opus_decoder_create.argtypes = [ctypes.c_int32, integer, pointer]
    library.opus_decoder_create.restype = pointer
    library.opus_decoder_destroy.argtypes = [pointer]
    library.opus_decoder_destroy.restype = None
    library.opus_decoder_ctl.argtypes = [pointer, integer]
    library.opus_decode.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int32, pointer, integer, integer]
    library.opus_encoder_create.argtypes = [ctypes.c_int32, integer, integer, pointer]
    library.opus_encoder_create.restype = pointer
    library.opus_encoder_destroy.argtypes = [pointer]
    library.opus_encoder_destroy.restype = None
    library.opus_encoder_ctl.argtypes = [pointer, integer]
    library.opus_encode.argtypes = [pointer, pointer, integer, pointer, ctypes.c_int32]
    library.opus_packet_get_nb_samples.argtypes = [ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]


@lru_cache(maxsize=1)
def _load() -> tuple[ctypes.PyDLL | None, str]:
    for path, words in _candidates():
        try:
            library = ctypes.PyDLL(path)
            _declare(library)
        except (OSError, AttributeError):
            continue
        version = library.opus_get_version_string().decode("ascii", "replace").removeprefix("libopus ")
        return library, f"{words}, {version}"
    return None, "PyAV (no libopus found: lost packets are not concealed)"


def origin() -> str:
    """Whose Opus runs here, in words for people."""
    return _load()[1]


def packet_samples(payload: bytes) -> int:
    """Samples at 48 kHz that a payload holds, from its table of contents (RFC 6716 section 3.1).

    Raises OpusError where that makes no sense, as with an empty payload.
    """
    if not payload:
        raise OpusError("empty payload")
    toc = payload[0]
    config = toc >> 3
    if config < 12:
        size = (480, 960, 1_920, 2_880)[config & 3]
    elif config < 16:
        size = (480, 960)[config & 1]
    else:
        size = (120, 240, 480, 960)[config & 3]
    code = toc & 3
    if code == 0:
        count = 1
    elif code < 3:
        count = 2
    elif len(payload) > 1:
        count = payload[1] & 63
    else:
        raise OpusError("truncated payload")
    samples = size * count
    if not 0 < samples <= RATE * MAX_PACKET_MS // 1000:
        raise OpusError("impossible duration")
    return samples


def has_fec(payload: bytes) -> bool:
    """Does the payload carry a copy of the frame before it (LBRR, RFC 6716 section 4.2.4)?

    Only SILK and hybrid frames can. The flags stand in the first bits of the first frame: one
    voice-activity bit for each 20 ms, then the LBRR bit. Payloads whose first frame does not start right
    after the header (code 2 and 3) are not looked into.
    """
    if len(payload) < 2:
        return False
    toc = payload[0]
    config = toc >> 3
    if config >= 16 or toc & 3 > 1:
        return False
    frames = 1 if config >= 12 else (1, 1, 2, 3)[config & 3]
    return bool(payload[1] >> (7 - frames) & 1)


class LibopusDecoder:
    """``decode`` of garbage raises OpusError and leaves a decoder that goes on with the next payload."""

    conceals = True

    def __init__(self, library: ctypes.PyDLL, rate: int = RATE, channels: int = 1) -> None:
        error = ctypes.c_int()
        self._library = library
        self._decode = library.opus_decode
        self._state = library.opus_decoder_create(rate, channels, ctypes.byref(error))
        if not self._state or error.value != _OK:
            raise OpusError(f"no decoder: {error.value}")
        self._channels = channels
        self._limit = rate * MAX_PACKET_MS // 1000
        self._out = np.zeros(self._limit * channels, np.int16)
        self._address = self._out.ctypes.data

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_decoder_destroy(self._state)
            self._state = None

    def _run(self, payload: bytes | None, size: int, samples: int, fec: int) -> Pcm:
        count = self._decode(self._state, payload, size, self._address, samples, fec)
        if count < 0:
            raise OpusError(f"opus_decode: {count}")
        return self._out[: count * self._channels].copy()

    def decode(self, payload: bytes) -> Pcm:
        """The sound of one payload, of any legal duration."""
        if not payload:
            raise OpusError("empty payload")
        return self._run(payload, len(payload), self._limit, 0)

    def conceal(self, samples: int) -> Pcm:
        """What most likely was in a lost packet; ``samples`` is a multiple of 2.5 ms, at most 120 ms."""
        return self._run(None, 0, samples, 0)

    def decode_fec(self, payload: bytes, samples: int) -> Pcm:
        """The lost packet before ``payload``, from the copy inside it, or concealed where there is none."""
        return self._run(payload, len(payload), samples, 1)

    def reset(self) -> None:
        self._library.opus_decoder_ctl(self._state, _RESET_STATE)


class LibopusEncoder:
    """Mono at 48 kHz, ``application=audio``. In-band FEC is on while the packet loss is set above zero."""

    def __init__(self, library: ctypes.PyDLL, bitrate: int = BITRATE, complexity: int = 5) -> None:
        error = ctypes.c_int()
        self._library = library
        self._encode = library.opus_encode
        self._state = library.opus_encoder_create(RATE, 1, _APPLICATION_AUDIO, ctypes.byref(error))
        if not self._state or error.value != _OK:
            raise OpusError(f"no encoder: {error.value}")
        self._in = np.zeros(FRAME_SAMPLES, np.int16)
        self._in_address = self._in.ctypes.data
        self._out = ctypes.create_string_buffer(MAX_PAYLOAD)
        self._out_address = ctypes.addressof(self._out)
        self._loss = 0
        self._set(_SET_BITRATE, bitrate)
        self._set(_SET_COMPLEXITY, complexity)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_encoder_destroy(self._state)
            self._state = None

    def _set(self, request: int, value: int) -> None:
        result = self._library.opus_encoder_ctl(self._state, request, ctypes.c_int(value))
        if result != _OK:
            raise OpusError(f"opus_encoder_ctl {request}: {result}")

    @property
    def packet_loss(self) -> int:
        return self._loss

    def encode(self, pcm: Pcm) -> bytes:
        """One payload for 960 samples (20 ms)."""
        self._in[:] = pcm
        size = self._encode(self._state, self._in_address, FRAME_SAMPLES, self._out_address, MAX_PAYLOAD)
        if size < 0:
            raise OpusError(f"opus_encode: {size}")
        return ctypes.string_at(self._out_address, size)

    def set_packet_loss(self, percent: int) -> None:
        """What the receiver reports; above zero each packet carries a coarse copy of the one before it."""
        percent = max(0, min(100, percent))
        if percent != self._loss:
            self._loss = percent
            self._set(_SET_INBAND_FEC, 1 if percent else 0)
            self._set(_SET_PACKET_LOSS, percent)

    def reset(self) -> None:
        self._library.opus_encoder_ctl(self._state, _RESET_STATE)


def new_decoder() -> Decoder:
    """Mono at 48 kHz, by the best library there is."""
    library = _load()[0]
    if library is not None:
        return LibopusDecoder(library)
    from media_server.audio.opus_av import AvDecoder

    return AvDecoder()


def new_encoder(bitrate: int = BITRATE, complexity: int = 5) -> Encoder:
    """Mono at 48 kHz, by the best library there is."""
    library = _load()[0]
    if library is not None:
        return LibopusEncoder(library, bitrate, complexity)
    from media_server.audio.opus_av import AvEncoder

    return AvEncoder(bitrate, complexity)


# Short names for those who only want one.
OpusDecoder = new_decoder
OpusEncoder = new_encoder

if sys.byteorder != "little":  # pragma: no cover - no such machine is supported
    raise ImportError("PCM is little-endian here")
