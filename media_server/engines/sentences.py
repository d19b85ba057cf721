"""Texts cut into sentences and clauses, in any script, and texts made fit for a voice. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

_ENDS = ".!?…。！？｡．।॥؟۔։።፧፨။។៕᙮᠃᠉꓿"
_WIDE_ENDS = "。！？｡．"  # no space follows them
_CLOSERS = re.escape("\"'”’»›)]}」』】〉》）］｣")
_END = re.compile(
    rf"[{_WIDE_ENDS}]+[{_CLOSERS}]*\s*"
    rf"|[{re.escape(_ENDS)}]+[{_CLOSERS}]*(?:\s+|$)"
    r"|\s*[\n\r\u2028\u2029]+\s*"
)
_CLAUSE = re.compile(r"[,;:،؛、，；：–—](?:\s+|(?<=[、，；：]))")
# Shortened words after which a sentence seldom ends, without their full stop; any single letter is one, too.
_SHORT = re.compile(
    r"mrs?|ms|dr|prof|st|sra?|srta|jr|vs|etc|e\.g|i\.e|cf|nr|n[uú]m|vol|fig|pp?|bzw|z\.b|d\.h|u\.a|usw"
    r"|mme|mlle|m|avda?|uds?|dott|sig|sig\.ra|art|cap|gen|col|sgt|capt|lt|rev|hon|inc|ltd|co"
)
_KEPT_FORMAT = "\u200c\u200d"  # joiners that shape letters
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2460-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d"
    "\ufe00-\ufe0f\U000e0000-\U000e01ef]+"
)


def clean(text: str) -> str:
    """Composed (NFC), line breaks as "\\n", without other control characters and without lone surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", "".join(map(_cleaned, text)))


def _cleaned(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc":
        return "\n" if character == "\n" else " "
    dropped = category in ("Cf", "Cs", "Co", "Cn") and character not in _KEPT_FORMAT
    return "" if dropped else character


def speakable(text: str) -> str:
    """What a voice can say of a text: cleaned, without emoji; empty when there is no word in it."""
    text = _EMOJI.sub(" ", clean(text))
    text = "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()
    return text if any(character.isalnum() for character in text) else ""


def sentences(text: str, longest: int = 400) -> Iterator[str]:
    """The sentences of a text, stripped, none empty, none longer than ``longest`` characters.

    A line break ends a sentence. Longer ones are cut at a clause mark, else at a space, else anywhere but
    before a combining mark. Joined they have every character of the text but white space.
    """
    start = 0
    for match in _END.finditer(text):
        if not _goes_on(text, start, match):
            yield from _bounded(text[start : match.end()].strip(), longest)
            start = match.end()
    yield from _bounded(text[start:].strip(), longest)


def what_follows(text: str, said: Iterable[str]) -> str:
    """The rest of a text of which these sentences (``sentences`` of what is speakable of it) have been said."""
    text = speakable(text)
    at = 0
    for sentence in said:
        if (found := text.find(sentence, at)) >= 0:
            at = found + len(sentence)
    return text[at:].strip()


def clause_cut(text: str, least: int, most: int) -> int:
    """Where a sentence may be cut after a clause mark, between ``least`` and ``most`` characters; 0:
    nowhere.
    """
    cuts = [match.end() for match in _CLAUSE.finditer(text) if least <= match.end() <= most]
    return cuts[0] if cuts else 0


def _goes_on(text: str, start: int, match: re.Match[str]) -> bool:
    """True when what looks like an end is none: "Dr. Smith", "J. F. Kennedy", "3. floor", "wait... what"."""
    mark = match.group().strip()
    if "\n" in match.group() or "\r" in match.group() or not mark or mark[-1] not in ".…":
        return False
    following = text[match.end() : match.end() + 1]
    if following.islower():
        return True
    if mark != ".":
        return False
    word = text[start : match.start()].rsplit(None, 1)[-1:] or [""]
    last = word[0].lstrip("\"'“‘«(¿¡[").casefold()
    return _SHORT.fullmatch(last) is not None or (
        len(last) == 1 and last.isalpha() and last not in ("i", "y", "o", "e", "a")
    )


def _bounded(sentence: str, longest: int) -> Iterator[str]:
    while len(sentence) > longest:
        cut = _latest(_CLAUSE, sentence, longest) or sentence.rfind(" ", longest // 4, longest) + 1
        if not cut:
            cut = longest
            while cut > 1 and unicodedata.combining(sentence[cut]):
                cut -= 1
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence


def _latest(pattern: re.Pattern[str], text: str, longest: int) -> int:
    ends = [match.end() for match in pattern.finditer(text, 0, longest)]
    return ends[-1] if ends and ends[-1] >= longest // 4 else 0
