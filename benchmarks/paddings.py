"""How short a window may be for a size of Whisper: time and word errors of one try, by the silence after the speech.

What is read off here stands in ``media_server.engines.whisper_ladder``: a size without a measurement is given 30 s.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.material import Clip
from benchmarks.scoring import Errors, errors
from media_server.engines.base import RecognizeRequest
from media_server.engines.faster_whisper import FasterWhisperRecognizer
from media_server.engines.log_mel import LogMel, samples_of
from media_server.engines.whisper_ladder import WINDOW_FRAMES, Ladder, Rung

PADDINGS_S = (30.0, 6.0, 4.0, 2.0, 0.0)


@dataclass(frozen=True, slots=True)
class Tried:
    padding_s: float
    encoder_ms: float
    decoder_ms: float
    """Medians of a window."""
    clean: Errors
    noisy: Errors


def tried(model_dir: Path, clean: Sequence[Clip], noisy: Sequence[Clip]) -> Iterator[Tried]:
    """One row for each padding, greedy, one thread, no second try. ``noisy`` says the same as ``clean``."""
    recognizer = FasterWhisperRecognizer(str(model_dir), threads=1)
    recognizer.load()
    encoder = _Encoder(model_dir)
    for padding_s in PADDINGS_S:
        rungs = (Rung(padding_s),)
        recognizer.ladder = Ladder(rungs, rungs)
        took: list[float] = []
        found = [Errors(), Errors()]
        for kind, clips in enumerate((clean, noisy)):
            for clip in clips:
                (answer,) = recognizer.recognize([RecognizeRequest(_speech(clip), "en", final=True)])
                took.append(answer.took_s * 1000)
                found[kind] += errors(clip.text, answer.transcript.text)
        encoder_ms = statistics.median(encoder.ms(clip, padding_s) for clip in clean)
        yield Tried(padding_s, encoder_ms, statistics.median(took) - encoder_ms, *found)
    recognizer.close()


def _speech(clip: Clip) -> Any:
    start, end = clip.voiced
    return clip.pcm[start:end]


class _Encoder:
    """The model's encoder by itself."""

    def __init__(self, model_dir: Path) -> None:
        import ctranslate2

        self._model: Any = ctranslate2.models.Whisper(
            str(model_dir), device="cpu", compute_type="int8", intra_threads=1
        )
        self._view: Any = ctranslate2.StorageView
        self._features = LogMel(self._model.n_mels)

    def ms(self, clip: Clip, padding_s: float) -> float:
        samples = samples_of(_speech(clip))
        frames = min(WINDOW_FRAMES, int((samples.size / 16_000 + padding_s) * 50) * 2)
        features = self._features(samples, frames)[None]
        started = time.perf_counter()
        self._model.encode(self._view.from_array(features))
        return (time.perf_counter() - started) * 1000
