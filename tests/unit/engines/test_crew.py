"""Hosts that share a line: who takes what, and when a window waits for company."""

from __future__ import annotations

import asyncio

from media_server.engines.crew import Arrivals, Crew
from media_server.engines.queue import Place


class Taker:
    """Takes one entry at a time while it is free."""

    def __init__(self, crew: Crew[Place]) -> None:
        self.usable = True
        self.free = True
        self.on_partials = False
        self.taken: list[Place] = []
        self.woken = asyncio.Event()
        self._crew = crew
        crew.join(self)

    def pump(self) -> None:
        if self.free and (taken := self._crew.line.take(1)):
            self.free = False
            self.taken += taken
            self.woken.set()


def test_what_one_host_was_given_another_takes_when_it_is_free() -> None:
    crew: Crew[Place] = Crew(8)
    first, second = Taker(crew), Taker(crew)
    entries = [Place("partial", owner) for owner in "abc"]
    for entry in entries:
        crew.put(entry, 0.0)
    crew.pump()
    assert (first.taken, second.taken) == (entries[:1], entries[1:2])
    second.free = True
    crew.pump()
    assert second.taken == entries[1:]


def test_a_newer_window_replaces_the_older_one_wherever_it_waits() -> None:
    crew: Crew[Place] = Crew(8)
    Taker(crew).free = False
    older, newer = Place("partial", "a"), Place("partial", "a")
    crew.put(older, 0.0)
    assert crew.put(newer, 0.5) == ([older], [])


def test_the_line_is_of_use_as_long_as_one_host_is() -> None:
    crew: Crew[Place] = Crew(8)
    first, second = Taker(crew), Taker(crew)
    first.usable = False
    assert crew.usable
    second.usable = False
    assert not crew.usable


def test_the_last_free_host_is_left_to_finals_while_another_works_on_partials() -> None:
    crew: Crew[Place] = Crew(8)
    first, second, third = Taker(crew), Taker(crew), Taker(crew)
    crew.put(Place("partial", "a"), 0.0)
    assert not crew.only_finals(first, 2)
    first.free, first.on_partials = False, True
    assert not crew.only_finals(second, 2)  # the third is free
    second.free, second.on_partials = False, False  # a final
    assert crew.only_finals(third, 2)
    first.on_partials = False
    assert not crew.only_finals(third, 2)  # nobody else would decode them
    first.on_partials = True
    assert crew.only_finals(third, 2)
    for owner in "cdef":
        crew.put(Place("partial", owner), 0.0)
    assert not crew.only_finals(third, 2)  # more than two batches wait
    assert crew.only_finals(third, 3)
    crew.put(Place("final", "b"), 0.0)
    assert not crew.only_finals(third, 2)


def steady(crew: Crew[Place], *owners: str) -> float:
    """Each owner asks every 500 ms, 20 ms after the one before; nothing waits afterwards. The next one's time."""
    for turn in range(3):
        for place, owner in enumerate(owners):
            crew.put(Place("partial", owner), turn * 0.5 + place * 0.02)
            crew.line.clear()
    return 1.5


async def test_a_lone_speakers_window_waits_for_nobody() -> None:
    crew: Crew[Place] = Crew(8, gather_s=0.04)
    now = steady(crew, "a")
    crew.put(Place("partial", "a"), now)
    assert not crew.gathers(8, now, now)


async def test_a_window_waits_while_another_speakers_is_about_to_come_and_no_longer() -> None:
    crew: Crew[Place] = Crew(8, gather_s=0.04)
    taker = Taker(crew)
    now = steady(crew, "a", "b")
    crew.put(Place("partial", "a"), now)
    assert crew.gathers(8, now, now)
    async with asyncio.timeout(10):
        await taker.woken.wait()  # pumped again, although nothing else has come
    crew.put(Place("partial", "a"), now)
    crew.put(Place("partial", "b"), now + 0.02)
    assert not crew.gathers(8, now, now + 0.02)
    crew.stop()


async def test_nothing_waits_while_a_final_does_nor_for_a_full_batch_nor_without_a_window() -> None:
    crew: Crew[Place] = Crew(8, gather_s=0.04)
    now = steady(crew, "a", "b")
    crew.put(Place("partial", "a"), now)
    assert not crew.gathers(1, now, now)
    crew.put(Place("final", "c"), now)
    assert not crew.gathers(8, now, now)
    eager: Crew[Place] = Crew(8)
    now = steady(eager, "a", "b")
    eager.put(Place("partial", "a"), now)
    assert not eager.gathers(8, now, now)


def test_a_speaker_who_stopped_is_not_waited_for() -> None:
    arrivals = Arrivals()
    for at in (0.0, 0.5, 1.0):
        arrivals.asked("a", at)
    assert arrivals.due(1.49, 1.53, ()) == 1.5
    assert arrivals.due(1.49, 1.53, ("a",)) is None
    assert arrivals.due(1.53, 1.57, ()) is None
    assert arrivals.due(3.0, 3.04, ()) is None
    arrivals.asked("a", 9.0)  # a new sentence: its pace is not known yet
    assert arrivals.due(9.49, 9.53, ()) is None


def test_it_is_crowded_while_more_people_ask_for_partials_than_there_are_hosts() -> None:
    crew: Crew[Place] = Crew(8)
    first, _ = Taker(crew), Taker(crew)
    for owner in "ab":
        crew.put(Place("partial", owner), 1.0)
        crew.put(Place("final", owner + "'s room"), 1.0)
    assert not crew.crowded(1.1)
    crew.put(Place("partial", "c"), 1.2)
    assert crew.crowded(1.3)
    crew.put(Place("partial", "a"), 3.1)  # b has been silent since
    assert not crew.crowded(3.1)
    first.usable = False
    assert crew.crowded(3.1)
