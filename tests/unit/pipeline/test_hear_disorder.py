"""Hearing under engines that answer late, out of order, wrongly or not at all: what holds whatever happens."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from media_server.engines.base import Hypothesis, Recognition, RecognizeRequest
from media_server.events import Heard, Lost, Speaking
from media_server.pipeline.hear import DecodeJob, Hearing, HearOutput, HearSettings, TurnJob
from tests.support.scripted_speech import LevelDetector, ScriptedEngines

TEXTS = (
    "we tested the pump for two weeks and it never stopped.",
    "yes.",
    "my colleague would like to add something here. and then we go on without a break for a while",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen",
)


class Disorder:
    """Plays talk with pauses of all lengths; answers come when and how chance has it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.engines = ScriptedEngines(language=self.rng.choice(["en", "es"]))
        self.hearing = Hearing(
            HearSettings(),
            speaker="ann",
            language=self.rng.choice(["es", None]),
            english=self.rng.random() < 0.5,
            has_turn=self.rng.random() < 0.7,
            detector=LevelDetector(),
        )
        self.now = 0.0
        self.waiting: list[tuple[float, DecodeJob | TurnJob]] = []
        self.outputs: list[HearOutput] = []

    def run(self) -> list[HearOutput]:
        for _ in range(6):
            self._play(self.engines.vocabulary.say(self.rng.choice(TEXTS)))
            self._play(np.zeros(int(self.rng.choice([0.0, 0.1, 0.3, 0.6, 1.5]) * 16_000), np.int16))
            if self.rng.random() < 0.1:
                self._take(self.hearing.flush(self.now))
            if self.rng.random() < 0.1:
                self._take(self.hearing.skip(self.rng.choice([20, 700, 5000]), self.now))
            self.engines.turn = self.rng.random()
            self.engines.logprob = self.rng.uniform(-1.2, -0.1)
        self._take(self.hearing.flush(self.now))
        self._answer(until=float("inf"))
        return self.outputs

    def _play(self, pcm: np.ndarray[tuple[int], np.dtype[np.int16]]) -> None:
        for offset in range(0, len(pcm), 320):
            self.now += 0.02
            self._answer(self.now)
            self._take(self.hearing.feed(pcm[offset : offset + 320], self.now))

    def _take(self, outputs: list[HearOutput]) -> None:
        for output in outputs:
            self.outputs.append(output)
            if isinstance(output, DecodeJob | TurnJob):
                self.waiting.append((self.now + self.rng.choice([0.05, 0.15, 0.4, 2.0]), output))

    def _answer(self, until: float) -> None:
        while due := [entry for entry in self.waiting if entry[0] <= until]:
            entry = self.rng.choice(due)
            self.waiting.remove(entry)
            job = entry[1]
            if isinstance(job, DecodeJob) and not job.wanted():
                assert self.hearing.on_failed(job.id, "superseded", False, self.now) == []
            elif self.rng.random() < 0.1:
                self._take(self.hearing.on_failed(job.id, "gone", self.rng.random() < 0.7, self.now))
            elif isinstance(job, TurnJob):
                self._take(self.hearing.on_turn(job.id, self.engines.judge(job.request), self.now))
            else:
                self._take(self.hearing.on_decoded(job.id, self._decoded(job.request), self.now))

    def _decoded(self, request: RecognizeRequest) -> Recognition:
        right = self.engines.recognize(request)
        if self.rng.random() < 0.8:
            return right
        words = right.transcript.text.split()
        self.rng.shuffle(words)
        text = " ".join(words[: self.rng.randint(0, len(words))])
        return replace(right, transcript=Hypothesis(text, (), right.transcript.avg_logprob, 0.1))


@pytest.mark.parametrize("seed", range(40))
def test_captions_keep_their_promises_whatever_the_engines_do(seed: int) -> None:
    disorder = Disorder(seed)
    outputs = disorder.run()
    ended: set[str] = set()
    latest: dict[str, Heard] = {}
    order: list[int] = []
    speaking = False
    for output in outputs:
        match output:
            case Heard():
                assert output.utterance not in ended
                before = latest.get(output.utterance)
                assert 0 <= output.committed <= len(output.text)
                assert 0 <= output.english_committed <= len(output.english or "")
                assert output.start_ms <= output.end_ms
                if before is not None:
                    assert output.revision == before.revision + 1
                    assert output.text.startswith(before.text[: before.committed])
                    assert (output.english or "").startswith(
                        (before.english or "")[: before.english_committed]
                    )
                latest[output.utterance] = output
                if output.final:
                    ended.add(output.utterance)
                    order.append(output.start_ms)
            case Lost():
                assert output.utterance not in ended
                ended.add(output.utterance)
                order.append(output.start_ms)
            case Speaking():
                assert output.on is not speaking
                speaking = output.on
            case DecodeJob():
                assert len(output.request.audio) <= 14 * 16_000
            case _:
                pass
    assert set(latest) <= ended  # no caption is left hanging
    assert order == sorted(order)
    assert not speaking
    assert not disorder.hearing.busy
