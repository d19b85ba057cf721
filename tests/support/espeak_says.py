"""espeak-ng in a process of its own: the library has one state for a process, and other tests begin and end it.

python -m tests.support.espeak_says TEXT LANGUAGE     writes int16 PCM at VOICE_RATE to stdout
"""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np

from media_server.audio.frames import Pcm
from media_server.engines.base import VOICE_RATE, SpeakRequest
from media_server.engines.espeak_ng import EspeakVoice

ROOT = Path(__file__).resolve().parents[2]


@lru_cache(maxsize=64)
def espeak(text: str, language: str) -> Pcm:
    """``text`` in ``language``, or in English where espeak-ng does not speak it."""
    command = [sys.executable, "-m", "tests.support.espeak_says", text, language]
    made = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=60)
    return np.frombuffer(made.stdout, np.int16)


def main() -> None:
    text, language = sys.argv[1:]
    voice = EspeakVoice()
    voice.load()
    if language not in voice._voices:
        language = "en"
    pieces = [piece.pcm for piece in voice.speak(SpeakRequest(text, language))]
    sound = np.concatenate(pieces) if pieces else np.zeros(VOICE_RATE // 2, np.int16)
    sys.stdout.buffer.write(sound.tobytes())


if __name__ == "__main__":
    main()
