"""Cleaning a voice for those who listen: RNNoise, or a noise gate where there is no RNNoise.

Mono int16 at 48 kHz in and out, in pieces of whole 10 ms frames, in place of time: no delay is added by the
gate, 20 ms by RNNoise. One denoiser belongs to one stream. All work is done inline; RNNoise costs about 320
us a frame on a 2 GHz core, digital silence next to nothing.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from media_server.audio.frames import Pcm
from media_server.errors import InterpreterError

FRAME = 480  # samples, 10 ms at 48 kHz
THRESHOLD = 0.015  # RMS of full scale
ATTENUATION = 0.2

_QUIET_FRAMES = 50
"""Digital silence after which RNNoise's state has decayed and it need not run: its output is exact silence
then."""
_LIBRARY = {"darwin": "librnnoise.dylib", "win32": "rnnoise.dll"}.get(sys.platform, "librnnoise.so")
_HEADER = struct.Struct("<4siiii44s")
_FULL_SCALE = 32_768.0


class DenoiserUnavailable(InterpreterError):
    """RNNoise cannot be used here; the text says why."""


class Denoiser(Protocol):
    """``process`` gives an array back that the caller may keep: as many samples as it got where that is a
    multiple of 480; what is left of other pieces waits for the next.
    """

    name: str
    reason: str
    """Why this one runs, for people."""

    def process(self, pcm: Pcm) -> Pcm: ...

    def close(self) -> None: ...


class _Record(ctypes.Structure):
    """xiph's WeightArray: an entry of the table of weights that the library carries."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("size", ctypes.c_int),
        ("data", ctypes.c_void_p),
    ]


class _Library:
    """The shared library of the pyrnnoise wheel and the model made of its own int8 weights, once a process.

    The library's default are xiph's float weights, meant for debugging: 2.4 times slower. The same table
    holds int8 twins; written out as xiph's blob without the float ones they make a model of their own. The
    Python package around the library is not imported, its dependencies are heavy.
    """

    def __init__(self, path: Path) -> None:
        try:
            # PyDLL keeps the interpreter lock: giving it up for 0.3 ms would hand the core to another
            # thread for 5.
            library = ctypes.PyDLL(str(path))
            pointer = ctypes.c_void_p
            library.rnnoise_create.argtypes = [pointer]
            library.rnnoise_create.restype = pointer
            library.rnnoise_destroy.argtypes = [pointer]
            library.rnnoise_destroy.restype = None
            library.rnnoise_process_frame.argtypes = [pointer, pointer, pointer]
            library.rnnoise_process_frame.restype = ctypes.c_float
            library.rnnoise_get_frame_size.restype = ctypes.c_int
        except (OSError, AttributeError) as error:
            raise DenoiserUnavailable(f"RNNoise's library does not load: {error}") from error
        if library.rnnoise_get_frame_size() != FRAME:
            raise DenoiserUnavailable("RNNoise's library works on frames of another size")
        # The same library once more, for threads that have nothing else to do: it gives the lock up.
        self.unlocked_frame = ctypes.CDLL(str(path)).rnnoise_process_frame
        self.unlocked_frame.argtypes = [pointer, pointer, pointer]
        self.unlocked_frame.restype = ctypes.c_float
        self.library = library
        self.weights = "float weights"
        self.model: int | None = None
        self._blob: ctypes.Array[ctypes.c_char] | None = None  # must outlive the model
        self._load_int8()

    def _load_int8(self) -> None:
        try:
            # An array of unknown length: looked at record by record up to the one without a name.
            first = _Record.in_dll(self.library, "rnnoise_arrays")
            from_buffer = self.library.rnnoise_model_from_buffer
        except (ValueError, AttributeError):
            return  # an older build: its default weights do
        from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_int]
        from_buffer.restype = ctypes.c_void_p
        blob = _int8_blob(ctypes.addressof(first))
        if not blob:
            return
        buffer = ctypes.create_string_buffer(blob, len(blob))
        model = from_buffer(ctypes.addressof(buffer), len(blob))
        if not model:
            return
        state = self.library.rnnoise_create(model)
        if not state:
            return
        self.library.rnnoise_destroy(state)
        self._blob, self.model, self.weights = buffer, model, "int8 weights"


