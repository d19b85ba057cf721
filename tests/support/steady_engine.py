"""A recognizer whose work takes as long as a test says, and whose words tell how long the window was."""

from __future__ import annotations

import time

from media_server.engines.base import (
    RECOGNIZER_RATE,
    Capabilities,
    Hypothesis,
    Recognition,
    RecognizeRequest,
    Segment,
)

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")


class SteadyRecognizer:
    """Hears a word for each begun second, in a voice that it is sure of."""

    def __init__(self, decode_s: float = 0.0) -> None:
        self._decode_s = decode_s

    def load(self) -> Capabilities:
        return Capabilities("recognize", "steady", languages=("en",))

    def close(self) -> None:
        """Nothing is held."""

    def recognize(self, requests: list[RecognizeRequest]) -> list[Recognition]:
        return [self._hear(request) for request in requests]

    def _hear(self, request: RecognizeRequest) -> Recognition:
        time.sleep(self._decode_s)
        seconds = request.audio.size / RECOGNIZER_RATE
        text = " ".join(WORDS[: 1 + int(seconds)]).capitalize() + "."
        heard = Hypothesis(text, (Segment(text, 0.0, seconds),), -0.2, 0.02)
        return Recognition(heard, "en", 1.0, took_s=self._decode_s)
