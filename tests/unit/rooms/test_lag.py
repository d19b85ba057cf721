"""The interpretation keeps up with somebody who never stops, in virtual time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from media_server.engines.fleet import Fleet
from media_server.metrics import Metrics
from media_server.pipeline.speak import MAX_SPEED
from media_server.rooms.channel import SKIPPED
from media_server.rooms.room import Room
from tests.support.virtual_loop import run
from tests.unit.rooms.fakes import FakeFleet, Listener, heard

LIMIT_S = 6.0
ENGINES_S = 0.9  # from the end of speech to its final


class Talk:
    """A private room whose member is spoken to in ``pace`` times the words that the speaker has time for."""

    def __init__(self, pace: float = 1.0) -> None:
        self.fleet = FakeFleet()
        self.fleet.pace = pace
        self.clock = asyncio.get_running_loop().time
        self.member = Listener("a", "es")
        self.metrics = Metrics()
        self.room = Room(
            "r", cast(Fleet, self.fleet), self.metrics, self.clock, private=True, speech_limit_s=LIMIT_S
        )
        self.room.join(self.member)
        self.said = 0

    async def say(self, seconds: float) -> None:
        """An utterance of ten words a second; its final comes when the engines are done with it."""
        self.said += 1
        name = f"u{self.said}"
        await asyncio.sleep(seconds)
        text = " ".join(["word"] * round(seconds * 10))
        final = replace(heard(text, name), end_ms=round(seconds * 1000))
        asyncio.get_running_loop().call_later(ENGINES_S, self.room.heard, "a", final, self.clock())

    async def end(self) -> None:
        await asyncio.sleep(60.0)
        await self.room.stop()

    @property
    def skipped(self) -> list[str]:
        return [caption.id for caption in self.member.finals if caption.note == SKIPPED]

    def lags_s(self) -> list[float]:
        return [lag.lag_ms / 1000 for lag in self.member.lags]


async def five_minutes(pace: float, seed: int = 1) -> Talk:
    talk = Talk(pace)
    lengths = random.Random(seed)
    while talk.clock() < 300:
        await talk.say(lengths.uniform(1.5, 7.0))
    await talk.end()
    return talk


@pytest.mark.parametrize("pace", [0.9, 1.0, 1.1, 1.2, 1.4, 1.8])
def test_five_minutes_without_a_break_are_heard_within_six_seconds_whatever_the_voices_pace(
    pace: float,
) -> None:
    talk = run(lambda: five_minutes(pace))
    lags = talk.lags_s()
    assert np.quantile(lags, 0.95) <= LIMIT_S
    assert len(lags) + len(talk.skipped) == talk.said, "what is not heard has its mark"
    assert len({caption.id for caption in talk.member.finals}) == talk.said
    if pace <= 1.0:
        assert talk.skipped == [], "it hurries before it leaves anything out"
    assert max(request.speed for request in talk.fleet.spoken) <= MAX_SPEED
    # Little more is left out than cannot be said in the time.
    shortest = max(0.0, 1.0 - MAX_SPEED / pace)
    assert len(talk.skipped) / talk.said <= shortest + 0.15


def test_somebody_who_pauses_is_interpreted_at_the_voices_own_pace() -> None:
    async def main() -> Talk:
        talk = Talk(1.1)
        for _ in range(20):
            await talk.say(4.0)
            await asyncio.sleep(2.0)
        await talk.end()
        return talk

    talk = run(main)
    assert {request.speed for request in talk.fleet.spoken} == {1.0}
    assert max(talk.lags_s()) == pytest.approx(ENGINES_S, abs=0.01)
    assert len(talk.fleet.spoken) == 20


def test_what_would_be_heard_too_late_is_left_out_and_its_caption_says_so() -> None:
    async def main() -> Talk:
        talk = Talk()
        await talk.say(20.0)
        await talk.say(1.0)
        await talk.say(2.0)
        await asyncio.sleep(20.0)
        await talk.say(1.0)
        await talk.end()
        return talk

    talk = run(main)
    assert talk.skipped == ["u2", "u3"]
    assert [lag.utterance for lag in talk.member.lags] == ["u1", "u4"]
    finals = [caption for caption in talk.member.finals if caption.id == "u2"]
    assert [caption.note for caption in finals] == ["", SKIPPED]
    assert finals[1].revision > finals[0].revision
    assert finals[1].translation


def test_other_speakers_that_a_listener_has_still_to_hear_count() -> None:
    async def main() -> Talk:
        talk = Talk()
        talk.member.queued_s = 9.0  # somebody else's interpretation plays
        await talk.say(1.0)
        await asyncio.sleep(3.0)
        assert talk.fleet.spoken == []
        talk.member.queued_s = 0.5
        await talk.end()
        return talk

    talk = run(main)
    assert len(talk.fleet.spoken) == 1
    assert talk.lags_s()[0] > 3.0


def test_slow_engines_alone_leave_nothing_out() -> None:
    async def main() -> Talk:
        talk = Talk()
        talk.room.heard("a", heard("it took them ten seconds", "slow"), talk.clock() - 10.0)
        await talk.end()
        return talk

    assert run(main).skipped == []


def test_a_voice_that_fails_under_merged_texts_is_said_in_each_caption() -> None:
    async def main() -> Talk:
        talk = Talk()
        await talk.say(6.0)
        talk.fleet.broken.add("speak")
        await talk.say(1.0)
        await talk.say(1.0)
        await talk.end()
        return talk

    talk = run(main)
    notes = {caption.id: caption.note for caption in talk.member.finals}
    assert notes["u3"] == "No voice could speak this."
    assert talk.metrics.speech_texts.labels("failed")._value.get() >= 1
