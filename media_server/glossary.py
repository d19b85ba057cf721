"""Names and terms that should be heard right and survive translation.

On the wire a glossary is a list, by ``{"type": "glossary", "terms": [...]}`` or as ``"glossary": [...]`` in a
``config``. An entry is a string, which is to stay as it is in every language, or
``{"term": "Board of Trade", "translation": {"es": "Cámara de Comercio"}}``, which is to stay as it is in all but
those. The setting ``GLOSSARY`` holds a server's own entries: ``Aoife, Board of Trade=es:Cámara de Comercio``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from media_server.errors import BadRequest, ConfigError
from media_server.languages import language_code

MOST_TERMS = 200
LONGEST_TERM = 64  # characters, of a translation as well
MOST_TRANSLATIONS = 20  # of a term
LONGEST_PROMPT = 400  # characters: a recognizer reads some 64 tokens, and each costs time in every decode


@dataclass(frozen=True, slots=True)
class Term:
    """One entry: how it is spelled, and how it is said in the languages where that differs."""

    text: str
    translations: tuple[tuple[str, str], ...] = ()
    """(language code, text), the code in lower case."""

    def into(self, target: str) -> str:
        """The term in ``target`` (ISO 639-1): as it is unless the entry says otherwise."""
        return dict(self.translations).get(target, self.text)


@dataclass(frozen=True, slots=True)
class Glossary:
    """Terms in the order of their importance, none twice."""

    terms: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def prompt(self) -> str:
        """What a recognizer is told to expect: "Aoife, Niamh". The first terms, as far as they fit."""
        text = ""
        for term in self.terms:
            longer = f"{text}, {term.text}" if text else term.text
            if len(longer) > LONGEST_PROMPT:
                break
            text = longer
        return text

    def joined(self, other: Glossary) -> Glossary:
        """These terms, then those of ``other`` that are not among them. At most ``MOST_TERMS``."""
        return Glossary(_unique([*self.terms, *other.terms])[:MOST_TERMS])


EMPTY = Glossary()


def parse(value: object) -> Glossary:
    """A glossary from JSON. BadRequest, INVALID_GLOSSARY or GLOSSARY_TOO_LARGE, that names the entry's number."""
    if not isinstance(value, list):
        raise _invalid("The glossary should be a list of terms.")
    if len(value) > MOST_TERMS:
        raise BadRequest(f"The glossary should have at most {MOST_TERMS} terms.", code="GLOSSARY_TOO_LARGE")
    return Glossary(_unique(_term(entry, f"Term {number}") for number, entry in enumerate(value, 1)))


def from_setting(entries: Iterable[str]) -> Glossary:
    """Entries like ``Aoife`` and ``Board of Trade=es:Cámara de Comercio|fr:...``; ConfigError with words."""
    items: list[object] = []
    for entry in entries:
        term, _, rest = entry.partition("=")
        translations: dict[str, str] = {}
        for part in filter(None, rest.split("|")):
            code, _, text = part.partition(":")
            translations[code.strip()] = text
        items.append({"term": term, "translation": translations})
    try:
        return parse(items)
    except BadRequest as error:
        raise ConfigError(f"GLOSSARY: {error.message}") from None


def _term(entry: object, name: str) -> Term:
    if isinstance(entry, str):
        return Term(_text(entry, name))
    if not isinstance(entry, dict):
        raise _invalid(f'{name} should be a text or {{"term", "translation"}}.')
    translation: Any = entry.get("translation")
    if translation is None:
        translation = {}
    if not isinstance(translation, Mapping):
        raise _invalid(f"{name}: translation should be an object, a text for each language code.")
    if len(translation) > MOST_TRANSLATIONS:
        raise BadRequest(
            f"{name} should have at most {MOST_TRANSLATIONS} translations.", code="GLOSSARY_TOO_LARGE"
        )
    return Term(
        _text(entry.get("term"), name),
        tuple(
            (_code(code, name), _text(text, f"{name}, its translation")) for code, text in translation.items()
        ),
    )


def _text(value: object, name: str) -> str:
    """One line without edges; no characters that only steer a screen."""
    if not isinstance(value, str):
        raise _invalid(f"{name} should be a text.")
    text = " ".join(value.split())
    if not any(character.isalnum() for character in text):
        raise _invalid(f"{name} should have a letter or a digit.")
    if len(text) > LONGEST_TERM:
        raise BadRequest(f"{name} should have at most {LONGEST_TERM} characters.", code="GLOSSARY_TOO_LARGE")
    if any(unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"} for character in text):
        raise _invalid(f"{name} holds characters that are no text.")
    return text


def _code(value: object, name: str) -> str:
    try:
        code = language_code(value, name)
    except BadRequest:
        code = None
    if code is None or code == "auto":
        raise _invalid(f"{name}: translation should be an object, a text for each language code.")
    return code


def _unique(terms: Iterable[Term]) -> tuple[Term, ...]:
    found: dict[str, Term] = {}
    for term in terms:
        found.setdefault(term.text.casefold(), term)
    return tuple(found.values())


def _invalid(message: str) -> BadRequest:
    return BadRequest(message, code="INVALID_GLOSSARY")
