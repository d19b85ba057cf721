"""Recognition by an OpenAI-compatible server: ``POST {base}/audio/transcriptions`` and ``/audio/translations``.

How much such servers say of their words differs: Whisper tells the language, segments and their probabilities
(``verbose_json``), OpenAI's newer models the probabilities of tokens, others the text alone. The form of the answer
that tells most is asked for first, and the next one once a server refuses it.

Where no probability is told, ``UNKNOWN_LOGPROB`` stands for it: sure enough that words are shown and committed as
those of an average window, not so sure that "Thank you." is believed where the speech detector heard hardly a voice
(``pipeline.evidence``). A server that does not tell the language serves speakers whose language is given; for others
the capabilities say ``detects=False``.
"""

from __future__ import annotations

import io
import math
import time
import wave
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from media_server.engines.base import (
    RECOGNIZER_RATE,
    Capabilities,
    Hypothesis,
    Pcm,
    Recognition,
    RecognizeRequest,
    Segment,
)
from media_server.engines.openai_http import Answer, OpenAiServer, Rejected, multipart
from media_server.engines.whisper_languages import pairs_into_english
from media_server.engines.withdrawal import current, working_for
from media_server.errors import EngineFailed
from media_server.names import NAMES

_NAMED = (
    "af ar az be bg bs ca cs cy da de el en es et fa fi fr gl he hi hr hu hy id is it ja kk kn ko lt lv mi mk mr ms ne "
    "nl no pl pt ro ru sk sl sr sv sw ta th tl tr uk ur vi zh"
)
LANGUAGES = tuple(_NAMED.split())
"""Those that OpenAI names for its speech models."""

UNKNOWN_LOGPROB = -0.4
TOLD_PROBABILITY = 0.8
"""Of a language that the server told: it gives no number, and is taken to be as sure as a lock needs."""
PARTIAL_S = 2.0  # a partial that takes longer shows nothing new
MOST_TEXT = 4000  # characters; nobody says that much in 30 s
MOST_WINDOW_S = 31.0

Form = Literal["verbose", "logprobs", "plain"]
_FIELDS: dict[Form, list[tuple[str, str]]] = {
    "verbose": [("response_format", "verbose_json")],
    "logprobs": [("response_format", "json"), ("include[]", "logprobs")],
    "plain": [("response_format", "json")],
}
_CODES = {name.lower(): code for code, name in NAMES.items()} | {"mandarin": "zh", "castilian": "es"}


@dataclass(frozen=True, slots=True)
class _Told:
    hypothesis: Hypothesis
    language: str
    """Empty where the server does not say."""


