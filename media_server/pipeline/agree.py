"""What of a stream of hypotheses is certain: LocalAgreement-2 on words, committed as characters.

A word is committed when two hypotheses in a row say it at the same place. Committed text only grows at its end:
``text[:committed]`` is the start of every later text, the final one included. Words are compared without case and
punctuation; the punctuation after the last committed word stays open until the next word is committed, because a
window that ends in mid-sentence gets a full stop as well.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Scripts that put no spaces between words: each character is compared as a word.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0x20000, 0x2FA1F),
)
_SENTENCE_END = re.compile(r"[.?!…]+[\"'”’»)\]]*(?=\s|$)|[。？！]+[」』”’）]*")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:\w|(?:\w\.)+\w|mr|mrs|ms|dr|prof|st|sr|sra|jr|no|nr|vs|etc|approx|ca|bzw|z\.b|mme|mlle)\.$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """``lead`` is the white space before it, ``core`` it with its opening punctuation, ``trail`` what follows."""

    lead: str
    core: str
    trail: str
    key: str
    """Case-folded letters and digits, what is compared."""


def _unspaced(character: str) -> bool:
    code = ord(character)
    return any(low <= code <= high for low, high in _UNSPACED)


def _key(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum() or unicodedata.category(c)[0] == "M")


def _pieces(text: str) -> list[tuple[str, str]]:
    """(white space before, piece) in order; pieces hold no white space, unspaced characters stand alone."""
    found: list[tuple[str, str]] = []
    for match in re.finditer(r"(\s*)(\S+)", text):
        lead, chunk = match.groups()
        current = ""
        for character in chunk:
            alone = _unspaced(character) and unicodedata.category(character)[0] != "M"
            if current and (alone or (_unspaced(current[0]) and _key(character))):
                found.append((lead, current))
                lead, current = "", ""
            current += character
        found.append((lead, current))
    return found


def words_of(text: str) -> list[Word]:
    """The words of a hypothesis. Pure punctuation belongs to the word before it, else to the first one."""
    words: list[Word] = []
    opening = ""
    for lead, piece in _pieces(text):
        key = _key(piece)
        if not key:
            if words:
                last = words[-1]
                words[-1] = Word(last.lead, last.core, last.trail + lead + piece, last.key)
            else:
                opening += lead + piece
            continue
        end = len(piece)
        while not _key(piece[end - 1]):
            end -= 1
        if opening:
            lead, piece, end = "", (opening + lead).lstrip() + piece, end + len((opening + lead).lstrip())
            opening = ""
        words.append(Word(lead, piece[:end], piece[end:], key))
    return words


def aligned(committed: list[str], keys: list[str]) -> int:
    """How many of ``keys`` stand for the committed words: the prefix with the smallest edit distance to them."""
    same = 0
    while same < len(committed) and same < len(keys) and committed[same] == keys[same]:
        same += 1
    if same == len(committed):
        return same
    left, right = committed[same:], keys[same:]
    row = list(range(len(right) + 1))
    for wanted in left:
        previous, row[0] = row[0], row[0] + 1
        for j, key in enumerate(right, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (key != wanted))
    best = min(
        range(len(right) + 1),
        key=lambda j: (row[j], 0 if j and right[j - 1] == left[-1] else 1, abs(j - len(left))),
    )
    return same + best


class Agreement:
    """The text of one utterance so far."""

    def __init__(self) -> None:
        self.committed = ""
        self.tail = ""
        """Shown after ``committed``, may change."""
        self._keys: list[str] = []
        self._spans: list[tuple[int, int]] = []  # where the core of each lies in ``committed``
        self._stops: list[
            int
        ] = []  # how many of the two hypotheses ended a sentence after each, if the last did
        self._trail = ""  # punctuation after the last committed word in the newest hypothesis
        self._from = 0  # the first committed word whose sound the window still holds
        self._before: list[Word] = []  # of the hypothesis before, what followed the committed words
        self._known = 0  # how many words these were, cut off ones and a language in doubt included

    @property
    def text(self) -> str:
        return self.committed + self.tail

    @property
    def words(self) -> int:
        """How many words are committed."""
        return len(self._keys)

    def forget(self) -> None:
        """The next hypothesis agrees with nothing: the one before was of another kind."""
        self._before = []

    def update(self, text: str, hold_back: int = 0, most_new: int | None = None, commit: bool = True) -> None:
        """Takes a hypothesis of the window. The last ``hold_back`` words are probably cut off: neither shown nor
        committed; nor is what goes beyond ``most_new`` words more than the hypothesis before had. Without ``commit``
        it is only shown.
        """
        trail, rest = self._rest(words_of(text))
        if most_new is not None:
            hold_back = max(hold_back, len(rest) - self._known - most_new)
        shown = max(0, len(rest) - hold_back)
        certain = 0
        if commit:
            most = min(shown, len(self._before))
            while certain < most and rest[certain].key == self._before[certain].key:
                certain += 1
            trail = self._commit(trail, rest[:certain], [self._trail, *(word.trail for word in self._before)])
        self._trail = trail
        # One word more than is shown: if the next hypothesis has it as well it was not cut off.
        heard = rest[certain : shown + 1]
        self._known = len(heard)
        self._before = heard if commit else []
        self.tail = self._joined(trail, rest[certain:shown])

    def finished(self, text: str) -> str:
        """What the text would be if this hypothesis were the last one; changes nothing."""
        trail, rest = self._rest(words_of(text))
        return self.committed + self._joined(trail, rest)

    def finish(self, text: str) -> None:
        """Takes the last hypothesis; everything is committed."""
        self.committed = self.finished(text)
        self.tail = ""

    def place(self, keys: list[str], following: int) -> int | None:
        """How many committed words (of all) a hypothesis with these ``keys``, of the window up to some moment, stands
        for. None unless they are committed, ``following`` more as well, and the end of it is certain.
        """
        if not keys:
            return None
        inside = self._keys[self._from :]
        count = aligned(keys, inside)
        if count == 0 or count + following > len(inside) or inside[count - 1] != keys[-1]:
            return None
        return self._from + count

    def sentence_ends(self, count: int, agreed: int = 2) -> bool:
        """Whether a sentence ends with committed word number ``count``, the first being 1, by ``agreed`` hypotheses."""
        end = self._spans[count - 1][1]
        return self._stops[count - 1] >= agreed and _ABBREVIATION.search(self.committed[: end + 1]) is None

    @property
    def steady(self) -> int:
        """How much of ``text`` will not change, even if the text is split at the end of a sentence: characters."""
        for count in range(1, len(self._keys)):
            if self.sentence_ends(count, 1):
                return len(self._head(count))
        return len(self.committed)

    def _head(self, count: int) -> str:
        """The committed text of the first ``count`` words with the punctuation after it."""
        end = self._spans[count - 1][1]
        cut = self._spans[count][0] if count < len(self._spans) else len(self.committed)
        return self.committed[:end] + self.committed[end:cut].rstrip()

    def trim(self, count: int) -> None:
        """The window no longer holds the sound of the first ``count`` committed words."""
        self._from = count

    @property
    def trimmed(self) -> int:
        """How many committed words the window no longer holds."""
        return self._from

    def trimmed_sentence(self, agreed: int = 2) -> int:
        """How many words the sentences have that end among those; 0 for none."""
        return next((count for count in range(self._from, 0, -1) if self.sentence_ends(count, agreed)), 0)

    def settle(self, text: str) -> None:
        """Commits this hypothesis as the last one of the window so far; the window goes on without its sound."""
        trail, rest = self._rest(words_of(text))
        end = self._commit(trail, rest, [trail, *(word.trail for word in rest)])
        self.committed += end.rstrip()
        self._before, self._known, self.tail = [], 0, ""
        self._from = len(self._keys)

    def split(self, count: int) -> tuple[str, Agreement]:
        """The committed text of the first ``count`` words with its punctuation, and an agreement about the rest, in
        a window without their sound.
        """
        rest = Agreement()
        rest._from = max(0, self._from - count)
        cut = self._spans[count][0] if count < len(self._spans) else len(self.committed)
        rest.committed = self.committed[cut:]
        rest.tail = self.tail if rest.committed else self.tail.lstrip()
        rest._keys = self._keys[count:]
        rest._spans = [(low - cut, high - cut) for low, high in self._spans[count:]]
        rest._stops = self._stops[count:]
        rest._trail = self._trail
        rest._before, rest._known = self._before, self._known
        return self._head(count), rest

    def part(self) -> tuple[str, Agreement]:
        """All committed text, and an agreement about what follows it, in the same window: it knows the committed words
        that the window still holds, and does not say them again.
        """
        rest = Agreement()
        rest._keys = self._keys[self._from :]
        rest._spans = [(0, 0)] * len(rest._keys)
        rest._stops = [0] * len(rest._keys)
        rest._trail, rest._before, rest._known = self._trail, self._before, self._known
        rest.tail = self.tail.lstrip(" ,;:.?!…")
        return self.committed, rest

    def _rest(self, words: list[Word]) -> tuple[str, list[Word]]:
        """Punctuation after the last committed word, and the words that follow it."""
        count = aligned(self._keys[self._from :], [word.key for word in words])
        rest = words[count:]
        if not self._keys:
            return "", rest
        if count == 0 and rest:
            first = rest[0]
            lead = "" if _unspaced(first.key[0]) else " "
            return "", [Word(first.lead or lead, first.core, first.trail, first.key), *rest[1:]]
        return (words[count - 1].trail if count else ""), rest

    def _commit(self, trail: str, words: list[Word], trails_before: list[str]) -> str:
        """Appends; gives back the punctuation after the last word, which stays open. ``trails_before``: what the
        hypothesis before had after the last committed word and after each of ``words``.
        """
        for word, before in zip(words, trails_before, strict=False):
            if self._keys and _SENTENCE_END.match(trail):
                self._stops[-1] = 2 if _SENTENCE_END.match(before) else 1
            if self.committed:
                self.committed += trail + word.lead
            self._spans.append((len(self.committed), len(self.committed) + len(word.core)))
            self._keys.append(word.key)
            self._stops.append(0)
            self.committed += word.core
            trail = word.trail
        return trail

    def _joined(self, trail: str, words: list[Word]) -> str:
        joined = trail if self.committed else ""
        for word in words:
            joined += (word.lead if joined or self.committed else "") + word.core + word.trail
        return joined
