"""Figures without a call: faster-whisper as it comes, the calibrator, raw against denoised sound, non-speech."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material import Clip, with_margins
from benchmarks.scoring import Errors, errors
from media_server.audio.resample import resample
from media_server.engines.base import RECOGNIZER_RATE, Pcm, RecognizeRequest
from media_server.engines.faster_whisper import FasterWhisperRecognizer
from media_server.engines.log_mel import samples_of

CALIBRATOR_S = 4.0
PREROLL_S, POSTROLL_S = 0.3, 0.2  # what the live path hears around the speech


class WholeFileWhisper:
    """faster-whisper as it comes: windows of 30 s, its own defaults but for the language."""

    def __init__(self, model_dir: Path, threads: int = 2) -> None:
        from faster_whisper import WhisperModel

        self._whisper: Any = WhisperModel(
            str(model_dir), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
        )

    def text(self, pcm: Pcm, **options: object) -> str:
        segments, _ = self._whisper.transcribe(samples_of(pcm), language="en", **options)
        return " ".join(segment.text.strip() for segment in segments)

    def errors(self, clips: Sequence[Clip], gap_s: float) -> Errors:
        """Of all clips in one file, ``gap_s`` of silence between them."""
        file = np.concatenate([with_margins(clip, 0.0, gap_s).pcm for clip in clips])
        return errors(" ".join(clip.text for clip in clips), self.text(file))

    def live_cost(self, clips: Sequence[Clip], every_s: float) -> float:
        """CPU seconds for each second of speech if the open sentence were decoded anew at a steady cadence."""
        cpu = speech = 0.0
        for clip in clips:
            start, end = clip.voiced
            begun = time.process_time()
            step = round(every_s * RECOGNIZER_RATE)
            for until in [*range(start + step, end, step), end]:
                self.text(clip.pcm[start:until], beam_size=1, condition_on_previous_text=False)
            cpu += time.process_time() - begun
            speech += clip.speech_s
        return cpu / speech


def calibrator_ms(model_dir: Path, clip: Clip, rounds: int = 15) -> float:
    """Median of one decode of 4 s of speech in a short window on one thread."""
    recognizer = FasterWhisperRecognizer(str(model_dir), threads=1)
    recognizer.load()
    request = RecognizeRequest(clip.pcm[: round(CALIBRATOR_S * RECOGNIZER_RATE)], "en")
    times = [recognizer.recognize([request])[0].took_s * 1000 for _ in range(rounds)]
    recognizer.close()
    return statistics.median(times)


def decoded_errors(
    recognizer: FasterWhisperRecognizer, clips: Sequence[Clip], sound: Sequence[Pcm]
) -> Errors:
    """Of one final decode a clip; ``sound`` is what is heard of each, cut like the live path cuts."""
    total = Errors()
    for clip, pcm in zip(clips, sound, strict=True):
        start, end = clip.voiced
        before, after = round(PREROLL_S * RECOGNIZER_RATE), round(POSTROLL_S * RECOGNIZER_RATE)
        request = RecognizeRequest(pcm[max(0, start - before) : end + after], "en", final=True)
        total += errors(clip.text, recognizer.recognize([request])[0].transcript.text)
    return total


def denoised(pcm: Pcm) -> Pcm:
    """16 kHz through RNNoise at 48 kHz, its delay of 10 ms taken out; it hears the noise for a second first."""
    from media_server.pipeline.denoise import FRAME, RNNoise

    rate = 48_000
    sound = resample(pcm, RECOGNIZER_RATE, rate)
    warm = np.resize(sound[: rate // 4], rate)
    whole = np.concatenate([warm, sound, np.zeros(FRAME, np.int16)])
    whole = np.pad(whole, (0, -whole.size % FRAME))
    denoiser = RNNoise()
    clean = denoiser.process(whole)[rate + FRAME : rate + FRAME + sound.size]
    denoiser.close()
    return resample(clean, rate, RECOGNIZER_RATE)
