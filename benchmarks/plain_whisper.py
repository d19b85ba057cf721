"""faster-whisper as it comes, behind the protocol of this server's recognizers: one window at a time, 30 s each."""

from __future__ import annotations

import time
from typing import Any

from media_server.engines.base import Capabilities, Hypothesis, Recognition, RecognizeRequest
from media_server.engines.log_mel import samples_of


class PlainWhisper:
    """Runs in a child, as the recognizer that it is compared with does."""

    def __init__(self, model_dir: str, device: str, compute_type: str, threads: int) -> None:
        self._model_dir = model_dir
        self._device = device
        self._compute_type = compute_type
        self._threads = threads

    def load(self) -> Capabilities:
        from faster_whisper import WhisperModel

        self._whisper: Any = WhisperModel(
            self._model_dir,
            device=self._device,
            compute_type=self._compute_type,
            cpu_threads=self._threads,
            local_files_only=True,
        )
        return Capabilities("recognize", "faster-whisper as it comes")

    def close(self) -> None:
        self._whisper.model.unload_model()

    def recognize(self, requests: list[RecognizeRequest]) -> list[Recognition]:
        """Finals with its own defaults, partials without its beam of five, as programs that show partials do."""
        (request,) = requests
        started = time.perf_counter()
        segments, _ = self._whisper.transcribe(
            samples_of(request.audio),
            language=request.language,
            beam_size=5 if request.final else 1,
            condition_on_previous_text=False,
        )
        text = " ".join(segment.text.strip() for segment in segments)
        took_s = time.perf_counter() - started
        return [Recognition(Hypothesis(text), request.language or "en", 1.0, took_s=took_s)]
