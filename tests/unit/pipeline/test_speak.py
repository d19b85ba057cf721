"""How far the interpretation may lag: what is merged, hurried and left out. And which text begins with which piece."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media_server.pipeline.speak import (
    MAX_SPEED,
    MERGED_CHARACTERS,
    Beginnings,
    SpeechLag,
    Turn,
    Waiting,
)

NOW = 100.0


def waiting(age_s: float, characters: int = 40) -> Waiting:
    """It came here as soon as it had been said."""
    return Waiting(NOW - age_s, NOW - age_s, characters)


def turn(*texts: Waiting, behind_s: float = 0.0) -> Turn:
    return SpeechLag(limit_s=6.0).turn(texts, NOW, behind_s)


def test_one_text_that_need_not_wait_is_spoken_at_the_voices_own_pace() -> None:
    assert turn(waiting(0.0)) == Turn(0, 1, 1.0)
    assert turn(waiting(0.0, 400), behind_s=1.0) == Turn(0, 1, 1.0)


def test_texts_that_wait_are_spoken_as_one_and_faster_the_more_there_is() -> None:
    two = turn(waiting(1.0, 20), waiting(0.5, 20))
    four = turn(waiting(4.0, 10), waiting(3.0, 10), waiting(2.0, 10), waiting(1.5, 10))
    assert (two.take, four.take) == (2, 4)
    assert 1.0 < two.speed < four.speed <= MAX_SPEED


def test_no_more_is_merged_than_a_listener_can_take_in() -> None:
    texts = [waiting(0.1, MERGED_CHARACTERS // 4) for _ in range(10)]
    merged = SpeechLag(limit_s=60.0).turn(texts, NOW, 0.0)
    assert merged.take == 4
    assert merged.skip == 0


def test_what_would_be_heard_too_late_is_left_out_oldest_first() -> None:
    assert turn(waiting(9.0), waiting(7.0), waiting(2.0)) == Turn(2, 1, turn(waiting(2.0)).speed)
    assert turn(waiting(5.5), behind_s=1.0).skip == 1


def test_the_newest_text_is_spoken_however_long_the_engines_took() -> None:
    slow = Waiting(ended_at_s=NOW - 30.0, came_at_s=NOW, characters=40)
    assert turn(slow) == Turn(0, 1, 1.0)
    assert turn(slow, slow).skip == 1


def test_the_voices_own_pace_is_learned() -> None:
    lag = SpeechLag(limit_s=6.0)
    texts = [waiting(0.1, 20), waiting(0.1, 20)]
    assert lag.turn(texts, NOW, 0.0).speed < 1.2
    for _ in range(20):
        lag.spoke(10, 3.0, 1.0)  # Chinese, say
    assert lag.turn(texts, NOW, 0.0).speed == MAX_SPEED


def test_talk_without_a_break_is_spoken_as_much_faster_as_it_needs_and_other_talk_is_not() -> None:
    for pause_s, speed in ((0.0, 1.2), (2.0, 1.0)):
        lag = SpeechLag(limit_s=6.0)
        lag.spoke(100, 6.0, 1.0)
        at = 0.0
        for _ in range(8):
            lag.arrived(at, at + 5.0, 100)  # six seconds of interpretation for five of speech
            at += 5.0 + pause_s
        assert abs(lag.turn([Waiting(at, at, 100)], at, 0.0).speed - speed) < 0.01
    once = SpeechLag(limit_s=6.0)
    once.spoke(100, 6.0, 1.0)
    once.arrived(0.0, 1.0, 100)
    assert once.turn([Waiting(1.0, 1.0, 100)], 1.0, 0.0).speed == 1.0


def test_lag_runs_out_as_time_goes_on() -> None:
    lag = SpeechLag(limit_s=6.0)
    lag.queued(2.0, 10.0)
    assert lag.lag_s(11.0) == 1.0
    assert lag.lag_s(30.0) == 0.0
    lag.queued(1.0, 30.0)
    assert lag.lag_s(30.0) == 1.0


@given(
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 5), st.integers(0, 400)), min_size=1, max_size=12),
    st.floats(0, 30),
)
def test_every_turn_gets_on_and_stays_within_its_bounds(
    texts: list[tuple[float, float, int]], behind_s: float
) -> None:
    ages = sorted(texts, reverse=True)
    line = [Waiting(NOW - age - took, NOW - age, characters) for age, took, characters in ages]
    made = SpeechLag(limit_s=6.0).turn(line, NOW, behind_s)
    assert made.skip + made.take >= 1
    assert made.skip + made.take <= len(line)
    assert 1.0 <= made.speed <= MAX_SPEED


def test_a_text_begins_with_the_piece_in_which_its_first_letter_is() -> None:
    beginnings = Beginnings(["Good morning. How are", "you? Fine", "Thank you."])
    assert list(beginnings.of("Good morning.")) == [0]
    assert list(beginnings.of("")) == []
    assert list(beginnings.of("How are you?")) == [1]
    assert list(beginnings.of("Fine Thank you.")) == [2]
    assert list(beginnings.of("")) == []


def test_a_voice_that_does_not_say_what_it_speaks_begins_with_the_first_text() -> None:
    beginnings = Beginnings(["one", "two"])
    assert list(beginnings.of("")) == [0]
    assert list(beginnings.of("one two")) == [1]
