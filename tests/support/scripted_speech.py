"""Speech that carries its words in its samples, and engines that read them back: hearing without a model.

A word lasts WORD_MS at a level that is its number in the vocabulary. The recognizer behaves as the real one
does: it ends every window with a full stop, finishes words that are cut off with something else, and adds
time tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from media_server.engines.base import (
    Hypothesis,
    Pcm,
    Recognition,
    RecognizeRequest,
    Segment,
    Turn,
    TurnRequest,
)

RATE = 16_000
WORD_MS = 320
STEP = 160  # samples, 10 ms
BASE = 1000  # level of word number 0
SPACING = 20


class Vocabulary:
    """Words by number; a word may carry the punctuation after it ("home.")."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def say(self, text: str, word_ms: int = WORD_MS) -> Pcm:
        """The words one after the other."""
        return np.concatenate([self._tone(word, word_ms) for word in text.split()])

    def _tone(self, word: str, word_ms: int) -> Pcm:
        if word not in self._words:
            self._words.append(word)
        level = BASE + SPACING * self._words.index(word)
        # A dip at the end of each word tells two equal ones apart.
        voiced = np.full(word_ms * RATE // 1000 - STEP, level, np.int16)
        return np.concatenate([voiced, np.full(STEP, 600, np.int16)])

    def read(self, audio: Pcm) -> list[tuple[str, int, bool]]:
        """(word, sample at which it ends, whether it was heard to its end)."""
        steps = audio[: len(audio) // STEP * STEP].reshape(-1, STEP)
        found: list[tuple[str, int, bool]] = []
        current, length = -1, 0
        for number, step in enumerate([*steps, np.zeros(STEP, np.int16)]):
            level = int(np.median(step))
            index = round((level - BASE) / SPACING) if level >= BASE - SPACING // 2 else -1
            if index == current:
                length += 1
                continue
            if current >= 0 and length >= 6:
                found.append((self._words[current], number * STEP, level == 600))
            current, length = index, 1
        return found


class LevelDetector:
    """Speech is what is loud."""

    def probability(self, frame: Pcm) -> float:
        return 0.9 if float(np.abs(frame.astype(np.int32)).mean()) > 300 else 0.02

    def reset(self) -> None:
        pass


@dataclass(slots=True)
class ScriptedEngines:
    """``recognize`` and ``judge`` for a VirtualCall; what is said of the answers can be changed between
    calls."""

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    language: str = "en"
    probability: float = 0.95
    logprob: float = -0.2
    no_speech: float = 0.05
    turn: float = 0.97
    took_s: float = 0.1
    segments: bool = True
    requests: list[RecognizeRequest] = field(default_factory=list)
    turns: list[TurnRequest] = field(default_factory=list)

    def recognize(self, request: RecognizeRequest) -> Recognition:
        self.requests.append(request)
        text, segments = self._text(request.audio)
        english = None
        if "english" in request.outputs:
            english = Hypothesis(
                " ".join(f"en-{word}" for word in text.split()), (), self.logprob, self.no_speech
            )
        hypothesis = Hypothesis(text, segments if self.segments else (), self.logprob, self.no_speech)
        language = request.language or self.language
        detected = self.language if request.detect or request.language is None else ""
        probability = self.probability if detected else 1.0
        return Recognition(hypothesis, language, probability, detected, english, self.took_s)

    def judge(self, request: TurnRequest) -> Turn:
        self.turns.append(request)
        return Turn(self.turn)

    def _text(self, audio: Pcm) -> tuple[str, tuple[Segment, ...]]:
        words: list[str] = []
        segments: list[Segment] = []
        start, since = 0.0, 0
        heard = self.vocabulary.read(audio)
        for number, (word, end, whole) in enumerate(heard):
            last = number == len(heard) - 1
            words.append(word if whole else word.rstrip(".,?!") + "xyz")
            if last and words[-1][-1] not in ".?!":
                words[-1] = words[-1].rstrip(",") + "."
            if words[-1][-1] in ".?!":
                segments.append(Segment(" ".join(words[since:]), start, end / RATE))
                start, since = end / RATE, len(words)
        return " ".join(words), tuple(segments)
