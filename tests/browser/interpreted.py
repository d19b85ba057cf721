"""What a page with the tap heard and read: captions with their times, packets as runs of sound."""

from __future__ import annotations

import base64
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import BrowserContext

from media_server.audio.opus_av import AvDecoder
from media_server.engines.base import Pcm

HERE = Path(__file__).resolve().parent
RATE = 48_000
STEP = RATE // 50
"""20 ms, in samples and in ticks of the RTP clock of Opus (RFC 7587, section 4.1)."""


@dataclass(frozen=True, slots=True)
class Run:
    """Packets whose RTP time stamps step by 20 ms: a clip, or several that follow each other at once."""

    stamps: NDArray[np.int64]
    arrived_ms: NDArray[np.float64]
    pcm: NDArray[np.float64]

    @property
    def latest_ms(self) -> float:
        """How much later than the steady beat of the first packet the latest one came."""
        due = self.arrived_ms[0] + (self.stamps - self.stamps[0]) / (RATE / 1000)
        return float((self.arrived_ms - due).max())

    def correlation(self, made: Pcm) -> float:
        """Of the whole of ``made`` with the part of this run that is most like it; 0 if the run is shorter.

        What is compared is the power in 32 bands every 10 ms. espeak-ng lets its pitch flutter: two renderings of a
        text by the same process have waveforms that correlate with 0.3 to 0.8, while their bands do with more than
        0.95, and those of different texts with less than 0.3.
        """
        wanted, heard = _bands(made.astype(np.float64)), _bands(np.pad(self.pcm, STEP))
        size = len(wanted)
        wanted = wanted - wanted.mean(axis=0)
        best = 0.0
        for start in range(len(heard) - size + 1):
            part = heard[start : start + size]
            part = part - part.mean(axis=0)
            scale = np.sqrt((part**2).sum() * (wanted**2).sum())
            best = max(best, float((part * wanted).sum() / max(scale, 1e-9)))
        return best


def _bands(pcm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(frames of 10 ms, bands from 100 Hz to 5 kHz): logarithm of the power, at most 40 dB under the loudest."""
    window = STEP * 2
    pieces = np.lib.stride_tricks.sliding_window_view(np.pad(pcm, (0, window)), window)[:: STEP // 2]
    power = np.abs(np.fft.rfft(pieces * np.hanning(window), axis=1)) ** 2
    edges = np.unique(np.geomspace(100, 5_000, 33) * window / RATE).astype(int)
    bands = np.stack(
        [power[:, low : max(high, low + 1)].sum(axis=1) for low, high in pairwise(edges)], axis=1
    )
    logs: NDArray[np.float64] = np.log10(np.maximum(bands, bands.max() * 1e-4))
    return logs


@dataclass(frozen=True, slots=True)
class Heard:
    """Everything the tap kept."""

    messages: list[tuple[float, dict[str, Any]]]
    """(arrival in Unix ms, message), oldest first."""
    spoken_ms: list[float]
    packets: list[tuple[int, float, bytes]]

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Heard:
        packets = [(int(stamp), float(at), base64.b64decode(data)) for stamp, at, data in kept["packets"]]
        return cls([(at, message) for at, message in kept["messages"]], kept["spoken"], packets)

    def captions(self, kind: str, utterance: str | None = None) -> list[tuple[float, dict[str, Any]]]:
        """``partial`` or ``final`` ones; of the finals of an utterance only the first counts."""
        found = [
            (at, message)
            for at, message in self.messages
            if message["type"] == kind and utterance in {None, message["id"]}
        ]
        if kind == "partial":
            return found
        first: dict[str, tuple[float, dict[str, Any]]] = {}
        for at, message in found:
            first.setdefault(message["id"], (at, message))
        return list(first.values())

    def end_of_speech_ms(self, before_ms: float) -> float:
        """When the microphone was last loud before that moment."""
        return max(at for at in self.spoken_ms if at < before_ms)

    @property
    def runs(self) -> list[Run]:
        """Split wherever time stamps do not step by 20 ms: a clip that was torn lies whole in none of them."""
        stamps = np.unwrap(np.array([stamp for stamp, _, _ in self.packets], np.float64), period=2**32)
        cuts = np.flatnonzero(np.diff(stamps) != STEP) + 1
        edges = [0, *cuts.tolist(), len(self.packets)]
        return [
            _run(stamps[start:end].astype(np.int64), self.packets[start:end])
            for start, end in pairwise(edges)
        ]


def _run(stamps: NDArray[np.int64], packets: Sequence[tuple[int, float, bytes]]) -> Run:
    decoder = AvDecoder()  # another decoder than the encoder's own library
    pcm = np.concatenate([decoder.decode(payload) for _, _, payload in packets]).astype(np.float64)
    return Run(stamps, np.array([at for _, at, _ in packets]), pcm)


async def tap(context: BrowserContext) -> None:
    """Every page of this context keeps what it hears in ``window.heard``."""
    await context.add_init_script(path=HERE / "tap.js")


def record(path: Path, pieces: Sequence[Pcm], rate: int = 16_000) -> None:
    """A microphone's recording: the pieces, one behind the other."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.concatenate(pieces).astype("<i2").tobytes())


def silence(seconds: float, rate: int = 16_000) -> Pcm:
    return np.zeros(round(seconds * rate), np.int16)
