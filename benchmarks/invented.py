"""Words heard where nobody speaks: generated non-speech through the hearing pipeline in virtual time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from benchmarks.scoring import words_of
from media_server.engines.base import RECOGNIZER_RATE, Pcm, Recognizer, TurnDetector
from media_server.events import Heard
from media_server.pipeline.hear import DecodeJob, Hearing, HearOutput, HearSettings, TurnJob

CHUNK = RECOGNIZER_RATE // 50  # 20 ms, as it comes from a call
ANSWER_S = 0.1  # virtual time that an engine takes


@dataclass(slots=True)
class Invented:
    seconds: float = 0.0
    decodes: int = 0
    words: Counter[str] = field(default_factory=Counter)
    """By kind of sound: words of finals."""

    @property
    def total(self) -> int:
        return self.words.total()


class VirtualListener:
    """A pipeline whose engines answer ``ANSWER_S`` of virtual time after they are asked."""

    def __init__(
        self, recognizer: Recognizer, turns: TurnDetector | None, language: str | None = "en"
    ) -> None:
        self._recognizer = recognizer
        self._turns = turns
        self._hearing = Hearing(
            HearSettings(), speaker="bench", language=language, has_turn=turns is not None
        )
        self._asked: deque[tuple[float, DecodeJob | TurnJob]] = deque()
        self._now = 0.0
        self.decodes = 0

    def listen(self, pcm: Pcm) -> Iterator[Heard]:
        """Finals, as they come."""
        for start in range(0, pcm.size, CHUNK):
            chunk = pcm[start : start + CHUNK]
            self._now += chunk.size / RECOGNIZER_RATE
            yield from self._sort(self._hearing.feed(chunk, self._now))
            while self._asked and self._asked[0][0] <= self._now:
                yield from self._answer(self._asked.popleft()[1])

    def flush(self) -> Iterator[Heard]:
        yield from self._sort(self._hearing.flush(self._now))
        while self._asked:
            yield from self._answer(self._asked.popleft()[1])

    def _answer(self, job: DecodeJob | TurnJob) -> Iterator[Heard]:
        if isinstance(job, DecodeJob):
            self.decodes += 1
            (result,) = self._recognizer.recognize([job.request])
            yield from self._sort(self._hearing.on_decoded(job.id, result, self._now))
        elif self._turns is not None:
            yield from self._sort(self._hearing.on_turn(job.id, self._turns.turn(job.request), self._now))

    def _sort(self, outputs: Iterable[HearOutput]) -> Iterator[Heard]:
        for output in outputs:
            match output:
                case DecodeJob() | TurnJob():
                    self._asked.append((self._now + ANSWER_S, output))
                case Heard(final=True):
                    yield output
                case _:
                    pass


def invented(
    sound: Iterable[tuple[str, Pcm]], recognizer: Recognizer, turns: TurnDetector | None
) -> Invented:
    """Listens to all of it as one call; words count for the kind of sound in which their final came."""
    listener = VirtualListener(recognizer, turns)
    found = Invented()
    kind = ""
    for kind, pcm in sound:
        found.seconds += pcm.size / RECOGNIZER_RATE
        for heard in listener.listen(pcm):
            found.words[kind] += len(words_of(heard.text))
    for heard in listener.flush():
        found.words[kind] += len(words_of(heard.text))
    found.decodes = listener.decodes
    return found
