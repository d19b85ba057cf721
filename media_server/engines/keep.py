"""Glossary terms survive translation, whichever engine translates. Pure.

A text with terms is translated twice at once: as it is, and with a number in the place of each term, since engines
hand numbers on. The first answer that has every term (or every number, which the term then replaces) as often as the
text is taken. Where neither has, the pieces between the terms are translated by themselves and the terms put between
them. So no term is lost and no number of ours is ever seen.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence

from media_server.glossary import Glossary, Term

_FIRST, _STEP = 7301, 13
"""Four digits: fewer are often written as words, more get separators."""
_ENDS = ".!?…。！？।"
_NO_SPACE_BEFORE = ",;:.!?…)]}»”’%。，！？、"
_NO_SPACE_AFTER = "([{«“¿¡"


class Kept:
    """One text on its way into ``target``: its ``variants`` are to be translated, if need be its ``pieces``."""

    def __init__(self, text: str, glossary: Glossary, target: str) -> None:
        self._text = text
        self._found = _matches(text, glossary)
        self._wanted = [term.into(target) for _, term in self._found]
        self._numbers = _numbers(text, self._wanted)

    def __bool__(self) -> bool:
        """Whether there is any term in it."""
        return bool(self._found)

    @property
    def variants(self) -> tuple[str, str]:
        """The text, and the text with numbers."""
        marked, at = "", 0
        for (match, _), wanted in zip(self._found, self._wanted, strict=True):
            marked += self._text[at : match.start()] + self._numbers[wanted]
            at = match.end()
        return self._text, marked + self._text[at:]

    def settled(self, answers: Sequence[str]) -> str | None:
        """The translation made of the answers to ``variants``; None where terms were lost in both."""
        plain, marked = answers
        counts = Counter(self._wanted)
        if all(_count(plain, wanted) >= often for wanted, often in counts.items()) and not self._strays(
            plain
        ):
            return plain
        if any(_count(marked, self._numbers[wanted]) != often for wanted, often in counts.items()):
            return None
        by_number = {number: wanted for wanted, number in self._numbers.items()}
        restored = re.sub("|".join(by_number), lambda match: by_number[match[0]], marked)
        return None if self._strays(restored) else restored

    @property
    def pieces(self) -> tuple[str, ...]:
        """What stands before, between and behind the terms: one more than there are terms, some may be empty."""
        edges = [0, *(edge for match, _ in self._found for edge in match.span()), len(self._text)]
        return tuple(self._text[edges[at] : edges[at + 1]].strip() for at in range(0, len(edges), 2))

    def joined(self, answers: Sequence[str]) -> str:
        """The translations of ``pieces`` with the terms between them."""
        parts = [_fitted(piece, answer) for piece, answer in zip(self.pieces, answers, strict=True)]
        text = parts[0]
        for wanted, part in zip(self._wanted, parts[1:], strict=True):
            text = _spaced(_spaced(text, wanted), part)
        return text

    def _strays(self, answer: str) -> bool:
        """Whether a number of ours is still to be seen."""
        return any(number in answer for number in self._numbers.values())


def put_back(said: str, translation: str, glossary: Glossary, target: str) -> str:
    """A translation that came without its text (a recognizer's own), with what it lost of the terms in ``said``."""
    return " ".join(
        [translation, *(f"({term})" for term in missing_terms(said, translation, glossary, target))]
    )


def missing_terms(said: str, translation: str, glossary: Glossary, target: str) -> list[str]:
    """The terms of ``said``, as they are in ``target``, that the translation lacks; each once."""
    wanted = dict.fromkeys(term.into(target) for _, term in _matches(said, glossary))
    return [term for term in wanted if not _count(translation, term)]


def _matches(text: str, glossary: Glossary) -> list[tuple[re.Match[str], Term]]:
    if not glossary:
        return []
    pattern, terms = _pattern(glossary)
    return [
        (match, terms[match[0].casefold()])
        for match in pattern.finditer(text)
        if match[0].casefold() in terms
    ]


@functools.lru_cache(maxsize=64)
def _pattern(glossary: Glossary) -> tuple[re.Pattern[str], dict[str, Term]]:
    """Finds any term, the longest first, in any case; what it found, casefolded, gives the term."""
    terms = {term.text.casefold(): term for term in glossary.terms}
    longest_first = sorted((term.text for term in glossary.terms), key=len, reverse=True)
    return re.compile("|".join(_whole(text) for text in longest_first), re.IGNORECASE), terms


def _whole(text: str) -> str:
    """A pattern for a text that is no part of a longer word, in scripts that put spaces between words."""
    before = r"(?<!\w)" if _spells(text[0]) else ""
    after = r"(?!\w)" if _spells(text[-1]) else ""
    return f"{before}{re.escape(text)}{after}"


def _spells(character: str) -> bool:
    """Whether words of this character's script stand apart: not so Thai, Lao, Khmer, Burmese, Chinese, Japanese."""
    wide = (
        "\u0e00" <= character <= "\u0eff"
        or "\u1000" <= character <= "\u109f"
        or "\u1780" <= character <= "\u17ff"
    )
    return character.isalnum() and not wide and not "\u2e80" <= character <= "\ufaff"


def _count(text: str, wanted: str) -> int:
    return len(re.findall(_whole(wanted), text))


def _numbers(text: str, wanted: Sequence[str]) -> dict[str, str]:
    """A number for every term, none that the text or a term has anything of."""
    taken = " ".join((text, *wanted))
    numbers: dict[str, str] = {}
    candidate = _FIRST
    for term in dict.fromkeys(wanted):
        while str(candidate) in taken:
            candidate += _STEP
        numbers[term] = str(candidate)
        candidate += _STEP
    return numbers


def _fitted(piece: str, answer: str) -> str:
    """A piece's translation without what an engine adds because it takes the piece for a sentence."""
    answer = answer.strip()
    if piece and piece[-1] not in _ENDS:
        answer = answer.rstrip(_ENDS)
    if piece[:1].islower() and answer[1:2].islower():
        answer = answer[0].lower() + answer[1:]
    return answer


def _spaced(left: str, right: str) -> str:
    if not left or not right:
        return left + right
    tight = right[0] in _NO_SPACE_BEFORE or left[-1] in _NO_SPACE_AFTER
    return f"{left}{right}" if tight else f"{left} {right}"
