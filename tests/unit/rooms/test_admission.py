"""How many people may speak at once, from what the recognizers worked for those who do."""

from __future__ import annotations

import pytest

from media_server.rooms.admission import USUAL_COST, SpeechLoad, speakers_of_room, takes_more


def load(speakers: int, cost: float, *, recognizers: int = 4, seconds: int = 300) -> SpeechLoad:
    """As it is after so many seconds with so many speakers, each at that cost."""
    measured = SpeechLoad()
    for quarter in range(seconds * 4):
        measured.note(quarter / 4, quarter / 4 * speakers * cost, speakers, recognizers)
    return measured


def most(cost: float, recognizers: int, share: float) -> int:
    """How many come in one by one, each of them speaking."""
    speakers = 0
    while takes_more(speakers, 1, cost, recognizers, share):
        speakers += 1
    return speakers


@pytest.mark.parametrize(
    ("cost", "recognizers", "share", "people"),
    [(0.25, 1, 0.6, 2), (0.099, 1, 0.6, 6), (0.25, 4, 0.6, 9), (0.25, 1, 1.0, 4), (0.0499, 8, 0.6, 96)],
)
def test_as_many_are_taken_as_the_recognizers_can_follow(
    cost: float, recognizers: int, share: float, people: int
) -> None:
    assert most(cost, recognizers, share) == people


def test_however_slow_the_machine_two_may_speak() -> None:
    assert most(cost=9.0, recognizers=1, share=0.6) == 2
    assert most(cost=9.0, recognizers=3, share=0.1) == 2


def test_who_joins_people_of_a_full_server_brings_no_load_and_its_own_room_would() -> None:
    assert takes_more(2, 0, 0.25, 1, 0.6)
    assert not takes_more(2, 1, 0.25, 1, 0.6)


def test_people_in_a_room_take_turns_and_those_who_listen_do_not_count() -> None:
    listening, spoke, speaking = (False, False), (False, True), (True, True)
    assert speakers_of_room([]) == 0
    assert speakers_of_room([listening] * 9) == 0
    assert speakers_of_room([spoke] * 3 + [listening]) == 1
    assert speakers_of_room([speaking, spoke, listening]) == 1
    assert speakers_of_room([speaking, speaking, spoke]) == 2


def test_the_cost_of_a_speaker_is_learnt_and_forgotten() -> None:
    assert SpeechLoad().cost == USUAL_COST
    quick, slow = load(3, 0.05), load(3, 0.6)
    assert quick.cost < 0.1
    assert slow.cost > 0.5
    for quarter in range(1200, 3600):
        slow.note(quarter / 4, 299.75 * 3 * 0.6 + (quarter - 1199) / 4 * 3 * 0.1, 3, 4)
    assert slow.cost < 0.15


def test_a_short_look_changes_little() -> None:
    assert load(1, 1.0, seconds=2).cost == pytest.approx(USUAL_COST, rel=0.2)


def test_nothing_is_learnt_from_a_crowd_whose_partials_are_slowed_down() -> None:
    assert load(8, 0.03, recognizers=1).cost == USUAL_COST


def test_nothing_is_learnt_while_nobody_speaks() -> None:
    assert load(0, 0.0).cost == USUAL_COST
