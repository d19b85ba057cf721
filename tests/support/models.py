"""Where the tests' models and recordings are. A model that is missing is a failure, never a skip."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from benchmarks.material import Clip, PiperSpeaker, jfk, sentences
from media_server import config

__all__ = ["jfk", "model_dir", "spoken"]


def model_dir(name: str) -> Path:
    folder = config.load(os.environ).models_path / name
    assert folder.is_dir(), f"{name} is not installed: meeting-voice-language models fetch {name}"
    return folder


@lru_cache
def _voice() -> PiperSpeaker:
    return PiperSpeaker(model_dir("piper-en_US-joe-medium"))


@lru_cache(maxsize=64)
def spoken(text: str | int) -> Clip:
    """A text, or the sentence of that number in the list, in the English Piper voice at 16 kHz."""
    return _voice().say(sentences()[text] if isinstance(text, int) else text)