class OpenAiRecognizer:
    concurrent = 8

    def __init__(
        self,
        model: str,
        base_url: str = "",
        timeout_s: float = 4.0,
        consent: bool = False,
        api_key: str = "",
        organization: str = "",
    ) -> None:
        self._server = OpenAiServer(
            base_url, api_key=api_key, organization=organization, timeout_s=timeout_s, consent=consent
        )
        self._model = model
        # Only Whisper translates speech and tells the language; OpenAI's others refuse to be asked.
        whisper = "whisper" in model.lower()
        self._forms: tuple[Form, ...] = (
            ("logprobs", "plain") if model.lower().startswith("gpt-") else ("verbose", "plain")
        )
        self._detects = "verbose" in self._forms
        self._translates = whisper
        self._pool = ThreadPoolExecutor(self.concurrent, "english")

    def load(self) -> Capabilities:
        return Capabilities(
            kind="recognize",
            name="openai",
            model=self._model,
            version="v1",
            licence=f"service of {self._server.name}",
            languages=LANGUAGES,
            pairs=pairs_into_english(LANGUAGES) if self._translates else (),
            off_machine=self._server.off_machine,
            concurrent=self.concurrent,
            detects=self._detects,
        )

    def close(self) -> None:
        self._server.close()

    def recognize(self, requests: list[RecognizeRequest]) -> list[Recognition]:
        return [self._recognize(request) for request in requests]

    def _recognize(self, request: RecognizeRequest) -> Recognition:
        started = time.perf_counter()
        english: Future[_Told] | None = None
        if "english" in request.outputs and request.language != "en" and self._translates:
            english = self._pool.submit(
                working_for(current())(self._ask), "/audio/translations", request, None
            )
        told, detected = self._transcript(request)
        language = request.language or told.language
        in_english = None
        if "english" in request.outputs:
            if language == "en":
                in_english = told.hypothesis
            elif english is not None:
                in_english = self._english(english)
        return Recognition(
            transcript=told.hypothesis,
            language=language,
            language_probability=TOLD_PROBABILITY if detected else 1.0,
            detected=detected,
            english=in_english,
            took_s=time.perf_counter() - started,
        )

    def _transcript(self, request: RecognizeRequest) -> tuple[_Told, str]:
        """What was said, and the language it sounds like ("" where that was not asked)."""
        path = "/audio/transcriptions"
        if request.language is not None and not (request.detect and self._forms[0] == "verbose"):
            return self._ask(path, request, request.language), ""
        told = self._ask(path, request, None)
        if request.language is None:
            if not told.language:
                raise EngineFailed(
                    f"{self._server.name} does not tell which language is spoken: choose the language of the speaker"
                )
            return told, told.language
        if told.language in ("", request.language):
            return told, told.language
        return self._ask(path, request, request.language), told.language

    def _english(self, asked: Future[_Told]) -> Hypothesis | None:
        """None where the server cannot do it: the text's translation is somebody else's work then."""
        try:
            return asked.result().hypothesis
        except Rejected:
            self._translates = False
        except EngineFailed:
            pass
        return None

    def _ask(self, path: str, request: RecognizeRequest, language: str | None) -> _Told:
        seconds = len(request.audio) / RECOGNIZER_RATE
        if seconds > MOST_WINDOW_S:
            raise EngineFailed(f"a window of {seconds:.0f} s is too long")
        sound = _wav(request.audio)
        fields = [("model", self._model), ("temperature", "0")]
        if language is not None:
            fields.append(("language", language))
        if request.prompt:
            fields.append(("prompt", request.prompt))
        for form in self._forms:
            body, headers = multipart([*fields, *_FIELDS[form]], "speech.wav", sound, "audio/wav")
            try:
                told = self._server.post(
                    path, body, headers, _read, timeout_s=None if request.final else PARTIAL_S
                )
            except Rejected:
                if form == self._forms[-1]:
                    raise
                continue
            if form != self._forms[0]:
                self._forms = self._forms[self._forms.index(form) :]
            return told
        raise AssertionError("the last form either answers or raises")


def _wav(audio: Pcm) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RECOGNIZER_RATE)
        out.writeframes(audio.astype("<i2").tobytes())
    return file.getvalue()


def _read(answer: Answer) -> _Told:
    value = answer.json()
    text = value.get("text")
    if not isinstance(text, str):
        raise EngineFailed("the answer holds no text")
    if len(text) > MOST_TEXT:
        raise EngineFailed(f"the answer is longer than {MOST_TEXT} characters")
    segments, logprob, no_speech = _segments(value.get("segments"))
    if logprob is None:
        logprob = _mean(value.get("logprobs"))
    hypothesis = Hypothesis(
        " ".join(text.split()),
        segments,
        UNKNOWN_LOGPROB if logprob is None else logprob,
        no_speech,
    )
    return _Told(hypothesis, _code(value.get("language")))


def _segments(value: Any) -> tuple[tuple[Segment, ...], float | None, float]:
    """Segments, their mean log probability weighted by time, and the largest probability of no speech."""
    segments: list[Segment] = []
    total = weight = no_speech = 0.0
    for entry in value if isinstance(value, list) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("text"), str):
            return (), None, 0.0
        start, end = _number(entry.get("start")), _number(entry.get("end"))
        if start is None or end is None or not 0 <= start <= end <= MOST_WINDOW_S:
            return (), None, 0.0
        segments.append(Segment(entry["text"].strip(), start, end))
        logprob = _number(entry.get("avg_logprob"))
        if logprob is not None:
            share = max(0.1, end - start)
            total, weight = total + min(0.0, logprob) * share, weight + share
        no_speech = max(no_speech, min(1.0, _number(entry.get("no_speech_prob")) or 0.0))
    return tuple(segments), total / weight if weight else None, no_speech


def _mean(value: Any) -> float | None:
    """Of tokens' log probabilities."""
    if not isinstance(value, list):
        return None
    found = [_number(entry.get("logprob")) for entry in value if isinstance(entry, dict)]
    numbers = [number for number in found if number is not None]
    return min(0.0, sum(numbers) / len(numbers)) if numbers else None


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def _code(value: Any) -> str:
    """ISO 639-1 of "english", "en" or "en-US"; empty for anything else."""
    if not isinstance(value, str):
        return ""
    bare = value.strip().lower().replace("_", "-")
    code = bare.partition("-")[0]
    return _CODES.get(bare) or (code if code in NAMES else "")
