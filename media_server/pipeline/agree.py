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
_SENTENCE_END = re.compile(r"[.?!…]+[\"'”’»)\]]*(?=\s)|[。？！]+[」』”’）]*")
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
        self._ends: list[int] = []  # of each committed word's core in ``committed``
        self._before: list[Word] = []  # of the hypothesis before, what followed the committed words

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

    def update(self, text: str, hold_back: int = 0, commit: bool = True) -> None:
        """Takes a hypothesis of the whole window. The last ``hold_back`` words are probably cut off: neither shown
        nor committed. Without ``commit`` it is only shown.
        """
        words = words_of(text)
        trail, rest = self._rest(words)
        certain = 0
        if commit:
            most = min(len(rest) - hold_back, len(self._before))
            while certain < most and rest[certain].key == self._before[certain].key:
                certain += 1
            trail = self._commit(trail, rest[:certain])
        self._before = rest[certain:] if commit else []
        self.tail = self._joined(trail, rest[certain : max(certain, len(rest) - hold_back)])

    def finished(self, text: str) -> str:
        """What the text would be if this hypothesis were the last one; changes nothing."""
        trail, rest = self._rest(words_of(text))
        return self.committed + self._joined(trail, rest)

    def finish(self, text: str) -> None:
        """Takes the last hypothesis; everything is committed."""
        self.committed = self.finished(text)
        self.tail = ""

    def sentence_end(self, following: int) -> int:
        """Where in ``committed`` the last sentence ends that ``following`` committed words come after; 0 for none."""
        if len(self._ends) <= following:
            return 0
        latest = self._ends[-following - 1] if following else len(self.committed)
        found = 0
        for match in _SENTENCE_END.finditer(self.committed):
            starts = sum(1 for end in self._ends if end > match.end())
            if match.start() < latest and starts >= following and not self._abbreviated(match.start()):
                found = match.end()
        return found

    def _abbreviated(self, stop: int) -> bool:
        return _ABBREVIATION.search(self.committed[: stop + 1]) is not None

    def split(self, at: int) -> tuple[str, Agreement]:
        """The committed text before ``at`` (an answer of ``sentence_end``) and an agreement about the rest."""
        rest = Agreement()
        after = self.committed[at:]
        cut = at + len(after) - len(after.lstrip())
        kept = [i for i, end in enumerate(self._ends) if end > cut]
        rest.committed = self.committed[cut:]
        rest.tail = self.tail
        rest._keys = [self._keys[i] for i in kept]
        rest._ends = [self._ends[i] - cut for i in kept]
        rest._before = self._before
        return self.committed[:at], rest

    def _rest(self, words: list[Word]) -> tuple[str, list[Word]]:
        """Punctuation after the last committed word, and the words that follow it."""
        count = aligned(self._keys, [word.key for word in words])
        rest = words[count:]
        if not self._keys:
            return "", rest
        if count == 0 and rest:
            first = rest[0]
            lead = "" if _unspaced(first.key[0]) else " "
            return "", [Word(first.lead or lead, first.core, first.trail, first.key), *rest[1:]]
        return (words[count - 1].trail if count else ""), rest

    def _commit(self, trail: str, words: list[Word]) -> str:
        """Appends; gives back the punctuation after the last word, which stays open."""
        for word in words:
            if self._keys:
                self.committed += trail + word.lead
            self.committed += word.core
            self._keys.append(word.key)
            self._ends.append(len(self.committed))
            trail = word.trail
        return trail

    def _joined(self, trail: str, words: list[Word]) -> str:
        joined = trail if self._keys else ""
        for word in words:
            joined += (word.lead if joined or self._keys else "") + word.core + word.trail
        return joined
