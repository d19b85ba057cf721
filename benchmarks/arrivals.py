"""Windows of many speakers, arriving in real time at a recognizer, and what became of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.material import Clip
from benchmarks.scoring import Errors, errors, quantile
from media_server.engines.base import RECOGNIZER_RATE, EngineSpec, RecognizeRequest
from media_server.engines.fleet import Fleet
from media_server.engines.registry import Plan
from media_server.errors import EngineError
from media_server.metrics import Metrics
from media_server.pipeline.interpreter import FINAL_DEADLINE_S, PARTIAL_DEADLINE_S

FIRST_S, EVERY_S = 0.48, 0.5  # what the live path asks at
SILENCE_S = 0.2  # after the last word, when the ending is asked for
REST_S = 1.0  # between two sentences of a speaker
READY_S = 120.0


@dataclass(frozen=True, slots=True)
class Arrival:
    at_s: float
    owner: str
    request: RecognizeRequest
    text: str
    """What is said in it, for finals."""


def arrivals(clips: Sequence[Clip], speakers: int, seconds: float, seed: int = 1) -> list[Arrival]:
    """The windows that ``speakers`` people ask for who say sentence after sentence, in order of time."""
    rng = np.random.default_rng(seed)
    found: list[Arrival] = []
    for number in range(speakers):
        at_s = float(rng.uniform(0.0, 2.0))
        place = int(rng.integers(len(clips)))
        while at_s < seconds:
            clip = clips[place % len(clips)]
            place += 1
            start, end = clip.voiced
            spoken_s = (end - start) / RECOGNIZER_RATE
            windows = [FIRST_S + EVERY_S * n for n in range(int((spoken_s - FIRST_S) / EVERY_S) + 1)]
            for until_s in windows:
                pcm = clip.pcm[start : start + round(until_s * RECOGNIZER_RATE)]
                request = RecognizeRequest(pcm, "en")
                found.append(Arrival(at_s + until_s, f"speaker {number}", request, ""))
            tail = end + round(SILENCE_S * RECOGNIZER_RATE)
            final = RecognizeRequest(np.pad(clip.pcm, (0, tail))[start:tail], "en", final=True)
            found.append(Arrival(at_s + spoken_s + SILENCE_S, f"speaker {number}", final, clip.text))
            at_s += spoken_s + REST_S
    return sorted((arrival for arrival in found if arrival.at_s < seconds), key=lambda one: one.at_s)


@dataclass(slots=True)
class Outcome:
    seconds: float
    answered: int = 0
    """Windows, within the time."""
    partial_s: list[float] = field(default_factory=list)
    final_s: list[float] = field(default_factory=list)
    """From asking to the answer."""
    finals_asked: int = 0
    errors: Errors = field(default_factory=Errors)

    @property
    def windows_per_s(self) -> float:
        return self.answered / self.seconds

    def partial_ms(self, share: float) -> float:
        return quantile(self.partial_s, share) * 1000 if self.partial_s else float("nan")


async def play(
    specs: Sequence[EngineSpec], gather_s: float, offered: Sequence[Arrival], seconds: float
) -> Outcome:
    """Offers the windows at their time to recognizers behind the server's own queue."""
    specs = [replace(spec, nice=0) for spec in specs]
    fleet = Fleet(Plan(recognize=tuple(specs), gather_s=gather_s), Metrics())
    await fleet.start()
    tasks: list[asyncio.Task[None]] = []
    outcome = Outcome(seconds)
    try:
        for host in fleet.recognizers:
            await host.wait_ready(READY_S)
        began = time.monotonic()

        async def ask(arrival: Arrival) -> None:
            deadline_s = FINAL_DEADLINE_S if arrival.request.final else PARTIAL_DEADLINE_S
            asked = time.monotonic()
            try:
                answer = await fleet.recognize(arrival.request, owner=arrival.owner, deadline_s=deadline_s)
            except EngineError:
                return
            now = time.monotonic()
            if now - began > seconds:
                return
            outcome.answered += 1
            (outcome.final_s if arrival.request.final else outcome.partial_s).append(now - asked)
            if arrival.request.final:
                outcome.errors += errors(arrival.text, answer.transcript.text)

        for arrival in offered:
            await asyncio.sleep(began + arrival.at_s - time.monotonic())
            outcome.finals_asked += arrival.request.final
            tasks.append(asyncio.create_task(ask(arrival)))
        await asyncio.sleep(began + seconds - time.monotonic())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await fleet.stop()
    return outcome
