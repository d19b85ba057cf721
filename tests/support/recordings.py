"""Recorded speech in other languages: the files of the package pytest-audioeval, which is never imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import av
import numpy as np

from media_server.engines.base import RECOGNIZER_RATE, Pcm


def recording(name: str) -> Pcm:
    """``name`` is a file without its ending ("es/conteo"); int16 at 16 kHz."""
    spec = importlib.util.find_spec("pytest_audioeval")
    assert spec is not None
    assert spec.submodule_search_locations
    file = Path(spec.submodule_search_locations[0], "samples", "audio", f"{name}.wav")
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RECOGNIZER_RATE)
    with av.open(str(file)) as audio:
        frames = [out for frame in audio.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in [*frames, *resampler.resample(None)]])
