"""A recording cut into windows of speech: at silences where there are any, else where it is quietest. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media_server.engines.base import RECOGNIZER_RATE, Pcm
from media_server.pipeline.detect import FRAME_MS, FRAME_SAMPLES, VoiceGate
from media_server.pipeline.window import FLOOR_DB, VOICE_WEIGHT_DB

VOICE_ON, VOICE_OFF, ON_FRAMES = 0.5, 0.35, 2
BEFORE_MS = 320  # of sound before a stretch of speech that belong to it
AFTER_MS = 320
JOINED_MS = 1000  # a shorter silence does not end a window
SHORTEST_VOICE_MS = 96  # less voice than this is no speech
LATEST_SHARE = 0.6  # speech without a pause is cut in the last 40 % of a window


@dataclass(frozen=True, slots=True)
class Piece:
    """int16 at 16 kHz from ``start_s`` of the recording on."""

    pcm: Pcm
    start_s: float
    voiced_ms: int
    """How much voice is in it, and how certain it is on average."""
    probability: float


class Cutter:
    """Gives out the windows one after the other; each may have a length of its own."""

    def __init__(self, pcm: Pcm, heard: NDArray[np.float32]) -> None:
        self._pcm = pcm
        self._heard = heard
        self._cost = _levels(pcm, len(heard)) + VOICE_WEIGHT_DB * heard
        self._stretches = _stretches(heard)
        """Frames [first, one past the last) of speech and what belongs to it, in order, apart from each other."""

    def next(self, longest_s: float) -> Piece | None:
        """The next window, at most so long; None at the end."""
        most = max(1, int(longest_s * 1000) // FRAME_MS)
        while self._stretches:
            first, end = self._stretches.pop(0)
            if end - first > most:
                end, rest = self._quietest(first, most), end
                self._stretches.insert(0, (end, rest))
            else:
                while self._stretches and self._joins(first, end, most):
                    end = self._stretches.pop(0)[1]
            voiced = self._heard[first:end][self._heard[first:end] >= VOICE_ON]
            if len(voiced) * FRAME_MS >= SHORTEST_VOICE_MS:
                return Piece(
                    self._pcm[first * FRAME_SAMPLES : end * FRAME_SAMPLES],
                    first * FRAME_SAMPLES / RECOGNIZER_RATE,
                    len(voiced) * FRAME_MS,
                    float(voiced.mean()),
                )
        return None

    def _joins(self, first: int, end: int, most: int) -> bool:
        start, stop = self._stretches[0]
        return (start - end) * FRAME_MS < JOINED_MS and stop - first <= most

    def _quietest(self, first: int, most: int) -> int:
        low, high = first + max(1, int(most * LATEST_SHARE)), first + most
        around = np.maximum(self._cost[low - 1 : high], self._cost[low : high + 1])
        return low + int(np.argmin(around))


def _stretches(heard: NDArray[np.float32]) -> list[tuple[int, int]]:
    gate = VoiceGate(VOICE_ON, VOICE_OFF, ON_FRAMES)
    before, after = BEFORE_MS // FRAME_MS, AFTER_MS // FRAME_MS
    found: list[tuple[int, int]] = []
    for frame, probability in enumerate(heard.tolist()):
        if gate.push(probability):
            found.append((max(0, frame + 1 - ON_FRAMES - before), frame + 1))
        if gate.voiced:
            found[-1] = (found[-1][0], frame + 1)
    padded = [(first, min(len(heard), end + after)) for first, end in found]
    apart: list[tuple[int, int]] = []
    for first, end in padded:
        if apart and first <= apart[-1][1]:
            apart[-1] = (apart[-1][0], end)
        else:
            apart.append((first, end))
    return apart


def _levels(pcm: Pcm, frames: int) -> NDArray[np.float64]:
    """Of each frame, in dBFS."""
    squares = pcm[: frames * FRAME_SAMPLES].reshape(frames, FRAME_SAMPLES).astype(np.float32) ** 2
    power = squares.mean(axis=1, dtype=np.float64) / 32768.0**2
    return np.maximum(10.0 * np.log10(np.maximum(power, 1e-12)), FLOOR_DB)
