"""What hearing is set up with, what it gives out, and the bookkeeping of what it has asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from media_server.engines.base import RecognizeRequest, TurnRequest
from media_server.events import Anticipated, Heard, Lost, Speaking
from media_server.pipeline.utterance import Pause, Utterance

PARTIAL_GIVEN_UP_S = 5.0  # a partial without an answer no longer keeps others from being asked for
FORGOTTEN_S = 60.0  # nothing waits longer for an answer


@dataclass(frozen=True, slots=True)
class HearSettings:
    """Milliseconds and seconds of one speaker's hearing."""

    partial_ms: int = 500
    """An open utterance is decoded again this often, at the most."""
    partial_load: float = 3.0
    """And never sooner than so many times what the last decode took, its wait included."""
    partial_load_crowded: float = 5.0
    """The same while more people speak than there are recognizers: partials make room for finals."""
    first_partial_ms: int = 480
    """Speech before the first decode of an utterance."""
    ahead_ms: int = 200
    """Silence after which the ending is decoded ahead of time."""
    hangover_min_ms: int = 300
    """Silence that ends an utterance that sounds and reads finished."""
    hangover_max_ms: int = 1000
    """Silence that ends any utterance."""
    preroll_ms: int = 300
    """Sound before the first voiced frame that belongs to the utterance."""
    window_max_s: float = 14.0
    """No decode is longer."""
    trim_s: float = 5.0
    """A longer window is shortened at the last moment between two words that is certain."""
    sentence_min_s: float = 2.5
    """Shorter sentences are not ended while the speaker goes on."""
    utterance_max_s: float = 12.0
    """Of speech without the end of a sentence; then an utterance ends where its window can be shortened."""
    kept_max_s: float = 60.0
    """Sound of one speaker that may wait for answers; then the oldest utterance is given up."""
    voice_on: float = 0.5
    """Probability of speech that begins an utterance."""
    voice_off: float = 0.35
    """Probability under which a frame of an utterance is silence."""
    voice_on_frames: int = 2
    """Frames in a row that it takes to begin, or to go on after a silence."""
    voice_min_ms: int = 96
    """Less voice than this is no utterance: nothing is decoded."""


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """Ask the recognizer. ``urgent``: a final or one ahead of time, goes first.

    ``wanted`` is to be asked before the work begins: no answer is of use once it has said no.
    """

    id: int
    utterance: str
    request: RecognizeRequest
    urgent: bool
    wanted: Callable[[], bool] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TurnJob:
    """Ask the turn detector."""

    id: int
    utterance: str
    request: TurnRequest


type HearOutput = Speaking | DecodeJob | TurnJob | Heard | Anticipated | Lost


@dataclass(slots=True)
class Asked:
    """A job that is out. ``request`` None: a question to the turn detector."""

    utterance: Utterance
    until: int
    """One past the last frame of its window."""
    at: float
    request: RecognizeRequest | None = None
    urgent: bool = True
    hold_back: int = 0
    """Words at the end of the answer that are probably cut off."""
    start: int = 0
    """First frame of its window."""
    closing: bool = False
    """Its answer ends the utterance."""
    pause: Pause | None = None
    """The silence that it was asked in, for windows decoded ahead of time and for turns."""
    again: bool = False
    """It was asked before and failed."""

    @property
    def awaited(self) -> bool:
        """Whether its answer may end its utterance: nothing has been said since."""
        return self.closing or (self.pause is not None and self.pause is self.utterance.pause)


class Desk:
    """Jobs that are out, by their number."""

    def __init__(self) -> None:
        self._last = 0
        self._out: dict[int, Asked] = {}

    def __len__(self) -> int:
        return len(self._out)

    def ask(self, asked: Asked) -> int:
        """Books a job and gives its number. Old ones whose answers never came are forgotten."""
        for number in [n for n, other in self._out.items() if asked.at - other.at > FORGOTTEN_S]:
            del self._out[number]
        self._last += 1
        self._out[self._last] = asked
        return self._last

    def decode(self, asked: Asked) -> DecodeJob:
        assert asked.request is not None
        number = self.ask(asked)
        return DecodeJob(
            number, asked.utterance.id, asked.request, asked.urgent, lambda: self._is_wanted(number)
        )

    def _is_wanted(self, number: int) -> bool:
        """Not what was decoded ahead of an end that did not come, nor a window that was shortened since."""
        asked = self._out.get(number)
        if asked is None:
            return False
        return asked.awaited if asked.urgent else asked.start == asked.utterance.window.start

    def answered(self, number: int) -> Asked | None:
        """None for a job that nobody waits for any more."""
        return self._out.pop(number, None)

    def partial_out(self, now: float) -> bool:
        """Whether a partial is out that may still be answered."""
        return any(not asked.urgent and now - asked.at < PARTIAL_GIVEN_UP_S for asked in self._out.values())

    def forget(self, utterance: Utterance | None = None) -> None:
        """The jobs of one utterance, or all."""
        self._out = (
            {} if utterance is None else {n: a for n, a in self._out.items() if a.utterance is not utterance}
        )


@dataclass(slots=True)
class _Ended:
    utterance: Utterance
    since: float
    outputs: list[HearOutput] | None = None


class Endings:
    """Utterances whose sound is complete; their ends come out in the order of speaking."""

    def __init__(self) -> None:
        self._ended: deque[_Ended] = deque()

    def wait(self, utterance: Utterance, now: float) -> None:
        """Its end will be known later."""
        self._ended.append(_Ended(utterance, now))

    def settle(self, utterance: Utterance, outputs: list[HearOutput]) -> list[HearOutput]:
        """Its end is known. Gives out what can come out now."""
        for ended in self._ended:
            if ended.utterance is utterance and ended.outputs is None:
                ended.outputs = outputs
        said: list[HearOutput] = []
        while self._ended and self._ended[0].outputs is not None:
            said += self._ended.popleft().outputs or []
        return said

    def overdue(self, now: float, kept_s: float) -> list[Utterance]:
        """Those to give up, the oldest first: what waits holds more than ``kept_s`` of sound, or waits too long."""
        waiting = [ended for ended in self._ended if ended.outputs is None]
        total = sum(ended.utterance.window.seconds for ended in waiting)
        given_up: list[Utterance] = []
        for ended in waiting:
            if total <= kept_s and now - ended.since <= FORGOTTEN_S:
                break
            total -= ended.utterance.window.seconds
            given_up.append(ended.utterance)
        return given_up

    def clear(self) -> None:
        self._ended.clear()