def _int8_blob(table: int) -> bytes:
    """xiph's binary weight file from the records at ``table``; empty where there are no int8 weights."""
    records: list[tuple[bytes, int, bytes]] = []
    while (record := _Record.from_address(table)).name and record.size >= 0:
        records.append((record.name, record.type, ctypes.string_at(record.data, record.size)))
        table += ctypes.sizeof(_Record)
    names = {name for name, _, _ in records}
    out: list[bytes] = []
    for name, kind, data in records:
        if name.endswith(b"_weights_float") and name[: -len(b"float")] + b"int8" in names:
            continue
        padded = -(-len(data) // 64) * 64
        out.append(_HEADER.pack(b"DNNw", 0, kind, len(data), padded, name))
        out.append(data.ljust(padded, b"\0"))
    return b"".join(out) if any(name.endswith(b"_int8") for name in names) else b""


@lru_cache(maxsize=1)
def _library() -> _Library:
    spec = find_spec("pyrnnoise")
    if spec is None or spec.origin is None:
        raise DenoiserUnavailable("pyrnnoise is not installed")
    path = Path(spec.origin).with_name(_LIBRARY)
    if not path.is_file():
        raise DenoiserUnavailable(f"pyrnnoise comes without {_LIBRARY}")
    return _Library(path)


class _Whole:
    """Whole frames of a stream whose pieces may end anywhere."""

    def __init__(self) -> None:
        self._rest: Pcm | None = None

    def take(self, pcm: Pcm) -> Pcm:
        if self._rest is not None:
            pcm = np.concatenate((self._rest, pcm))
            self._rest = None
        left = len(pcm) % FRAME
        if left:
            self._rest = pcm[-left:].copy()
            pcm = pcm[:-left]
        return pcm


class RNNoise:
    """One stream through RNNoise. ``speech`` is the probability of a voice in the last frame, 0 to 1.

    ``in_thread``: the interpreter lock is given up for each frame, so that the event loop goes on meanwhile.
    """

    name = "rnnoise"
    delay = 2 * FRAME
    """Samples by which its output lags."""

    def __init__(self, *, in_thread: bool = False) -> None:
        shared = _library()
        self.reason = f"RNNoise of the pyrnnoise wheel, {shared.weights}"
        self.speech = 0.0
        self._destroy = shared.library.rnnoise_destroy
        self._frame = shared.unlocked_frame if in_thread else shared.library.rnnoise_process_frame
        self._state: int | None = shared.library.rnnoise_create(shared.model)
        if not self._state:
            raise DenoiserUnavailable("RNNoise gave no state")
        self._buffer = np.zeros(FRAME, np.float32)
        self._address = self._buffer.ctypes.data
        self._quiet = _QUIET_FRAMES
        self._whole = _Whole()

    def process(self, pcm: Pcm) -> Pcm:
        pcm = self._whole.take(pcm)
        out = np.empty_like(pcm)
        buffer, address = self._buffer, self._address
        for at in range(0, len(pcm), FRAME):
            frame = pcm[at : at + FRAME]
            if frame.any():
                self._quiet = 0
            else:
                self._quiet += 1
                if self._quiet > _QUIET_FRAMES or self._state is None:
                    self.speech = 0.0
                    out[at : at + FRAME] = 0
                    continue
            if self._state is None:
                out[at : at + FRAME] = frame
                continue
            buffer[:] = frame
            self.speech = self._frame(self._state, address, address)
            np.clip(buffer, -32_768, 32_767, out=buffer)
            out[at : at + FRAME] = buffer
        return out

    def close(self) -> None:
        """Free the native state; what is processed afterwards passes through unchanged."""
        state, self._state = self._state, None
        if state:
            self._destroy(state)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self.close()


class NoiseGate:
    """A frame of 10 ms whose RMS is under ``threshold`` is multiplied by ``attenuation``.

    Nothing carries over from frame to frame: the older servers' gate, byte for byte.
    """

    name = "gate"

    def __init__(
        self, threshold: float = THRESHOLD, attenuation: float = ATTENUATION, reason: str = "asked for"
    ) -> None:
        self.threshold, self.attenuation = threshold, attenuation
        self.reason = reason
        self._floor = (threshold * _FULL_SCALE) ** 2
        self._whole = _Whole()

    def process(self, pcm: Pcm) -> Pcm:
        return self.process_frames(self._whole.take(pcm), FRAME)

    def process_frames(self, pcm: Pcm, size: int) -> Pcm:
        """The same for whole frames of any size; returns the very array where the gate is open all the time."""
        frames = pcm.reshape(-1, size).astype(np.float32)
        energy = np.einsum("ij,ij->i", frames, frames)
        quiet = energy < self._floor * size
        if not quiet.any():
            return pcm
        frames[quiet] *= self.attenuation
        return frames.astype(np.int16).reshape(-1)

    def process_frame(self, frame: Pcm) -> Pcm:
        """The same for one frame of any length; returns the very array where the gate is open."""
        samples = frame.astype(np.float32)
        if float(np.dot(samples, samples)) >= self._floor * len(frame):
            return frame
        return (samples * self.attenuation).astype(np.int16)

    def close(self) -> None:
        """Nothing to free."""


def make_denoiser(
    enable_rnnoise: bool = True, threshold: float = THRESHOLD, attenuation: float = ATTENUATION
) -> Denoiser:
    """RNNoise where it is wanted and there, else the gate; ``reason`` says which and why."""
    if not enable_rnnoise:
        return NoiseGate(threshold, attenuation, "RNNoise is switched off (ENABLE_RNNOISE=0)")
    try:
        return RNNoise()
    except DenoiserUnavailable as error:
        return NoiseGate(threshold, attenuation, str(error))
