"""Agreement: what is committed never changes, and hypotheses find their place behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_server.pipeline.agree import Agreement, aligned, words_of

WORDS = st.sampled_from(
    [
        "and",
        "And,",
        "so",
        "so.",
        "my",
        "fellow",
        "Americans",
        "americans.",
        "ask!",
        "not",
        "-",
        "¿qué",
        "世界",
        "…",
    ]
)
HYPOTHESES = st.lists(st.lists(WORDS, max_size=9).map(" ".join), max_size=12)


def keys(text: str) -> list[str]:
    return [word.key for word in words_of(text)]


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert keys('"Don\'t, please!" - ÉTÉ 4.90') == ["dont", "please", "été", "490"]


def test_scripts_without_spaces_are_compared_character_by_character() -> None:
    assert keys("你好,世界。") == ["你", "好", "世", "界"]
    agreement = Agreement()
    agreement.update("你好,世")
    agreement.update("你好,世界。")
    assert agreement.committed == "你好,世"
    assert agreement.text == "你好,世界。"


def test_a_word_is_committed_when_two_hypotheses_in_a_row_have_it_at_the_same_place() -> None:
    agreement = Agreement()
    agreement.update("and so my yellow")
    assert (agreement.committed, agreement.text) == ("", "and so my yellow")
    agreement.update("And so, my fellow Americans")
    assert agreement.committed == "And so, my"
    assert agreement.text == "And so, my fellow Americans"


def test_the_full_stop_of_a_window_that_ends_in_mid_sentence_is_not_committed() -> None:
    agreement = Agreement()
    agreement.update("And so.")
    agreement.update("And so.")
    assert (agreement.committed, agreement.text) == ("And so", "And so.")
    agreement.update("And so, my fellow.")
    assert agreement.text == "And so, my fellow."


def test_held_back_words_are_neither_shown_nor_committed() -> None:
    agreement = Agreement()
    agreement.update("ask not wha", hold_back=1)
    agreement.update("ask not what", hold_back=1)
    assert (agreement.committed, agreement.text) == ("ask not", "ask not")


def test_words_that_nobody_can_have_said_in_the_time_are_held_back() -> None:
    agreement = Agreement()
    agreement.update("I would like", hold_back=1, most_new=4)
    agreement.update("I would like to say that he is a very good friend", hold_back=1, most_new=2)
    assert agreement.text == "I would like to say"


def test_a_hypothesis_that_is_not_sure_of_its_language_is_shown_only() -> None:
    agreement = Agreement()
    agreement.update("con la mundo", commit=False)
    agreement.update("con la mundo", commit=False)
    assert (agreement.committed, agreement.text) == ("", "con la mundo")


def test_a_final_that_disagrees_with_committed_words_keeps_them_and_is_aligned_for_the_rest() -> None:
    agreement = Agreement()
    for _ in range(2):
        agreement.update("the price went up from four years")
    assert agreement.finished("The prize went from four euros ninety to six.") == (
        "the price went up from four years ninety to six."
    )


def test_a_final_that_lost_its_first_words_is_aligned_all_the_same() -> None:
    agreement = Agreement()
    for _ in range(2):
        agreement.update("ask not what your country")
    assert agreement.finished("what your country can do") == "ask not what your country can do"


def test_a_sentence_ends_where_two_hypotheses_agree_on_its_full_stop() -> None:
    agreement = Agreement()
    agreement.update("He went home. And then")
    agreement.update("He went home. And then she")
    assert agreement.place(["he", "went", "home"], following=1) == 3
    assert agreement.sentence_ends(3)
    text, rest = agreement.split(3)
    assert text == "He went home."
    assert (rest.committed, rest.text) == ("And then", "And then she")
    rest.update("And then she left.")
    assert rest.text == "And then she left."


def test_a_full_stop_in_one_hypothesis_alone_ends_no_sentence() -> None:
    agreement = Agreement()
    agreement.update("He went home, and then")
    agreement.update("He went home. And then she")
    assert not agreement.sentence_ends(3)
    assert agreement.sentence_ends(3, agreed=1)


@pytest.mark.parametrize("text", ["I met Dr. Alvarez at", "at nine a.m. we went", "Mr. Smith and I"])
def test_an_abbreviation_ends_no_sentence(text: str) -> None:
    agreement = Agreement()
    for _ in range(2):
        agreement.update(text)
    assert not any(agreement.sentence_ends(count) for count in range(1, agreement.words + 1))


def test_a_shortened_window_is_aligned_with_the_words_it_still_holds() -> None:
    agreement = Agreement()
    for _ in range(2):
        agreement.update("I have read it, and I do")
    count = agreement.place(["i", "have", "read", "it"], following=1)
    assert count == 4
    agreement.trim(count)
    agreement.update("And I do not")
    agreement.update("And I do not agree.")
    assert agreement.committed == "I have read it, and I do not"
    assert agreement.finished("And I do not agree.") == "I have read it, and I do not agree."


def test_words_whose_end_is_not_committed_have_no_place() -> None:
    agreement = Agreement()
    for _ in range(2):
        agreement.update("I have read")
    assert agreement.place(["i", "have", "read"], following=1) is None
    assert agreement.place(["i", "have", "bread"], following=0) is None
    assert agreement.place([], following=0) is None


def test_a_settled_translation_goes_on_behind_itself() -> None:
    agreement = Agreement()
    agreement.update("I read it")
    agreement.settle("I have read it.")
    assert agreement.committed == agreement.text == "I have read it."
    agreement.update("And I do not agree")
    assert agreement.text == "I have read it. And I do not agree"


def test_the_prefix_with_the_smallest_distance_stands_for_the_committed_words() -> None:
    assert aligned(["a", "b", "c"], ["a", "b", "c", "d"]) == 3
    assert aligned(["a", "b", "c"], ["x", "b", "c", "d"]) == 3
    assert aligned(["a", "b", "c"], ["home", "a", "b", "c", "d"]) == 4
    assert aligned(["a", "b", "c"], ["c", "d"]) == 1
    assert aligned(["a"], []) == 0


def test_an_agreement_about_what_follows_does_not_say_committed_words_again() -> None:
    agreement = Agreement()
    for _ in range(2):
        agreement.update("I have read it and I do not")
    agreement.trim(4)
    text, rest = agreement.part()
    assert text == "I have read it and I do not"
    rest.update("And I do not agree")
    rest.update("And I do not agree with")
    assert (rest.committed, rest.text) == ("agree", "agree with")


def test_what_is_steady_ends_where_the_text_may_be_split() -> None:
    agreement = Agreement()
    for _ in range(2):
        agreement.update("He went home. And then she left. So")
    assert agreement.text[: agreement.steady] == "He went home."
    _, rest = agreement.split(3)
    assert rest.text[: rest.steady] == "And then she left."


@given(HYPOTHESES, st.integers(0, 2), st.lists(st.booleans(), min_size=12, max_size=12))
def test_committed_text_is_the_start_of_every_later_text(
    hypotheses: list[str], hold_back: int, commit: list[bool]
) -> None:
    agreement = Agreement()
    committed = steady = ""
    for text, sure in zip(hypotheses, commit, strict=False):
        agreement.update(text, hold_back, most_new=4 if sure else None, commit=sure)
        assert agreement.committed.startswith(committed)
        assert agreement.text.startswith(agreement.committed)
        assert agreement.text.startswith(steady)
        committed, steady = agreement.committed, agreement.text[: agreement.steady]
        assert committed.startswith(steady)
    for last in [*hypotheses, ""]:
        assert agreement.finished(last).startswith(committed)


@given(HYPOTHESES, st.integers(1, 6))
def test_a_split_loses_no_word_and_says_none_twice(hypotheses: list[str], where: int) -> None:
    agreement = Agreement()
    for text in hypotheses:
        agreement.update(text)
    if agreement.words < where:
        return
    whole = agreement.committed
    first, rest = agreement.split(where)
    assert keys(first) + keys(rest.committed) == keys(whole)
    assert len(keys(first)) == where
    assert rest.words == len(keys(rest.committed))
