"""From tokens to segments, and the guard against loops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_server.engines.whisper_languages import from_whisper, pairs_into_english, to_whisper
from media_server.engines.whisper_text import (
    cut_loop,
    join,
    loop_start,
    runs_in_circles,
    segments_of,
    token_budget,
    units,
)

FIRST = 1000  # first time token; smaller ones are words here


def decode(tokens: list[int]) -> str:
    return "".join(f" w{token}" for token in tokens)


def test_segments_lie_between_time_tokens() -> None:
    segments = segments_of([FIRST, 1, 2, FIRST + 50, FIRST + 60, 3, FIRST + 100], FIRST, decode, 5.0)
    assert [(s.text, s.start_s, s.end_s) for s in segments] == [("w1 w2", 0.0, 1.0), ("w3", 1.2, 2.0)]


def test_a_segment_left_open_ends_with_the_window() -> None:
    segments = segments_of([FIRST, 1, FIRST + 50, FIRST + 50, 2], FIRST, decode, 1.5)
    assert [(s.text, s.start_s, s.end_s) for s in segments] == [("w1", 0.0, 1.0), ("w2", 1.0, 1.5)]


def test_times_do_not_go_past_the_window_and_empty_segments_are_left_out() -> None:
    segments = segments_of([FIRST, FIRST + 10, 1, FIRST + 900], FIRST, decode, 2.0)
    assert [(s.text, s.end_s) for s in segments] == [("w1", 2.0)]


@given(st.lists(st.one_of(st.integers(0, 50), st.integers(FIRST, FIRST + 1500)), max_size=40))
def test_no_word_is_lost_and_times_are_within_the_window(tokens: list[int]) -> None:
    segments = segments_of(tokens, FIRST, decode, 10.0)
    assert join(segments, "en").split() == [f"w{token}" for token in tokens if token < FIRST]
    assert all(0 <= s.start_s <= s.end_s <= 10.0 for s in segments)


@pytest.mark.parametrize(
    "text",
    [
        "no, no, no, no.",
        "Ask not what your country can do for you, ask what you can do for your country.",
        "one two three four five six seven eight nine ten",
        "bye bye. bye bye. see you",
        "",
    ],
)
def test_what_people_say_is_believed(text: str) -> None:
    assert not runs_in_circles(text, len(text.split()), 4.0, "en")


@pytest.mark.parametrize(
    "text",
    [
        "I will go to the market " * 3,
        "you you you you you you you you",
        "and then we said that it was so, but then we said that it was, and then we said that it is",
    ],
)
def test_loops_are_not_believed(text: str) -> None:
    assert runs_in_circles(text, len(text.split()), 8.0, "en")


def test_more_tokens_than_anybody_can_say_are_not_believed() -> None:
    assert runs_in_circles("word", token_budget(1.0, "en"), 1.0, "en")
    assert not runs_in_circles("word", token_budget(1.0, "en"), 1.0, "hi")


def test_a_loop_is_cut_after_its_first_turn() -> None:
    assert (
        cut_loop("Well, we can go there, we can go there, we can go there, we", "en")
        == "Well, we can go there"
    )
    assert cut_loop("nothing repeats here", "en") == "nothing repeats here"
    assert cut_loop("はい、" * 8, "ja").startswith("はい")
    assert len(cut_loop("はい、" * 8, "ja")) < 6


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_cutting_keeps_a_beginning(letters: list[str]) -> None:
    text = " ".join(letters)
    cut = cut_loop(text, "en")
    assert text.startswith(cut)
    if loop_start(units(text, "en")) is None:
        assert cut == text


def test_languages_have_iso_codes() -> None:
    assert from_whisper("<|jw|>") == "jv"
    assert to_whisper("jv") == "jw"
    assert to_whisper("es") == from_whisper("es") == "es"
    assert {pair.source for pair in pairs_into_english(("en", "es"))} == {"es"}
