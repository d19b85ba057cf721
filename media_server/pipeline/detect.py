"""Where speech is: Silero on frames of 32 ms, and the gate that turns its probabilities into voice and silence.

The network's file lies inside the faster-whisper package; it is found without importing that package, because its
import costs the media process half a second and 100 MB. One session of onnxruntime serves all streams (``run`` is
thread-safe and keeps nothing); each stream carries its own state.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from media_server.engines.base import RECOGNIZER_RATE, Pcm
from media_server.errors import EngineUnavailable

FRAME_SAMPLES = 512  # 32 ms, what Silero takes at 16 kHz
FRAME_MS = FRAME_SAMPLES * 1000 // RECOGNIZER_RATE
CONTEXT_SAMPLES = 64  # of the frame before, put in front of each
STATE_SHAPE = (1, 1, 128)
DIGITAL_SILENCE = 2  # int16 steps: no microphone that is on stays under this
SETTLE_FRAMES = 16  # of digital silence are still run, then the state has forgotten what was before


class SpeechDetector(Protocol):
    """How likely each frame of one stream is speech. Not shared between streams."""

    def probability(self, frame: Pcm) -> float:
        """``frame``: FRAME_SAMPLES of int16 at 16 kHz, the successor of the frame before. 0 to 1."""
        ...

    def reset(self) -> None:
        """The next frame does not follow the one before."""
        ...


def silero_path() -> Path:
    """The file of the network; raises EngineUnavailable when faster-whisper is not installed or has none."""
    spec = importlib.util.find_spec("faster_whisper")
    if spec is None or spec.origin is None:
        raise EngineUnavailable(
            "the speech detector comes with the package faster-whisper, which is not installed"
        )
    found = sorted((Path(spec.origin).parent / "assets").glob("silero_vad*.onnx"))
    if not found:
        raise EngineUnavailable("this release of faster-whisper has no speech detector in it")
    return found[-1]


@functools.cache
def silero_session() -> Any:
    """The process's only session: one thread, because a frame is 90 us of work."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(silero_path()), options, providers=["CPUExecutionProvider"])


class SileroDetector:
    """One stream's Silero."""

    def __init__(self) -> None:
        self._session = silero_session()
        self._input = np.zeros((1, CONTEXT_SAMPLES + FRAME_SAMPLES), np.float32)
        self.reset()

    def reset(self) -> None:
        self._h: NDArray[np.float32] = np.zeros(STATE_SHAPE, np.float32)
        self._c: NDArray[np.float32] = np.zeros(STATE_SHAPE, np.float32)
        self._input[:] = 0.0
        self._silent_frames = 0

    def probability(self, frame: Pcm) -> float:
        if int(frame.max()) <= DIGITAL_SILENCE and int(frame.min()) >= -DIGITAL_SILENCE:
            self._silent_frames += 1
            if self._silent_frames > SETTLE_FRAMES:
                return 0.0
        else:
            self._silent_frames = 0
        window = self._input
        window[0, :CONTEXT_SAMPLES] = window[0, FRAME_SAMPLES:]
        np.multiply(frame, 1 / 32768, out=window[0, CONTEXT_SAMPLES:], casting="unsafe")
        found, self._h, self._c = self._session.run(None, {"input": window, "h": self._h, "c": self._c})
        return 0.0 if self._silent_frames else float(found[0])


class VoiceGate:
    """Hysteresis over frames: voice begins with ``on_frames`` frames in a row of ``on`` or more, and is kept as long
    as frames reach ``off``. A lone loud frame inside a silence does not end it.
    """

    def __init__(self, on: float, off: float, on_frames: int) -> None:
        self._on = on
        self._off = off
        self._on_frames = on_frames
        self.reset()

    def reset(self) -> None:
        self.voiced = False
        self.silent_frames = 0
        """Frames since the last voiced one."""
        self._rising = 0

    def push(self, probability: float) -> bool:
        """Takes one frame; True when voice begins with it (``on_frames`` frames ago, to be exact)."""
        if self.voiced:
            if probability >= self._off:
                return False
            self.voiced = False
            self.silent_frames = 1
            self._rising = 0
            return False
        self.silent_frames += 1
        self._rising = self._rising + 1 if probability >= self._on else 0
        if self._rising < self._on_frames:
            return False
        self.voiced = True
        self.silent_frames = 0
        return True
