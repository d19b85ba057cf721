"""Runs a Hearing in virtual time: sound goes in every 20 ms, engines answer after the time their work
takes."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from media_server.engines.base import Pcm, Recognition, RecognizeRequest, Turn, TurnRequest
from media_server.events import Anticipated, Heard, Lost, Speaking
from media_server.pipeline.hear import DecodeJob, Hearing, HearOutput, TurnJob

CHUNK_MS = 20
CHUNK = 320  # samples

type Recognize = Callable[[RecognizeRequest], Recognition]
type Judge = Callable[[TurnRequest], Turn]


@dataclass(frozen=True, slots=True)
class At:
    """An output and when it came, in seconds of the sound."""

    time: float
    output: HearOutput


@dataclass(slots=True)
class Call:
    """What came out of a run."""

    log: list[At] = field(default_factory=list)
    decode_s: float = 0.0
    decodes: int = 0
    unwanted: int = 0
    longest_window_s: float = 0.0

    def heard(self) -> list[tuple[float, Heard]]:
        return [(at.time, at.output) for at in self.log if isinstance(at.output, Heard)]

    def finals(self) -> list[tuple[float, Heard]]:
        return [(time, heard) for time, heard in self.heard() if heard.final]

    def anticipated(self) -> list[tuple[float, Heard]]:
        return [(at.time, at.output.heard) for at in self.log if isinstance(at.output, Anticipated)]

    def lost(self) -> list[Lost]:
        return [at.output for at in self.log if isinstance(at.output, Lost)]

    def speaking(self) -> list[Speaking]:
        return [at.output for at in self.log if isinstance(at.output, Speaking)]

    @property
    def text(self) -> str:
        return " ".join(heard.text for _, heard in self.finals() if heard.text)


class VirtualCall:
    """One speaker, one recognizer that works on one window at a time (urgent ones first), one turn
    detector."""

    def __init__(
        self, hearing: Hearing, recognize: Recognize, judge: Judge | None, turn_s: float = 0.03
    ) -> None:
        self.hearing = hearing
        self.call = Call()
        self.crowded = False
        """More people speak than there are recognizers."""
        self._recognize = recognize
        self._judge = judge
        self._turn_s = turn_s
        self._now = 0.0
        self._waiting: list[tuple[int, int, DecodeJob]] = []
        self._busy = False
        self._due: list[tuple[float, int, Callable[[float], list[HearOutput]]]] = []
        self._order = itertools.count()

    def play(self, pcm: Pcm) -> None:
        """Feeds sound at the pace of speech."""
        for offset in range(0, len(pcm), CHUNK):
            self._advance(self._now + CHUNK_MS / 1000)
            self._act(self.hearing.feed(pcm[offset : offset + CHUNK], self._now))

    def silence(self, seconds: float) -> None:
        self.play(np.zeros(int(seconds * 16_000), np.int16))

    def settle(self, seconds: float = 60.0) -> Call:
        """Lets engines answer, without more sound, until nothing is due."""
        limit = self._now + seconds
        while self._due and self._due[0][0] <= limit:
            self._advance(self._due[0][0])
        return self.call

    def flush(self) -> None:
        self._act(self.hearing.flush(self._now))

    def _advance(self, to: float) -> None:
        while self._due and self._due[0][0] <= to:
            time, _, answer = heapq.heappop(self._due)
            self._now = max(self._now, time)
            self._act(answer(self._now))
        self._now = max(self._now, to)

    def _act(self, outputs: list[HearOutput]) -> None:
        for output in outputs:
            self.call.log.append(At(self._now, output))
            if isinstance(output, DecodeJob):
                heapq.heappush(self._waiting, (0 if output.urgent else 1, next(self._order), output))
            elif isinstance(output, TurnJob):
                self._turn(output)
        self._decode()

    def _turn(self, job: TurnJob) -> None:
        assert self._judge is not None
        turn = self._judge(job.request)
        self._later(self._turn_s, lambda now: self.hearing.on_turn(job.id, turn, now))

    def _decode(self) -> None:
        if self._busy:
            return
        while self._waiting:
            _, _, job = heapq.heappop(self._waiting)
            if job.wanted():
                break
            self.call.unwanted += 1
            assert self.hearing.on_failed(job.id, "superseded", False, self._now) == []
        else:
            return
        result = self._recognize(job.request)
        self.call.decodes += 1
        self.call.decode_s += result.took_s
        self.call.longest_window_s = max(self.call.longest_window_s, len(job.request.audio) / 16_000)
        self._busy = True

        def answer(now: float) -> list[HearOutput]:
            self._busy = False
            return self.hearing.on_decoded(job.id, result, now, crowded=self.crowded)

        self._later(result.took_s, answer)

    def _later(self, seconds: float, answer: Callable[[float], list[HearOutput]]) -> None:
        heapq.heappush(self._due, (self._now + seconds, next(self._order), answer))
