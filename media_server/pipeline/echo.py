"""Hears whether a microphone brings back what was played to it.

By sound: a stretch of the microphone that is a delayed copy of what was played, or is much quieter than that and
resembles it (a copy through a loudspeaker and a room), is replaced by silence before anything looks for speech in it.
A person talking over the echo is louder than it and no copy, and passes. An utterance that was found to be a copy for
much of its time is dropped. By words: so is one that says what was being played while most of it was said.

Sound is int16 mono at 16 kHz on one clock in seconds: ``played`` gives when a frame was sent, ``clean`` when the
frame was received. A round trip takes up to ``MAX_DELAY_S``.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media_server.engines.base import RECOGNIZER_RATE, Pcm

MAX_DELAY_S = 1.0  # network both ways, jitter buffers, the player and up to 400 ms of room
WINDOW = (
    4096  # samples compared at a time, 256 ms: long enough that speech does not resemble itself by chance
)
HOP = 640  # samples between two comparisons, 40 ms
COPY_SHARE = 0.5  # share of the microphone's energy that a copy explains: nothing else reaches that
LIKENESS = 0.14  # share, averaged over some windows, that other speech does not reach (its median is 0.02)
QUIET = 0.1  # power beside what was played, under which likeness counts: -10 dB
KEPT_S = 30.0  # verdicts are kept this long: as long as an utterance may last
OVERLAP = 0.7  # share of an utterance that lies in the time in which its words can come back
SLACK_S = 0.2  # an utterance keeps some sound from before its first word
_WORD = re.compile(r"\w+", re.UNICODE)


def _fast_length(samples: int) -> int:
    """The shortest Fourier transform of a fast length that holds so many: a power of two times 1, 3 or 5."""
    return min(factor << (-(-samples // factor) - 1).bit_length() for factor in (1, 3, 5))


class EchoCanceller:
    """Silences stretches that are a copy of what was played. State of one session."""

    def __init__(self) -> None:
        size = WINDOW + int(MAX_DELAY_S * RECOGNIZER_RATE)
        self._ring = 4 * size
        self._reference = np.zeros(0, np.float32)
        """Ring, addressed by absolute sample number; made when the first sound is played."""
        self._reference_end = 0
        self._size = size
        self._heard = np.zeros(WINDOW, np.float32)
        self._since = 0
        self._is_copy = False
        self._likeness = 0.0
        self._copies: deque[tuple[float, float]] = deque()
        self._fft = _fast_length(size)  # no lag that is looked at wraps around
        self._last_played_s = -1e9
        self.silenced = 0
        """Samples replaced by silence so far."""

    def copied_s(self, from_s: float, until_s: float) -> float:
        """Seconds between two times in which the microphone was found to be a copy."""
        return sum(max(0.0, min(until_s, end) - max(from_s, start)) for start, end in self._copies)

    def played(self, pcm: Pcm, at_s: float) -> None:
        """A frame that was sent at ``at_s``. Silence that was not sent needs no call."""
        start = int(at_s * RECOGNIZER_RATE)
        ring = self._ring
        if not len(self._reference):
            self._reference = np.zeros(ring, np.float32)
        if start > self._reference_end:  # what lies between was silence
            gap = min(start - self._reference_end, ring)
            self._write(start - gap, np.zeros(gap, np.float32))
        elif start < self._reference_end:  # sent in a burst: frames follow one another
            start = self._reference_end
        self._write(start, pcm.astype(np.float32))
        self._last_played_s = at_s

    def _write(self, start: int, samples: NDArray[np.float32]) -> None:
        """At most as much as the ring holds."""
        at = start % self._ring
        first = min(len(samples), self._ring - at)
        self._reference[at : at + first] = samples[:first]
        self._reference[: len(samples) - first] = samples[first:]
        self._reference_end = start + len(samples)

    def _read(self, start: int, end: int) -> NDArray[np.float32]:
        """What was played between two sample numbers; zeros where nothing was."""
        out = np.zeros(end - start, np.float32)
        low, high = max(start, self._reference_end - self._ring, 0), min(end, self._reference_end)
        if high > low:
            at = low % self._ring
            first = min(high - low, self._ring - at)
            out[low - start : low - start + first] = self._reference[at : at + first]
            out[low - start + first : high - start] = self._reference[: high - low - first]
        return out

    def clean(self, pcm: Pcm, at_s: float) -> Pcm:
        """The frame received at ``at_s``, or silence where it is an echo. Costs nothing while nothing is played."""
        if at_s - self._last_played_s > MAX_DELAY_S + WINDOW / RECOGNIZER_RATE:
            self._is_copy = False
            return pcm
        count = min(len(pcm), WINDOW)
        self._heard = np.concatenate((self._heard[count:], pcm[-count:].astype(np.float32)))
        self._since += len(pcm)
        if self._since >= HOP:
            self._since = 0
            self._is_copy = self._compare(at_s)
        if self._is_copy:
            self.silenced += len(pcm)
            self._remember(at_s - len(pcm) / RECOGNIZER_RATE, at_s)
            return np.zeros_like(pcm)
        return pcm

    def _remember(self, start_s: float, end_s: float) -> None:
        if self._copies and start_s - self._copies[-1][1] < 0.1:
            start_s = self._copies.pop()[0]
        self._copies.append((start_s, end_s))
        while self._copies[0][1] < end_s - KEPT_S:
            self._copies.popleft()

    def _compare(self, at_s: float) -> bool:
        """Is the last window a copy of some window that was played up to ``MAX_DELAY_S`` ago?"""
        heard = self._heard
        energy = float(np.dot(heard, heard))
        if energy < WINDOW * 4.0:  # under 2 of 32768 RMS: nothing to hear
            return self._is_copy
        end = int(at_s * RECOGNIZER_RATE)
        reference = self._read(end - self._size, end)
        power = np.concatenate((np.zeros(1), np.cumsum(reference.astype(np.float64) ** 2)))
        windows = power[WINDOW:] - power[:-WINDOW]
        loudest = float(windows.max())
        if loudest < WINDOW * 4.0:
            self._likeness = 0.0
            return False
        spectrum = np.fft.rfft(reference, self._fft) * np.conj(np.fft.rfft(heard, self._fft))
        correlation = np.fft.irfft(spectrum, self._fft)[: len(windows)]
        share = float((correlation**2 / (np.maximum(windows, WINDOW * 4.0) * energy)).max())
        self._likeness += 0.5 * (share - self._likeness)
        return share >= COPY_SHARE or (self._likeness >= LIKENESS and energy < QUIET * loudest)


@dataclass(slots=True)
class _Said:
    sequence: tuple[str, ...]
    from_s: float
    until_s: float


class EchoWords:
    """Remembers what was said to a session, to recognize it when it comes back. State of one session."""

    def __init__(self) -> None:
        self._said: deque[_Said] = deque(maxlen=16)

    def said(self, text: str, from_s: float) -> None:
        """``text`` is played from then on; ``go_on`` tells until when."""
        self._said.append(_Said(tuple(_WORD.findall(text.lower())), from_s, from_s))

    def go_on(self, until_s: float) -> None:
        """What was said last is played until then."""
        if self._said:
            self._said[-1].until_s = until_s

    def repeats(self, text: str, from_s: float, until_s: float) -> bool:
        """Does an utterance between these times, most of it while something played, say the same words?

        Three of four of its words in the order they were played count as the same; an answer of one or two words
        must be the whole of what was played, or people could not agree with what they hear.
        """
        words = tuple(_WORD.findall(text.lower()))
        if not words:
            return False
        for said in self._said:
            overlap = min(until_s, said.until_s + MAX_DELAY_S) - max(from_s, said.from_s)
            if from_s < said.from_s - SLACK_S or overlap < OVERLAP * (until_s - from_s):
                continue
            if len(words) < 3:
                if words == said.sequence:
                    return True
                continue
            if _common(words, said.sequence) >= 0.75 * len(words):
                return True
        return False


def _common(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        previous = 0
        for index, other in enumerate(second, 1):
            previous, row[index] = (
                row[index],
                previous + 1 if word == other else max(row[index], row[index - 1]),
            )
    return row[-1]
