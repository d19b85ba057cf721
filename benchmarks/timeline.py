"""What a listener saw and heard of one clip, and when. Pure functions over a call's log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from benchmarks.callplan import OPUS_FRAME, PACKET_S, CallLog, payload_of
from benchmarks.material import Clip
from benchmarks.scoring import Calm, align, calm, words_of
from media_server.audio.opus import new_decoder
from media_server.engines.base import RECOGNIZER_RATE

AUDIBLE_DBFS = -50.0
ONE_SIGHT_S = 0.030  # messages that come closer together are seen as one change of the screen


@dataclass(frozen=True, slots=True)
class Shown:
    """All text on the screen after one message: the finals so far and the open line."""

    at: float
    text: str
    committed: int
    """Characters of ``text`` that must not change any more."""


@dataclass(frozen=True, slots=True)
class Final:
    at: float
    text: str
    translation: str
    translated_at: float | None
    """When it first came with a translation."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One clip: when it was sent and what came of it."""

    clip: Clip
    sent: Sequence[float]
    shown: Sequence[Shown]
    finals: Sequence[Final]
    audible: Sequence[float]
    """Arrival of each packet in which something is heard."""

    @property
    def started(self) -> float:
        """When the first voiced packet was sent."""
        return self.sent[self._packet_of(self.clip.voiced[0])]

    @property
    def ended(self) -> float:
        """When the last voiced packet was sent."""
        return self.sent[self._packet_of(self.clip.voiced[1] - 1)]

    def _packet_of(self, sample: int) -> int:
        return min(len(self.sent) - 1, int(sample / RECOGNIZER_RATE / PACKET_S))

    @property
    def text(self) -> str:
        return " ".join(final.text for final in self.finals if final.text)

    def first_partial_s(self) -> float | None:
        """Speech start to the first message whose first word is the final's first word."""
        first = words_of(self.text)[:1]
        times = (shown.at for shown in self.shown if first and words_of(shown.text)[:1] == first)
        at = next(times, None)
        return None if at is None else at - self.started

    def word_delays_s(self) -> tuple[list[float], list[float]]:
        """For every word said that is in the final: from its end to when it was shown, and to when it was committed."""
        final = words_of(self.text)
        said = [
            (words_of(raw), end)
            for raw, end in zip(self.clip.text.split(), self.clip.word_ends_s, strict=True)
        ]
        flat = [(word, end) for words, end in said for word in words]
        partners = {
            own: flat[place][1]
            for place, own in align([word for word, _ in flat], final)
            if place is not None and own is not None and flat[place][0] == final[own]
        }
        shown = _first_seen(final, [(step.at, step.text) for step in self.shown])
        committed = _first_seen(final, [(step.at, step.text[: step.committed]) for step in self.shown])
        starts = {own: self.sent[0] + end_s for own, end_s in partners.items()}
        return (
            [shown[own] - spoken for own, spoken in starts.items() if own in shown],
            [committed[own] - spoken for own, spoken in starts.items() if own in committed],
        )

    def final_s(self) -> float | None:
        """End of speech to the final, with its translation where there is one to come; None without."""
        times = [final.translated_at or final.at for final in self.finals]
        return max(times) - self.ended if times else None

    def audio_s(self) -> float | None:
        """End of speech to the first interpreted sound after it."""
        after = [at for at in self.audible if at > self.ended]
        return after[0] - self.ended if after else None

    def calm(self) -> Calm:
        return calm([(step.text, step.committed) for step in self.shown], self.text)


def _first_seen(final: list[str], steps: Sequence[tuple[float, str]]) -> dict[int, float]:
    """When each word of the final was first seen at its place."""
    seen: dict[int, float] = {}
    for at, text in steps:
        words = words_of(text)
        for place, own in align(final, words):
            if place is not None and own is not None and final[place] == words[own]:
                seen.setdefault(place, at)
    return seen


def audible_times(log: CallLog) -> list[float]:
    """Decodes what came back, in the order of its time stamps, and keeps the arrival of what can be heard."""
    decoder = new_decoder()
    times: list[float] = []
    last: int | None = None
    for at, stamp, payload in sorted(log.packets, key=lambda packet: packet[0]):
        if last is not None and (stamp - last) % 2**32 > OPUS_FRAME:
            decoder.reset()
        last = stamp
        pcm = decoder.decode(payload_of(payload)).astype(np.float64)
        if pcm.size and 10 * np.log10((pcm**2).mean() / 32768**2 + 1e-12) > AUDIBLE_DBFS:
            times.append(at)
    return times


def seen_of(clips: Sequence[Clip], log: CallLog) -> list[Seen]:
    """The log taken apart by clip: what comes after a clip's first packet and before the next one's is its own."""
    edges = [sent[0] for sent in log.sent] + [float("inf")]
    audible = audible_times(log)
    result = []
    for clip, sent, (start, end) in zip(clips, log.sent, pairwise(edges), strict=True):
        shown, finals = _screen([(at, message) for at, message in log.messages if start <= at < end])
        result.append(Seen(clip, sent, shown, finals, [at for at in audible if start <= at < end]))
    return result


@dataclass(slots=True)
class _Line:
    text: str = ""
    committed: int = 0
    final: Final | None = None


def _screen(messages: Sequence[tuple[float, dict[str, object]]]) -> tuple[list[Shown], list[Final]]:
    """Lines stand in the order in which they first came; a line that has ended takes no late partial."""
    lines: dict[str, _Line] = {}
    shown: list[Shown] = []
    for at, message in messages:
        if message["type"] not in {"partial", "final"}:
            continue
        line = lines.setdefault(str(message["id"]), _Line())
        text, translation = str(message["text"]), str(message["translation"])
        if message["type"] == "final":
            first = line.final or Final(at, text, translation, None)
            line.final = Final(
                first.at, text, translation, first.translated_at or (at if translation else None)
            )
            line.text, line.committed = text, len(text)
        elif line.final is None:
            line.text, line.committed = text, int(str(message["committed"]))
        if shown and at - shown[-1].at < ONE_SIGHT_S:
            shown.pop()
        shown.append(_all_lines(at, [line for line in lines.values() if line.text]))
    return shown, [line.final for line in lines.values() if line.final is not None and line.text]


def _all_lines(at: float, lines: Sequence[_Line]) -> Shown:
    """What is committed of a line counts when all of those before it have ended."""
    text, committed, closed = "", 0, True
    for line in lines:
        text = f"{text} {line.text}" if text else line.text
        if closed:
            committed = len(text) - len(line.text) + line.committed
        closed = closed and line.final is not None
    return Shown(at, text, committed)
