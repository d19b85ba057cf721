"""Whisper through faster-whisper and CTranslate2, with windows as short as the speech in them.

faster-whisper pads every window to 30 s, and the encoder pays for all of it. CTranslate2 takes shorter ones,
and a decode gets about three times cheaper, but in a window that ends right after the speech the model loses its
place and repeats itself. So each size of the model has a measured padding (``LADDERS``), and an answer that
runs in circles is decoded again in a longer window, up to the 30 s that the model was trained with.

Stateless: windows in, hypotheses out. Windows of about the same length are decoded together.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from media_server.engines.base import (
    RECOGNIZER_RATE,
    Capabilities,
    Hypothesis,
    Output,
    Recognition,
    RecognizeRequest,
)
from media_server.engines.log_mel import HOP, LogMel, Samples, samples_of
from media_server.engines.whisper_languages import from_whisper, pairs_into_english, to_whisper
from media_server.engines.whisper_text import cut_loop, join, runs_in_circles, segments_of, token_budget

WINDOW_FRAMES = 3000  # frames of 10 ms in the longest window, 30 s
BATCH_CPU = 8  # eight short windows together take half the time of eight alone; sixteen gain nothing more
BATCH_GPU = 16
SIMILAR = 1.3  # windows are decoded together while the longest is at most so many times the shortest
POSITIONS = 448  # tokens that the decoder can hold, prompt and answer
PROMPT_TOKENS = 64  # names and terms beyond this are not read: every token of them costs time in every decode


@dataclass(frozen=True, slots=True)
class Rung:
    """One try: silence added to the speech, answers followed at a time, and how much chance picks the tokens."""

    padding_s: float
    beam: int = 1
    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class Ladder:
    """The tries for partial and final windows, in order."""

    partial: tuple[Rung, ...]
    final: tuple[Rung, ...]


FULL = Rung(30.0)
LAST = Rung(30.0, temperature=0.2)
LADDERS = {
    "base": Ladder((Rung(2, beam=2), Rung(6)), (Rung(4, beam=5), Rung(6), FULL, LAST)),
    "tiny.en": Ladder((Rung(6, beam=2), FULL), (Rung(6, beam=5), FULL, LAST)),
}
"""A size that is not here is used as it was trained. Measured with `base`: a beam of 2 takes 1 % more time than none,
one of 5 takes 14 %, and together they halve the word errors of the live path in noise (6.6 to 3.3 %)."""
UNMEASURED = Ladder((FULL,), (Rung(30.0, beam=5), LAST))


@dataclass(frozen=True, slots=True)
class _Attempt:
    hypothesis: Hypothesis
    believed: bool


@dataclass(slots=True)
class _Work:
    """One request on its way up the ladder."""

    samples: Samples
    seconds: float
    rungs: tuple[Rung, ...]
    prompt: list[int]
    language: str | None
    wants_probability: bool
    candidates: frozenset[str]
    open: list[Output]
    detected: str = ""
    probability: float = 1.0
    tried: int = 0
    answers: dict[Output, list[_Attempt]] = field(default_factory=dict)

    @property
    def rung(self) -> Rung:
        return self.rungs[self.tried]

    @property
    def frames(self) -> int:
        """Length of the window that the next try needs, in frames of 10 ms, even."""
        return min(WINDOW_FRAMES, int(np.ceil((self.seconds + self.rung.padding_s) * 50)) * 2)

    def settle(self, output: Output, attempt: _Attempt) -> None:
        """Keeps an answer. Windows of different length that agree are believed: people repeat themselves."""
        earlier = self.answers.setdefault(output, [])
        agreed = any(other.hypothesis.text == attempt.hypothesis.text for other in earlier)
        earlier.append(attempt)
        if attempt.believed or agreed:
            self.open.remove(output)

    def best(self, output: Output, language: str) -> Hypothesis:
        attempts = self.answers[output]
        if output not in self.open:
            return attempts[-1].hypothesis
        chosen = max(
            (attempt.hypothesis for attempt in attempts), key=lambda hypothesis: hypothesis.avg_logprob
        )
        text = cut_loop(chosen.text, language)
        return Hypothesis(text, (), chosen.avg_logprob, chosen.no_speech_prob)


class FasterWhisperRecognizer:
    """A Whisper model in a folder; ``size`` ("base") picks its padding, by default from the folder's name."""

    def __init__(
        self,
        model_dir: str,
        device: str = "cpu",
        compute_type: str = "int8",
        threads: int = 1,
        size: str = "",
    ) -> None:
        self._folder = Path(model_dir)
        self._device = device
        self._compute_type = compute_type
        self._threads = threads
        self._size = size or self._folder.name.partition("whisper-")[2] or self._folder.name
        self._ladder = LADDERS.get(self._size, UNMEASURED)

    def load(self) -> Capabilities:
        for name in ("model.bin", "tokenizer.json"):
            if not (self._folder / name).is_file():
                raise FileNotFoundError(f"Whisper {self._size} has no {name} in {self._folder}")
        import ctranslate2
        import faster_whisper
        from faster_whisper.transcribe import Tokenizer, get_suppressed_tokens

        whisper = faster_whisper.WhisperModel(
            str(self._folder),
            device=self._device,
            compute_type=self._compute_type,
            cpu_threads=self._threads,
            local_files_only=True,
        )
        self._view: Any = ctranslate2.StorageView
        self._seed: Any = ctranslate2.set_random_seed
        self._model: Any = whisper.model
        self._on_cpu = self._model.device == "cpu"
        self._features = LogMel(self._model.n_mels)
        self._multilingual = bool(self._model.is_multilingual)
        self._token: Any = whisper.hf_tokenizer.token_to_id
        self._tokenizer: Any = Tokenizer(
            whisper.hf_tokenizer, self._multilingual, task="transcribe", language="en"
        )
        self._times_from: int = self._tokenizer.timestamp_begin
        self._suppressed = list(get_suppressed_tokens(self._tokenizer, [-1]))
        self._codes = frozenset(
            code
            for code in whisper.supported_languages
            if not self._multilingual or self._token(f"<|{code}|>")
        )
        self._languages = tuple(sorted(map(from_whisper, self._codes)))
        self._warm_up()
        return Capabilities(
            kind="recognize",
            name="faster-whisper",
            model=f"{self._size} {self._compute_type}",
            version=faster_whisper.__version__,
            licence="MIT",
            languages=self._languages,
            pairs=pairs_into_english(self._languages) if self._multilingual else (),
            batch=BATCH_CPU if self._on_cpu else BATCH_GPU,
        )

    def close(self) -> None:
        self._model.unload_model()

    def recognize(self, requests: list[RecognizeRequest]) -> list[Recognition]:
        started = time.perf_counter()
        works = [self._work(request) for request in requests]
        while pending := [work for work in works if work.open and work.tried < len(work.rungs)]:
            for group in _groups(pending):
                self._try(group)
        took = time.perf_counter() - started
        return [self._answer(request, work, took) for request, work in zip(requests, works, strict=True)]

    def _warm_up(self) -> None:
        """The first decode allocates; nobody's speech should wait for that."""
        self.recognize([RecognizeRequest(np.zeros(RECOGNIZER_RATE, np.int16), language="en")])

    def _work(self, request: RecognizeRequest) -> _Work:
        if request.language is not None and to_whisper(request.language) not in self._codes:
            raise ValueError(f"Whisper {self._size} does not know the language {request.language}")
        language = request.language if self._multilingual else "en"
        names = self._tokenizer.encode(" " + request.prompt.strip())[:PROMPT_TOKENS] if request.prompt else []
        outputs: list[Output] = ["transcript"]
        if "english" in request.outputs and self._multilingual and language != "en":
            outputs.append("english")
        audio = request.audio[: WINDOW_FRAMES * HOP]
        return _Work(
            samples=samples_of(audio),
            seconds=audio.size / RECOGNIZER_RATE,
            rungs=self._ladder.final if request.final else self._ladder.partial,
            prompt=[self._tokenizer.sot_prev, *names] if names else [],
            language=language,
            wants_probability=self._multilingual and (request.detect or language is None),
            candidates=frozenset(map(to_whisper, request.candidates)),
            open=outputs,
        )

    def _try(self, group: list[_Work]) -> None:
        """One window each of the same length, padded as the longest needs it, through encoder and decoder."""
        frames = max(work.frames for work in group)
        features = np.stack([self._features(work.samples, frames) for work in group])
        encoded = self._model.encode(self._view.from_array(features), to_cpu=False)
        self._detect(group, encoded)
        for output in ("transcript", "english"):
            rows = [row for row, work in enumerate(group) if output in work.open]
            if not rows:
                continue
            for row, attempt in zip(rows, self._generate(group, rows, encoded, output), strict=True):
                group[row].settle(output, attempt)
        for work in group:
            work.tried += 1

    def _detect(self, group: list[_Work], encoded: Any) -> None:
        if not any(work.wants_probability for work in group):
            return
        for work, ranked in zip(group, self._model.detect_language(encoded), strict=True):
            if not work.wants_probability:
                continue
            allowed = [
                (c.strip("<|>"), p)
                for c, p in ranked
                if not work.candidates or c.strip("<|>") in work.candidates
            ]
            code, work.probability = allowed[0] if allowed else (ranked[0][0], ranked[0][1])
            work.detected = from_whisper(code)
            work.wants_probability = False
            if work.language is None:
                work.language = work.detected
                if work.language == "en" and "english" in work.open:
                    work.open.remove("english")

    def _generate(self, group: list[_Work], rows: list[int], encoded: Any, output: Output) -> list[_Attempt]:
        chosen = [group[row] for row in rows]
        if self._on_cpu and len(rows) < len(group):
            encoded = self._view.from_array(np.ascontiguousarray(np.array(encoded)[rows]))
        elif len(rows) < len(group):
            chosen = group  # what lies on a GPU is not taken apart
        prompts = [work.prompt + self._start(work, output) for work in chosen]
        budget = max(token_budget(work.seconds, work.language or "en") for work in chosen)
        beam, temperature = chosen[0].rung.beam, chosen[0].rung.temperature
        self._seed(0)
        results = self._model.generate(
            encoded,
            prompts,
            beam_size=beam,
            # An answer may fill half of max_length, and prompt and answer together all of it.
            max_length=min(POSITIONS, max(2 * budget, budget + len(prompts[0]))),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            sampling_topk=0 if temperature else 1,
            sampling_temperature=temperature or 1.0,
        )
        attempts = [self._attempt(work, result, output) for work, result in zip(chosen, results, strict=True)]
        return attempts if len(chosen) == len(rows) else [attempts[row] for row in rows]

    def _start(self, work: _Work, output: Output) -> list[int]:
        """Start of transcript, language, task and the first time token."""
        if not self._multilingual:
            return [self._tokenizer.sot, self._times_from]
        task = self._tokenizer.translate if output == "english" else self._tokenizer.transcribe
        return [
            self._tokenizer.sot,
            self._token(f"<|{to_whisper(work.language or 'en')}|>"),
            task,
            self._times_from,
        ]

    def _attempt(self, work: _Work, result: Any, output: Output) -> _Attempt:
        tokens: list[int] = result.sequences_ids[0]
        language = "en" if output == "english" else work.language or "en"
        segments = segments_of(tokens, self._times_from, self._tokenizer.decode, work.seconds)
        text = join(segments, language)
        # Scores are means over the answer; the token that ends it counts as one more.
        avg_logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
        spoken = sum(token < self._times_from for token in tokens)
        believed = not runs_in_circles(text, spoken, work.seconds, language)
        return _Attempt(Hypothesis(text, segments, avg_logprob, result.no_speech_prob), believed)

    def _answer(self, request: RecognizeRequest, work: _Work, took_s: float) -> Recognition:
        language = work.language or "en"
        transcript = work.best("transcript", language)
        english: Hypothesis | None = None
        if "english" in request.outputs:
            english = work.best("english", "en") if "english" in work.answers else None
            if language == "en":
                english = transcript
        return Recognition(
            transcript=transcript,
            language=language,
            language_probability=work.probability,
            detected=work.detected,
            english=english,
            took_s=took_s,
        )


def _groups(works: list[_Work]) -> list[list[_Work]]:
    """Windows that go together: searched alike, prompts of one length, lengths that are much the same."""

    def kind(work: _Work) -> tuple[int, float, int]:
        return (work.rung.beam, work.rung.temperature, len(work.prompt))

    groups: list[list[_Work]] = []
    for _, alike in itertools.groupby(sorted(works, key=kind), key=kind):
        for work in sorted(alike, key=lambda work: work.frames):
            if groups and kind(groups[-1][0]) == kind(work) and work.frames <= groups[-1][0].frames * SIMILAR:
                groups[-1].append(work)
            else:
                groups.append([work])
    return groups
