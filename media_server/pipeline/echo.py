"""Hears whether a microphone brings back what was played to it.

Two proofs, either is enough. By sound: a stretch of the microphone that is mostly a delayed, scaled copy of what was
played is replaced by silence before anything looks for speech in it; a person talking over the echo is louder than
it, is no copy, and passes. By words: an utterance that began while something was playing and says the same words
(the interpretation's, or the original's when the recognizer translated them back) is dropped.

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
HOP = 1280  # samples between two comparisons, 80 ms
COPY_SHARE = 0.5  # share of the microphone's energy that a copy explains
TAIL_S = 3.0  # words may come back this long after they were played: an utterance ends late
_WORD = re.compile(r"\w+", re.UNICODE)


class EchoCanceller:
    """Silences stretches that are a copy of what was played. State of one session."""

    def __init__(self) -> None:
        size = WINDOW + int(MAX_DELAY_S * RECOGNIZER_RATE)
        self._reference = np.zeros(4 * size, np.float32)  # ring, addressed by absolute sample number
        self._reference_end = 0
        self._size = size
        self._heard = np.zeros(WINDOW, np.float32)
        self._since = 0
        self._is_copy = False
        self._fft = 1 << (size + WINDOW - 1).bit_length()
        self._last_played_s = -1e9
        self.silenced = 0
        """Samples replaced by silence so far."""

    def played(self, pcm: Pcm, at_s: float) -> None:
        """A frame that was sent at ``at_s``. Silence that was not sent needs no call."""
        start = int(at_s * RECOGNIZER_RATE)
        ring = len(self._reference)
        if start > self._reference_end:  # what lies between was silence
            gap = min(start - self._reference_end, ring)
            self._write(start - gap, np.zeros(gap, np.float32))
        elif start < self._reference_end:  # sent in a burst: frames follow one another
            start = self._reference_end
        self._write(start, pcm.astype(np.float32))
        self._last_played_s = at_s

    def _write(self, start: int, samples: NDArray[np.float32]) -> None:
        index = np.arange(start, start + len(samples)) % len(self._reference)
        self._reference[index] = samples
        self._reference_end = start + len(samples)

    def _read(self, start: int, end: int) -> NDArray[np.float32]:
        """What was played between two sample numbers; zeros where nothing was."""
        out = np.zeros(end - start, np.float32)
        low, high = max(start, self._reference_end - len(self._reference), 0), min(end, self._reference_end)
        if high > low:
            out[low - start : high - start] = self._reference[np.arange(low, high) % len(self._reference)]
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
            return np.zeros_like(pcm)
        return pcm

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
        if windows.max() < WINDOW * 4.0:
            return False
        spectrum = np.fft.rfft(reference, self._fft) * np.conj(np.fft.rfft(heard, self._fft))
        correlation = np.fft.irfft(spectrum, self._fft)[: len(windows)]
        share = correlation**2 / (np.maximum(windows, WINDOW * 4.0) * energy)
        return bool(share.max() >= COPY_SHARE)


@dataclass(frozen=True, slots=True)
class _Said:
    words: frozenset[str]
    sequence: tuple[str, ...]
    from_s: float
    until_s: float


class EchoWords:
    """Remembers what was said to a session, to recognize it when it comes back. State of one session."""

    def __init__(self) -> None:
        self._said: deque[_Said] = deque(maxlen=16)

    def said(self, texts: tuple[str, ...], from_s: float, until_s: float) -> None:
        """``texts``: the interpretation and its original, heard between the two times."""
        for text in texts:
            sequence = tuple(_WORD.findall(text.lower()))
            if sequence:
                self._said.append(_Said(frozenset(sequence), sequence, from_s, until_s))

    def repeats(self, text: str, from_s: float, until_s: float) -> bool:
        """Does an utterance that began at ``from_s``, while something played, say the same words?

        Three of four of its words in the order they were played count as the same; a one-word answer must be the
        whole of what was played, or people could not agree with what they hear.
        """
        words = tuple(_WORD.findall(text.lower()))
        if not words:
            return False
        for said in self._said:
            if from_s > said.until_s + MAX_DELAY_S or until_s < said.from_s or from_s < said.from_s - 0.2:
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
