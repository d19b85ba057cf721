"""A recording to text, window after window, behind every window of a live call."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from media_server.engines.base import RECOGNIZER_RATE, Output, RecognizeRequest
from media_server.engines.fleet import Fleet
from media_server.errors import EngineUnavailable
from media_server.pipeline.evidence import believable, without_echo
from media_server.pipeline.language import CONFIDENT
from media_server.uploads.cut import Cutter, Piece
from media_server.uploads.decoder import Decoded

WINDOW_S = 28.0  # what the recognizer is best at
BESIDE_CALLS_S = 8.0  # a call's final waits for at most one window that has begun
DEADLINE_S = 300.0  # for a window; calls may keep it waiting
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue"})

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Line:
    """A stretch of the recording and what is said in it."""

    text: str
    start_s: float
    end_s: float
    avg_logprob: float
    no_speech_prob: float


@dataclass(frozen=True, slots=True)
class Transcript:
    lines: tuple[Line, ...]
    language: str
    """Spoken, ISO 639-1; empty where nothing was said and none was given."""
    duration_s: float
    unspaced: bool = False

    @property
    def text(self) -> str:
        return ("" if self.unspaced else " ").join(line.text for line in self.lines)


async def transcribe(
    fleet: Fleet,
    sound: Decoded,
    *,
    language: str | None,
    english: bool,
    prompt: str,
    calls: Callable[[], bool],
) -> Transcript:
    """``language`` None: found out. ``english``: what is said, in English. ``calls``: are there any now?

    Raises EngineError. Cancelling it takes the window that is waiting out of the queue.
    """
    cutter = await asyncio.to_thread(Cutter, sound.pcm, sound.heard)
    owner = f"upload {next(_numbers)}"
    outputs: tuple[Output, ...] = ("transcript", "english") if english else ("transcript",)
    spoken: dict[str, float] = {}
    lines: list[Line] = []
    known = language
    while (piece := cutter.next(BESIDE_CALLS_S if calls() else WINDOW_S)) is not None:
        request = RecognizeRequest(piece.pcm, known, outputs, final=True, prompt=prompt)
        result = without_echo(await fleet.transcribe(request, owner=owner, deadline_s=DEADLINE_S))
        if not believable(result.transcript, piece.voiced_ms, piece.probability):
            continue
        spoken[result.language] = spoken.get(result.language, 0.0) + len(piece.pcm) / RECOGNIZER_RATE
        if known is None and result.language_probability >= CONFIDENT:
            known = result.language
        hypothesis = result.transcript
        if english and result.language != "en":
            if result.english is None:
                raise EngineUnavailable("no engine here translates speech into English")
            hypothesis = result.english
        lines += _lines(piece, hypothesis.text, [(s.text, s.start_s, s.end_s) for s in hypothesis.segments],
                        (result.transcript.avg_logprob, result.transcript.no_speech_prob))  # fmt: skip
    heard = language or max(spoken, key=lambda code: spoken[code], default="")
    written = "en" if english else heard
    return Transcript(tuple(lines), heard, len(sound.pcm) / RECOGNIZER_RATE, written in UNSPACED)


def _lines(
    piece: Piece, text: str, segments: list[tuple[str, float, float]], sure: tuple[float, float]
) -> list[Line]:
    """The segments in the time of the recording; the window as one where the recognizer gave none that fit."""
    length_s = len(piece.pcm) / RECOGNIZER_RATE
    if "".join("".join(said for said, _, _ in segments).split()) != "".join(text.split()):
        segments = [(text, 0.0, length_s)]
    return [
        Line(said.strip(), piece.start_s + min(start, length_s), piece.start_s + min(end, length_s), *sure)
        for said, start, end in segments
        if said.strip()
    ]
