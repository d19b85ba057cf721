"""Names and terms: what is taken, what is refused, and what the recognizer is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_server import config, glossary
from media_server.errors import BadRequest, ConfigError
from media_server.glossary import LONGEST_PROMPT, LONGEST_TERM, MOST_TERMS, Glossary, Term


def test_an_entry_is_a_text_or_a_term_with_its_translations() -> None:
    found = glossary.parse(
        ["Aoife", {"term": "Board  of Trade ", "translation": {"es-MX": "Cámara de Comercio"}}]
    )
    assert found.terms == (Term("Aoife"), Term("Board of Trade", (("es", "Cámara de Comercio"),)))
    assert found.terms[1].into("es") == "Cámara de Comercio"
    assert found.terms[1].into("fr") == "Board of Trade"


def test_a_term_counts_once_and_the_first_spelling_wins() -> None:
    assert glossary.parse(["Aoife", "AOIFE", "Niamh"]).terms == (Term("Aoife"), Term("Niamh"))
    own = glossary.parse(["niamh", "Cork"])
    assert glossary.parse(["Niamh"]).joined(own).terms == (Term("Niamh"), Term("Cork"))


def test_no_terms_are_a_glossary_too() -> None:
    assert not glossary.parse([])
    assert glossary.EMPTY.prompt() == ""


def test_the_recognizer_is_told_whole_terms_and_not_more_than_it_reads() -> None:
    assert glossary.parse(["Aoife", {"term": "Niamh"}]).prompt() == "Aoife, Niamh"
    many = glossary.parse([f"Name number {number}" for number in range(MOST_TERMS)]).prompt()
    assert LONGEST_PROMPT - LONGEST_TERM <= len(many) <= LONGEST_PROMPT
    assert many.split(", ")[-1].startswith("Name number ")


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        (None, "INVALID_GLOSSARY", "list"),
        ("Aoife", "INVALID_GLOSSARY", "list"),
        ({"term": "Aoife"}, "INVALID_GLOSSARY", "list"),
        (["Aoife", 5], "INVALID_GLOSSARY", "Term 2"),
        (["Aoife", ""], "INVALID_GLOSSARY", "Term 2"),
        (["..."], "INVALID_GLOSSARY", "letter"),
        (["a\x00b"], "INVALID_GLOSSARY", "Term 1"),
        (["a\ud800b"], "INVALID_GLOSSARY", "Term 1"),
        ([{"translation": {"es": "x"}}], "INVALID_GLOSSARY", "Term 1"),
        ([{"term": "a", "translation": "x"}], "INVALID_GLOSSARY", "translation"),
        ([{"term": "a", "translation": {"<b>": "x"}}], "INVALID_GLOSSARY", "language code"),
        ([{"term": "a", "translation": {"auto": "x"}}], "INVALID_GLOSSARY", "language code"),
        ([{"term": "a", "translation": {"es": ["x"]}}], "INVALID_GLOSSARY", "its translation"),
        (["x" * (LONGEST_TERM + 1)], "GLOSSARY_TOO_LARGE", "characters"),
        (["x"] * (MOST_TERMS + 1), "GLOSSARY_TOO_LARGE", "terms"),
        (
            [{"term": "a", "translation": {f"{a}{b}": "x" for a in "abcde" for b in "abcde"}}],
            "GLOSSARY_TOO_LARGE",
            "translations",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_entry_and_the_reason(
    value: object, code: str, words: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        glossary.parse(value)
    assert caught.value.code == code
    assert words in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["term", "translation", "es", "x"]), inner, max_size=4)
    ),
)


@given(JSON)
def test_any_json_is_taken_or_refused_with_words(value: object) -> None:
    try:
        found = glossary.parse(value)
    except BadRequest:
        return
    assert isinstance(found, Glossary)
    assert len(found.prompt()) <= LONGEST_PROMPT
    assert all(term.text and len(term.text) <= LONGEST_TERM for term in found.terms)


def test_the_servers_own_terms_are_a_setting() -> None:
    settings = config.load({"GLOSSARY": "Aoife, Board of Trade=es:Cámara de Comercio|fr: Chambre"})
    assert glossary.from_setting(settings.glossary).terms == (
        Term("Aoife"),
        Term("Board of Trade", (("es", "Cámara de Comercio"), ("fr", "Chambre"))),
    )
    with pytest.raises(ConfigError, match=r"GLOSSARY: Term 1"):
        config.load({"GLOSSARY": "Aoife=:x"})
