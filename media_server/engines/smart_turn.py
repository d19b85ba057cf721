"""Smart Turn: does the speaker sound finished? A small Whisper encoder with one output, run by ONNX Runtime.

It hears intonation, not words: the last 8 s before the silence, zeros in front of shorter ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from media_server.engines.base import Capabilities, Turn, TurnRequest
from media_server.engines.log_mel import HOP, LogMel, samples_of

WINDOW_S = 8
FRAMES = WINDOW_S * 100  # of 10 ms
_TINY = 1e-7  # keeps digital silence from dividing by zero


class SmartTurnDetector:
    """``model_path`` is the ONNX file; the model wants features of shape (1, 80, 800)."""

    def __init__(self, model_path: str, threads: int = 1) -> None:
        self._path = Path(model_path)
        self._threads = threads

    def load(self) -> Capabilities:
        if not self._path.is_file():
            raise FileNotFoundError(f"Smart Turn has no model at {self._path}")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        self._session: Any = onnxruntime.InferenceSession(
            str(self._path), options, providers=["CPUExecutionProvider"]
        )
        self._input: str = self._session.get_inputs()[0].name
        self._features = LogMel(80)
        self.turn(TurnRequest(np.zeros(FRAMES * HOP, np.int16)))
        return Capabilities(
            kind="turn",
            name="smart-turn",
            model=self._path.stem.removesuffix("-cpu"),
            version=onnxruntime.__version__,
            licence="BSD-2-Clause",
        )

    def close(self) -> None:
        del self._session

    def turn(self, request: TurnRequest) -> Turn:
        samples = samples_of(request.audio[-FRAMES * HOP :])
        padded = np.pad(samples, (FRAMES * HOP - samples.size, 0))
        normal = (padded - padded.mean()) / np.sqrt(padded.var() + _TINY)
        features = self._features(normal.astype(np.float32), FRAMES)
        (probability,) = np.ravel(self._session.run(None, {self._input: features[None]})[0])
        return Turn(float(probability))
