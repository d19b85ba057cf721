"""Scores of recognized text, as pure functions.

Text is compared after this normalization, the same on both sides: lower case; currency signs and amounts written
out ("€4.90": "four euros ninety"); numbers in words, one way ("26", "twenty-six": "twenty six"; "31st"; "1,800",
"eighteen hundred": "one thousand eight hundred"); "Dr." and its kin written out; hyphens to spaces; no other
punctuation, no apostrophes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.numbers import spell

_CURRENCIES = {"€": "euros", "$": "dollars", "£": "pounds"}
_SHORT = {"dr": "doctor", "mr": "mister", "mrs": "missus", "st": "street", "ok": "okay"}


def words_of(text: str) -> list[str]:
    """The words of a text, normalized as the module says."""
    text = text.lower().replace("’", "'")
    text = re.sub(r"(\d),(\d{3})\b", r"\1\2", text)
    for sign, name in _CURRENCIES.items():
        text = re.sub(rf"\{sign}\s?(\d+)(?:\.(\d\d))?", rf"\1 {name} \2 ", text)
        text = re.sub(rf"(\d+)\.(\d\d)\s*(?:{name}|\{sign})", rf"\1 {name} \2", text)
    text = re.sub(r"(\d+)[.:]00\b", r"\1", text)
    text = text.replace("'", "")
    text = re.sub(r"[^\w\s]", " ", text, flags=re.UNICODE)
    return list(spell([_SHORT.get(word, word) for word in text.split()]))


@dataclass(frozen=True, slots=True)
class Errors:
    """What it takes to turn the answer into the truth; ``words`` is the length of the truth."""

    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    words: int = 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.substituted + other.substituted,
            self.deleted + other.deleted,
            self.inserted + other.inserted,
            self.words + other.words,
        )

    @property
    def wrong(self) -> int:
        return self.substituted + self.deleted + self.inserted

    @property
    def rate(self) -> float:
        """Word error rate, 0.0 and up."""
        return self.wrong / self.words if self.words else float(self.wrong > 0)


def align(truth: Sequence[str], answer: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Pairs of positions (truth, answer) of a cheapest alignment; None where a word has no partner."""
    rows, columns = len(truth) + 1, len(answer) + 1
    cost = [[0] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            if not i or not j:
                cost[i][j] = i + j
                continue
            cost[i][j] = min(
                cost[i - 1][j - 1] + (truth[i - 1] != answer[j - 1]), cost[i - 1][j] + 1, cost[i][j - 1] + 1
            )
    pairs: list[tuple[int | None, int | None]] = []
    i, j = len(truth), len(answer)
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (truth[i - 1] != answer[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


def errors(truth: str, answer: str) -> Errors:
    """Word errors of an answer."""
    expected, given = words_of(truth), words_of(answer)
    pairs = align(expected, given)
    return Errors(
        substituted=sum(i is not None and j is not None and expected[i] != given[j] for i, j in pairs),
        deleted=sum(j is None for _, j in pairs),
        inserted=sum(i is None for i, _ in pairs),
        words=len(expected),
    )


@dataclass(frozen=True, slots=True)
class Calm:
    """How steady the captions of one utterance were."""

    shown: int = 0
    """Words shown in partials; a word that stays at its place counts once."""
    withdrawn: int = 0
    """Those that are not at that place in the final."""
    rewrites: int = 0
    """Times that committed text changed."""

    def __add__(self, other: Calm) -> Calm:
        return Calm(
            self.shown + other.shown, self.withdrawn + other.withdrawn, self.rewrites + other.rewrites
        )

    @property
    def rate(self) -> float:
        return self.withdrawn / self.shown if self.shown else 0.0


def calm(partials: Sequence[tuple[str, int]], final: str) -> Calm:
    """``partials`` are (text, committed characters) in the order shown. Places are found by aligning with the final."""
    last = words_of(final)
    kept: set[tuple[int, str]] = set()
    lost: set[tuple[int, str]] = set()
    rewrites, committed = 0, ""
    for text, length in partials:
        words = words_of(text)
        for place, own in align(last, words):
            if own is None:
                continue
            if place is not None and last[place] == words[own]:
                kept.add((place, words[own]))
            else:
                lost.add((own, words[own]))
        rewrites += not text.startswith(committed)
        committed = text[:length]
    rewrites += not final.startswith(committed)
    return Calm(len(kept) + len(lost), len(lost), rewrites)


def median(values: Iterable[float]) -> float:
    return quantile(values, 0.5)


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which ``share`` of the values lie, between neighbours where it falls between; nan of none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
