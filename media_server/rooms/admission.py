"""How many people can speak here at once, measured: what recognizers work for a person who speaks.

How busy recognizers are says little: they slow partials down before anything else suffers, and with few speakers they
use the time that there is. What counts is people, and what one of them costs while nobody is in their way. In a room
people take turns, so that its speakers count as one, unless several speak now; people who only listen are not counted.
Pure: time and figures are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable

ALWAYS = 2  # people: with fewer nobody would be spoken to
NEW_S = 2.0  # who has come within this and said nothing yet may be about to
RECENT_S = 10.0  # who has spoken within this is still speaking: people pause for breath and for answers
USUAL_COST = 0.25  # work seconds per second of a speaker: Whisper `base` on one thread of a usual core
USUAL_S = 30.0  # speaker-seconds that the usual cost weighs as much as
MEMORY_S = 120.0  # speaker-seconds after which half of what was measured is forgotten


def speakers_of_room(people: Iterable[tuple[bool, bool]]) -> int:
    """``people``: does each speak now, and did they lately?"""
    now = lately = 0
    for speaks, spoke in people:
        now += speaks
        lately = lately or speaks or spoke
    return max(now, int(lately))


def takes_more(speakers: int, coming: int, cost: float, recognizers: int, share: float) -> bool:
    """May ``coming`` more people come who will perhaps speak?

    ``cost``: work seconds per second of a speaker. ``share``: of the recognizers' time that speakers may need.
    ``ALWAYS`` may speak, however slow the machine is.
    """
    return speakers + coming <= ALWAYS or (speakers + coming) * cost <= recognizers * share


class SpeechLoad:
    """Counts those who speak and keeps what one of them costs. ``note`` it a few times a second."""

    def __init__(self) -> None:
        self.speakers = 0
        self.usual = USUAL_COST
        """What a speaker costs as long as little was measured."""
        self._noted: tuple[float, float] | None = None
        """Time, and work seconds so far, of the last look."""
        self._work_s = 0.0
        self._speaker_s = 0.0

    def note(self, now: float, work_s: float, speakers: int, recognizers: int) -> None:
        """``work_s``: of all recognizers since they started; ``speakers``: people, now.

        Nothing is learnt while more people speak than there are recognizers: each of them looks cheap then.
        """
        if self._noted is not None and 0 < self.speakers <= recognizers:
            passed_s = (now - self._noted[0]) * self.speakers
            kept = 0.5 ** (passed_s / MEMORY_S)
            self._work_s = self._work_s * kept + max(0.0, work_s - self._noted[1])
            self._speaker_s = self._speaker_s * kept + passed_s
        self.speakers = speakers
        self._noted = now, work_s

    @property
    def cost(self) -> float:
        """Work seconds per second of a speaker; the usual one as long as little was measured."""
        return (self._work_s + self.usual * USUAL_S) / (self._speaker_s + USUAL_S)
