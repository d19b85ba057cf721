"""Whisper through faster-whisper and CTranslate2, with windows as short as the speech in them.

faster-whisper pads every window to 30 s, and the encoder pays for all of it. CTranslate2 takes shorter ones,
and a decode gets about three times cheaper, but in a window that ends right after the speech the model loses its
place and repeats itself. So each size of the model has a measured padding (``LADDERS``), and an answer that
runs in circles is decoded again in a longer window, up to the 30 s that the model was trained with.

Stateless: windows in, hypotheses out. Windows of about the same length are decoded together.
"""

from __future__ import annotations

import time
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
from media_server.engines.log_mel import HOP, LogMel, samples_of
from media_server.engines.whisper_ladder import (
    LADDERS,
    SPEAKER_COSTS,
    UNMEASURED,
    WINDOW_FRAMES,
    Attempt,
    Work,
    groups,
)
from media_server.engines.whisper_languages import from_whisper, pairs_into_english, to_whisper
from media_server.engines.whisper_text import join, runs_in_circles, segments_of, token_budget

BATCH_CPU = (
    4  # four short windows together take half the time of four alone; more only make finals wait longer
)
BATCH_GPU = 16
BATCH_CPU_S = (
    16.0  # of speech: long windows take nearly as long together as singly, and all wait for the last
)
POSITIONS = 448  # tokens that the decoder can hold, prompt and answer
PROMPT_STEP = 16  # tokens
PROMPT_TOKENS = 64  # names and terms beyond this are not read: every token of them costs time in every decode


class FasterWhisperRecognizer:
    """A Whisper model in a folder; ``size`` ("base") picks its padding, by default from the folder's name.

    ``batch``: windows decoded together; 0 takes what pays on the device.
    """

    def __init__(
        self,
        model_dir: str,
        device: str = "cpu",
        compute_type: str = "int8",
        threads: int = 1,
        size: str = "",
        batch: int = 0,
    ) -> None:
        self._folder = Path(model_dir)
        self._device = device
        self._compute_type = compute_type
        self._threads = threads
        self._size = size or self._folder.name.partition("whisper-")[2] or self._folder.name
        self._batch = batch
        self.ladder = LADDERS.get(self._size, UNMEASURED)
        """The tries of a window; set by those who measure other paddings."""

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
            batch=self._batch or (BATCH_CPU if self._on_cpu else BATCH_GPU),
            batch_s=BATCH_CPU_S if self._on_cpu else 0.0,
            speaker_cost=SPEAKER_COSTS.get(self._size, 0.0) if self._on_cpu else 0.0,
        )

    def close(self) -> None:
        self._model.unload_model()

    def recognize(self, requests: list[RecognizeRequest]) -> list[Recognition]:
        started = time.perf_counter()
        works = [self._work(request) for request in requests]
        while pending := [work for work in works if work.open and work.tried < len(work.rungs)]:
            for group in groups(pending):
                self._try(group)
        took = time.perf_counter() - started
        return [self._answer(request, work, took) for request, work in zip(requests, works, strict=True)]

    def _warm_up(self) -> None:
        """The first decode allocates; nobody's speech should wait for that."""
        self.recognize([RecognizeRequest(np.zeros(RECOGNIZER_RATE, np.int16), language="en")])

    def _work(self, request: RecognizeRequest) -> Work:
        if request.language is not None and to_whisper(request.language) not in self._codes:
            raise ValueError(f"Whisper {self._size} does not know the language {request.language}")
        language = request.language if self._multilingual else "en"
        names = self._names(request.prompt) if request.prompt else []
        outputs: list[Output] = ["transcript"]
        if "english" in request.outputs and self._multilingual and language != "en":
            outputs.append("english")
        audio = request.audio[: WINDOW_FRAMES * HOP]
        return Work(
            samples=samples_of(audio),
            seconds=audio.size / RECOGNIZER_RATE,
            rungs=self.ladder.final if request.final else self.ladder.partial,
            prompt=[self._tokenizer.sot_prev, *names] if names else [],
            language=language,
            wants_probability=self._multilingual and (request.detect or language is None),
            candidates=frozenset(map(to_whisper, request.candidates)),
            open=outputs,
        )

    def _names(self, prompt: str) -> list[int]:
        """As many whole names as fit, said again up to a multiple of ``PROMPT_STEP``: equal lengths share a batch."""
        terms: list[list[int]] = []
        left = PROMPT_TOKENS
        for term in prompt.split(","):
            tokens: list[int] = self._tokenizer.encode(f" {term.strip()},") if term.strip() else []
            if tokens and len(tokens) <= left:
                terms.append(tokens)
                left -= len(tokens)
        flat = [token for term in terms for token in term]
        if not flat:
            return []
        length = len(flat) - len(flat) % -PROMPT_STEP
        return (flat * (length // len(flat) + 1))[-length:]

    def _try(self, group: list[Work]) -> None:
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

    def _detect(self, group: list[Work], encoded: Any) -> None:
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

    def _generate(self, group: list[Work], rows: list[int], encoded: Any, output: Output) -> list[Attempt]:
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

    def _start(self, work: Work, output: Output) -> list[int]:
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

    def _attempt(self, work: Work, result: Any, output: Output) -> Attempt:
        tokens: list[int] = result.sequences_ids[0]
        language = "en" if output == "english" else work.language or "en"
        segments = segments_of(tokens, self._times_from, self._tokenizer.decode, work.seconds)
        text = join(segments, language)
        # Scores are means over the answer; the token that ends it counts as one more.
        avg_logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
        spoken = sum(token < self._times_from for token in tokens)
        believed = not runs_in_circles(text, spoken, work.seconds, language)
        return Attempt(Hypothesis(text, segments, avg_logprob, result.no_speech_prob), believed)

    def _answer(self, request: RecognizeRequest, work: Work, took_s: float) -> Recognition:
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
