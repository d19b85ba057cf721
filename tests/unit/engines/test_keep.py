"""Glossary terms survive whatever a translator does to them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_server.engines.keep import Kept, missing_terms, put_back
from media_server.glossary import Glossary, parse

GLOSSARY = parse(
    ["Aoife", "Board", {"term": "Board of Trade", "translation": {"es": "Cámara de Comercio"}}, "東京"]
)
type Translate = Callable[[str], str]


def translated(text: str, translate: Translate, glossary: Glossary = GLOSSARY) -> str:
    """As the fleet does it."""
    kept = Kept(text, glossary, "es")
    if not kept:
        return translate(text)
    settled = kept.settled([translate(variant) for variant in kept.variants])
    return settled if settled is not None else kept.joined([translate(piece) for piece in kept.pieces])


def deaf_to_capitals(text: str) -> str:
    """Leaves out every word that begins with a capital, hands numbers on."""
    return " ".join(word for word in text.split() if not word[0].isupper())


def deaf_to_numbers_too(text: str) -> str:
    return re.sub(r"\d+", "mucho", deaf_to_capitals(text))


def test_an_answer_that_has_every_term_is_taken_as_it_is() -> None:
    assert (
        translated("Aoife opened it.", lambda text: text.replace("opened it", "lo abrió"))
        == "Aoife lo abrió."
    )


def test_a_term_that_is_lost_comes_back_by_its_number() -> None:
    assert translated("the plan of Aoife works", deaf_to_capitals) == "the plan of Aoife works"


def test_a_term_is_given_as_the_glossary_says_and_the_longest_one_counts() -> None:
    said = translated("the Board of Trade and the board met", lambda text: text)
    assert said == "the Cámara de Comercio and the Board met"


def test_where_numbers_are_lost_as_well_the_text_is_translated_in_pieces() -> None:
    said = translated("we saw (Aoife), then the Board of Trade.", deaf_to_numbers_too)
    assert said == "we saw (Aoife), then the Cámara de Comercio."


def test_a_term_inside_another_word_is_none_but_scripts_without_spaces_have_no_words() -> None:
    assert not Kept("Aoifes and boarding", GLOSSARY, "es")
    assert Kept("私は東京に行く", GLOSSARY, "es")
    assert Kept("board!", GLOSSARY, "es")


def test_no_number_stands_for_a_term_that_the_text_has_already() -> None:
    kept = Kept("Aoife has 7301 and 7314.", GLOSSARY, "es")
    assert kept.variants[1] == "7327 has 7301 and 7314."


def test_what_a_recognizers_own_translation_lost_is_put_back() -> None:
    assert missing_terms("Habla Aoife.", "She speaks.", GLOSSARY, "en") == ["Aoife"]
    assert put_back("Habla Aoife.", "She speaks.", GLOSSARY, "en") == "She speaks. (Aoife)"
    assert put_back("Habla Aoife.", "Aoife speaks.", GLOSSARY, "en") == "Aoife speaks."


@pytest.mark.parametrize(
    "answer", ["", "7301", "7301 7301", "Aoife 7301", "7,301", "73 01", "Aoife", "aoife", "xAoife", "17301"]
)
@given(
    words=st.lists(st.sampled_from(["Aoife", "Board of Trade", "the", "opened.", "7301", "東京"]), min_size=1)
)
def test_no_term_is_ever_lost_and_no_number_ever_seen(answer: str, words: list[str]) -> None:
    text = " ".join(words)
    said = translated(text, lambda _: answer)
    kept = Kept(text, GLOSSARY, "es")
    for term in {"Aoife": "Aoife", "Board of Trade": "Cámara de Comercio", "東京": "東京"}.items():
        assert said.count(term[1]) >= text.count(term[0])
    if kept and "7301" not in text and "7301" not in answer:
        assert "7301" not in said
