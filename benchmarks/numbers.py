"""English numbers: words to values and back, so that "26", "twenty six" and "twenty-six" count as the same words."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DIGIT_NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_ONES = [*_DIGIT_NAMES, *_TEENS]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: value for value, word in enumerate(_ONES)} | {w: 20 + 10 * i for i, w in enumerate(_TENS)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_IRREGULAR = ["first", "second", "third", "fifth", "eighth", "ninth", "twelfth"]
_ORDINALS = dict(zip(_IRREGULAR, ["one", "two", "three", "five", "eight", "nine", "twelve"], strict=True))
_ORDINALS |= {word[:-1] + "ieth": word for word in _TENS}
_ORDINALS |= {
    word + "th": word for word in [*_ONES[1:], "hundred", "thousand"] if word not in _ORDINALS.values()
}
_TO_ORDINAL = {plain: ordinal for ordinal, plain in _ORDINALS.items()}
_DIGITS = re.compile(r"(\d+)(st|nd|rd|th)?$")


def in_words(value: int) -> str:
    """112 as "one hundred twelve"."""
    if value < 20:
        return _ONES[value]
    if value < 100:
        ones = value % 10
        return _TENS[value // 10 - 2] + (f" {_ONES[ones]}" if ones else "")
    for name, scale in sorted(_SCALES.items(), key=lambda item: -item[1]):
        if value >= scale:
            rest = value % scale
            return f"{in_words(value // scale)} {name}" + (f" {in_words(rest)}" if rest else "")
    raise ValueError(value)


def ordinal_in_words(value: int) -> str:
    *front, last = in_words(value).split()
    return " ".join([*front, _TO_ORDINAL[last]])


def _digits(word: str) -> str | None:
    if not (match := _DIGITS.match(word)):
        return None
    if len(match[1]) > 9:
        return " ".join(_ONES[int(digit)] for digit in match[1])
    return ordinal_in_words(int(match[1])) if match[2] else in_words(int(match[1]))


class _Number:
    """Reads number words one by one: "eighteen hundred", "one thousand eight hundred", "one hundred and twelve"."""

    def __init__(self) -> None:
        self.total = self.group = 0
        self.smallest = 1_000_000_000  # what the next part must stay under: "four ninety" is two numbers
        self.words = 0

    def take(self, word: str) -> bool:
        if word in _SCALES:
            scale = _SCALES[word]
            if not self.words or (self.group == 0 and scale >= self.smallest):
                return False
            if scale == 100:
                if self.group == 0 or self.group >= 100:
                    return False
                self.group *= 100
                self.smallest = 100
            else:
                self.total += max(self.group, 1) * scale
                self.group, self.smallest = 0, scale
        else:
            value = _VALUES[word]
            unit = 10 if value < 10 else 100
            if self.words and value >= self.smallest:
                return False
            self.group += value
            self.smallest = 10 if value >= 20 and value % 10 == 0 else 1
            if unit == 10 or value < 20:
                self.smallest = 1
        self.words += 1
        return True

    @property
    def value(self) -> int:
        return self.total + self.group


def spell(words: list[str]) -> Iterator[str]:
    """The words with every number, in digits or in words, written the one way of ``in_words``."""
    flat = [part for word in words for part in (_digits(word) or word).split()]
    at = 0
    while at < len(flat):
        number, end, last_is_ordinal = _Number(), at, False
        while end < len(flat) and not last_is_ordinal:
            word = flat[end]
            last_is_ordinal = word in _ORDINALS and number.words > 0
            plain = _ORDINALS[word] if last_is_ordinal else word
            joined = (
                word == "and"
                and number.words > 0
                and flat[end - 1] in _SCALES
                and end + 1 < len(flat)
                and (flat[end + 1] in _VALUES or flat[end + 1] in _ORDINALS)
            )
            if joined:
                end += 1
                continue
            if (plain not in _VALUES and plain not in _SCALES) or not number.take(plain):
                last_is_ordinal = False
                break
            end += 1
        if number.words:
            spelled = ordinal_in_words(number.value) if last_is_ordinal else in_words(number.value)
            yield from spelled.split()
            at = end
        else:
            yield flat[at]
            at += 1
