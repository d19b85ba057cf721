"""Scores count what they say they count."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.numbers import in_words, spell
from benchmarks.scoring import Calm, Errors, align, calm, errors, quantile, words_of


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("€4.90 to €6.30.", "four euros ninety to six euros thirty"),
        ("31st of December", "thirty-first of december"),
        ("page 112", "page one hundred and twelve"),
        ("1,800 parcels", "eighteen hundred parcels"),
        ("26 years", "twenty six years"),
        ("2 lemons", "two lemons"),
        ("at 9:00", "at nine"),
        ("in 1984", "in one thousand nine hundred eighty four"),
        ("Dr. Alvarez, it's fine", "doctor alvarez its fine"),
        ("the 2nd chapter", "the second chapter"),
    ],
)
def test_numbers_and_short_forms_are_compared_as_spoken(written: str, spoken: str) -> None:
    assert words_of(written) == words_of(spoken)


def test_numbers_that_follow_each_other_stay_apart() -> None:
    assert " ".join(words_of("one two three, twenty twenty, nineteen eighty four")) == (
        "one two three twenty twenty nineteen eighty four"
    )
    assert " ".join(words_of("bread and two lemons, one hundred and then some")) == (
        "bread and two lemons one hundred and then some"
    )


@given(st.integers(0, 999_999_999))
def test_a_number_is_the_same_in_digits_and_in_words(value: int) -> None:
    assert list(spell([str(value)])) == in_words(value).split() == list(spell(in_words(value).split()))


def test_errors_are_counted_by_kind() -> None:
    assert errors("a b c d", "a x c") == Errors(substituted=1, deleted=1, inserted=0, words=4)
    assert errors("a b", "a b c").inserted == 1
    assert (errors("a b", "a b") + errors("a b", "")).rate == 0.5
    assert errors("", "something").rate == 1.0


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_an_alignment_holds_every_word_once_in_order(truth: list[str], answer: list[str]) -> None:
    pairs = align(truth, answer)
    assert [i for i, _ in pairs if i is not None] == list(range(len(truth)))
    assert [j for _, j in pairs if j is not None] == list(range(len(answer)))


def test_withdrawn_words_are_counted_once_and_punctuation_is_not() -> None:
    partials = [("Hello", 0), ("Hello word", 0), ("Hello word", 0), ("Hello, world and", 12)]
    assert calm(partials, "Hello, world, and all.") == Calm(shown=4, withdrawn=1, rewrites=0)


def test_changes_of_committed_text_are_rewrites() -> None:
    assert calm([("Hello word", 10), ("Hello world", 11)], "Hello world").rewrites == 1
    assert calm([("Hello", 5)], "Yellow").rewrites == 1


def test_quantiles_lie_between_neighbours() -> None:
    assert quantile([3, 1, 2, 4], 0.5) == 2.5
    assert quantile([1], 0.9) == 1
    assert math.isnan(quantile([], 0.5))
