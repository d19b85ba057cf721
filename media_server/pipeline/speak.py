"""How far the interpretation may lag, and what is done about it. Pure: time is an argument.

Whoever talks without a break in a language that takes less time than the voice is interpreted faster from the start.
A text is given to the voice shortly before it can be heard, not sooner. What has come to wait by then is spoken as
one text (fewer pauses), the faster the more of it there is, and what would be heard too late is left out with a mark
in the captions (DESIGN: bounded lag).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

LEAD_S = 1.0  # speech left to be heard when the next text is given to the voice: it needs some time itself
RELAXED_S = 1.0  # up to this wait for the voice it keeps its own pace
HURRIED_S = 2.5  # from here on it speaks as fast as it may
MAX_SPEED = 1.25  # faster is hard to follow
MERGED_CHARACTERS = 300  # spoken as one text at most: some twenty seconds
CHARACTER_S = 0.07  # what a character takes to say, until it was heard from this voice
LOAD_S = 25.0  # of talk tell how much faster than itself the voice has to be to keep up
_HEED = 0.3  # share of the newest text in what is expected of the next


@dataclass(frozen=True, slots=True)
class Waiting:
    """A text that waits for the voice: when its speech had ended, when it came here, how long it is."""

    ended_at_s: float
    came_at_s: float
    characters: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What to do with the texts that wait, oldest first: leave out ``skip``, speak the next ``take`` as one.

    ``speed`` is relative to the voice's own pace. What remains waits for the next turn.
    """

    skip: int
    take: int
    speed: float


class SpeechLag:
    """Follows how much speech of one channel still has to be heard, and how fast its voice is."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._until_s = 0.0
        self._character_s = CHARACTER_S
        self._heard = False
        self._recent: deque[tuple[float, float, int]] = deque()
        """(began, ended, characters of the translation) of what was said lately."""

    def lag_s(self, now_s: float) -> float:
        """Seconds until something queued now would be heard."""
        return max(0.0, self._until_s - now_s)

    def queued(self, seconds: float, now_s: float) -> None:
        """That much speech was handed to the listeners."""
        self._until_s = max(self._until_s, now_s) + seconds

    def spoke(self, characters: int, seconds: float, speed: float) -> None:
        """A text has become speech: the next ones will take as long in proportion."""
        if characters > 0 and seconds > 0:
            measured_s = seconds * speed / characters
            self._character_s += (_HEED if self._heard else 1.0) * (measured_s - self._character_s)
            self._heard = True

    def arrived(self, began_s: float, ended_s: float, characters: int) -> None:
        """Something said between these times will take the voice that many characters."""
        self._recent.append((began_s, ended_s, characters))
        while self._recent[0][1] < ended_s - LOAD_S:
            self._recent.popleft()

    def load(self) -> float:
        """Time that the voice needs at its own pace for what was said lately, as a share of the time that passed."""
        if len(self._recent) < 2 or not self._heard:
            return 0.0  # one sentence is no talk without a break
        passed_s = self._recent[-1][1] - self._recent[0][0]
        needed_s = sum(characters for _, _, characters in self._recent) * self._character_s
        return needed_s / passed_s if passed_s > 0 else 0.0

    def turn(self, waiting: Sequence[Waiting], now_s: float, behind_s: float) -> Turn:
        """``behind_s``: how much speech the listeners have still to hear before this one.

        A text is too late when it would be heard more than the limit after its speech had ended, and not only because
        the engines took so long: then the newest is spoken all the same.
        """
        starts_s = now_s + behind_s
        skip = 0
        while skip < len(waiting) and self._too_late(
            waiting[skip], starts_s, newest=skip == len(waiting) - 1
        ):
            skip += 1
        rest = waiting[skip:]
        if not rest:
            return Turn(skip, 0, 1.0)
        # How long the newest would have waited for the voice if all before it were spoken at their own pace.
        before = sum(text.characters for text in rest[:-1]) * self._character_s
        wait_s = starts_s + before - rest[-1].came_at_s
        share = min(1.0, max(0.0, (wait_s - RELAXED_S) / (HURRIED_S - RELAXED_S)))
        speed = min(MAX_SPEED, max(1.0 + share * (MAX_SPEED - 1.0), self.load()))
        take, characters = 1, rest[0].characters
        for text in rest[1:]:
            begins_s = starts_s + characters * self._character_s / speed
            if characters + text.characters > MERGED_CHARACTERS or begins_s - text.ended_at_s > self._limit_s:
                break
            characters += text.characters
            take += 1
        return Turn(skip, take, speed)

    def _too_late(self, text: Waiting, starts_s: float, newest: bool) -> bool:
        waited = starts_s - text.came_at_s > RELAXED_S
        return starts_s - text.ended_at_s > self._limit_s and (waited or not newest)


class Beginnings:
    """Which of several texts, spoken as one, begin with a piece of speech. Spaces and marks do not count."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._starts: list[int] = []
        at = 0
        for text in texts:
            self._starts.append(at)
            at += _letters(text)
        self._next = 0
        self._said = 0

    def of(self, sentence: str) -> range:
        """The texts that begin in ``sentence``, which begins with this piece ("" : none begins)."""
        if not sentence and self._next:
            return range(0)
        first = self._next
        self._said += _letters(sentence)
        while self._next < len(self._starts) and (self._next == 0 or self._starts[self._next] < self._said):
            self._next += 1
        return range(first, self._next)


def _letters(text: str) -> int:
    return sum(character.isalnum() for character in text)
