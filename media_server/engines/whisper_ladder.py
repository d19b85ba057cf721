"""The tries that a window gets, and requests on their way through them.

A window that ends right after the speech is the cheapest, and makes Whisper lose its place. Each size of the model
has its measured padding; an answer that is not believed gets a longer window, up to the 30 s it was trained with.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from media_server.engines.base import Hypothesis, Output
from media_server.engines.log_mel import Samples
from media_server.engines.whisper_text import cut_loop

WINDOW_FRAMES = 3000  # frames of 10 ms in the longest window, 30 s
PASS_FRAMES = (
    900  # a pass of the decoder costs as much as encoding so many frames, `base` and `tiny.en` alike
)


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
SPEAKER_COSTS = {"base": 0.25, "tiny.en": 0.165}
"""Seconds of one thread of a usual core for a second of a speaker, partials and finals."""
UNMEASURED = Ladder((FULL,), (Rung(30.0, beam=5), LAST))


@dataclass(frozen=True, slots=True)
class Attempt:
    hypothesis: Hypothesis
    believed: bool


@dataclass(slots=True)
class Work:
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
    answers: dict[Output, list[Attempt]] = field(default_factory=dict)

    @property
    def rung(self) -> Rung:
        return self.rungs[self.tried]

    @property
    def frames(self) -> int:
        """Length of the window that the next try needs, in frames of 10 ms, even."""
        return min(WINDOW_FRAMES, int(np.ceil((self.seconds + self.rung.padding_s) * 50)) * 2)

    def settle(self, output: Output, attempt: Attempt) -> None:
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


def groups(works: Sequence[Work]) -> list[list[Work]]:
    """Windows that go together: searched alike, prompts of one length, padded to the longest of their group.

    Each group costs one pass of the decoder (``PASS_FRAMES``), each window the encoding of its group's length; the
    split with the lowest sum is taken.
    """

    def kind(work: Work) -> tuple[int, float, int]:
        return (work.rung.beam, work.rung.temperature, len(work.prompt))

    found: list[list[Work]] = []
    for _, alike in itertools.groupby(sorted(works, key=kind), key=kind):
        found += _split(sorted(alike, key=lambda work: work.frames))
    return found


def _split(works: Sequence[Work]) -> list[list[Work]]:
    """The cheapest split of windows in the order of their lengths."""
    best: list[tuple[int, int]] = [(0, 0)]
    """For the first so many windows: the lowest cost, and where the last group of that split begins."""
    for end in range(1, len(works) + 1):
        best.append(
            min(
                (best[start][0] + PASS_FRAMES + (end - start) * works[end - 1].frames, start)
                for start in range(end)
            )
        )
    cuts = [len(works)]
    while cuts[-1]:
        cuts.append(best[cuts[-1]][1])
    return [list(works[start:end]) for start, end in itertools.pairwise(reversed(cuts))]
