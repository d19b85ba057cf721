"""What an engine is: capabilities as data, and stateless requests with everything wanted out in one answer.

An engine class lives in a child process (``engines.host`` supervises it, ``engines.worker`` runs it). It is made
with plain keyword settings, loads its model in ``load()`` (the only place for heavy imports) and then answers
requests, one at a time per instance unless it says otherwise. No state of a session is kept in it.

Sound is mono everywhere. Recognizers and turn detectors take int16 at 16 kHz, voices give int16 at 48 kHz.
Languages are ISO 639-1 codes in lower case ("en", "es", "pt"); voices may be more precise inside ("en-us").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]  # mono

RECOGNIZER_RATE = 16_000  # Hz, what recognizers and turn detectors take
VOICE_RATE = 48_000  # Hz, what voices give and tracks play

EngineKind = Literal["recognize", "turn", "translate", "speak"]
Output = Literal["transcript", "english"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One step of translation."""

    source: str
    target: str
    quality: int
    """0 to 100, only to order engines: which one is better for this pair."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, once loaded; the same data chooses engines and is shown to people."""

    kind: EngineKind
    name: str
    model: str = ""
    """Human-readable: "base int8", "en_US-joe-medium"."""
    version: str = ""
    licence: str = ""
    languages: tuple[str, ...] = ()
    """Recognizers: what they hear. Voices: what they speak. Empty for translators."""
    pairs: tuple[Pair, ...] = ()
    """Translators: every direct pair. A recognizer that can translate speech lists pairs into English here."""
    off_machine: str | None = None
    """Who gets the data when it leaves this machine; None when it stays."""
    batch: int = 1
    """How many requests ``recognize``, or ``translate_batch``, takes at once with profit."""
    batch_s: float = 0.0
    """Recognizers: seconds of sound that a batch may hold, each window counted as long as its longest; 0: any."""
    speaker_cost: float = 0.0
    """Recognizers: seconds of their work that a second of a speaker needs, as measured elsewhere; 0: not known."""
    faults: tuple[str, ...] = ()
    """What is here and cannot be used, or not as it should be, and why: a sentence each, for people."""
    concurrent: int = 1
    """How many requests it answers beside each other, each in a thread of the child: for engines that wait for
    somebody else. It is the engine's attribute ``concurrent``, too."""
    detects: bool = True
    """Recognizers: whether they can tell which language is spoken."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a hypothesis between two time tokens of the recognizer."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a window may say. ``text`` is the segments' texts joined and stripped; empty when nothing is said."""

    text: str
    segments: tuple[Segment, ...] = ()
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0


@dataclass(frozen=True, slots=True)
class RecognizeRequest:
    """One window of speech.

    ``audio`` is int16 at 16 kHz, at most 30 s. ``language`` None asks for detection among ``candidates`` (empty:
    all). ``detect`` asks which language it sounds like although one is given. ``final`` windows are worth more
    padding and a second try at a higher temperature; partial ones are worth speed. ``prompt`` is names and terms,
    never earlier text.
    """

    audio: Pcm
    language: str | None = None
    outputs: tuple[Output, ...] = ("transcript",)
    final: bool = False
    detect: bool = False
    candidates: tuple[str, ...] = ()
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Recognition:
    """``language`` is the one that ``transcript`` was decoded in; ``english`` is there where it was asked for."""

    transcript: Hypothesis
    language: str
    language_probability: float
    """Of ``detected``, among all languages that the model knows; 1.0 where nothing was detected."""
    detected: str = ""
    """The candidate it sounds most like; empty where neither ``detect`` nor an open language asked for it."""
    english: Hypothesis | None = None
    took_s: float = 0.0
    """Seconds of work in the engine, without the wait before it."""


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """The end of what was said so far: int16 at 16 kHz, the last 8 s are used."""

    audio: Pcm


@dataclass(frozen=True, slots=True)
class Turn:
    probability: float
    """0 to 1: does the speaker sound finished?"""


@dataclass(frozen=True, slots=True)
class TranslateRequest:
    """Texts of one direct pair, each translated by itself."""

    texts: tuple[str, ...]
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Translation:
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpeakRequest:
    """One text in one language. ``speed`` 1.0 is the voice's own pace, up to 1.25 to catch up.

    ``live``: somebody waits for it in a call; a voice says those texts first.
    """

    text: str
    language: str
    speed: float = 1.0
    live: bool = True


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of a voice's answer: int16 at 48 kHz, levelled, edges faded; the pieces joined are the whole."""

    pcm: Pcm
    text: str = ""
    """The sentence that starts with this piece, on its first piece only."""
    voice: str = ""


class Engine(Protocol):
    """Runs in a child process. ``load()`` may take seconds and raises with words that say what is missing."""

    def load(self) -> Capabilities: ...

    def close(self) -> None: ...


class Recognizer(Engine, Protocol):
    def recognize(self, requests: list[RecognizeRequest]) -> list[Recognition]:
        """Answers in the order of the requests; ``len(requests)`` is at most ``Capabilities.batch``."""
        ...


class TurnDetector(Engine, Protocol):
    def turn(self, request: TurnRequest) -> Turn: ...


class Translator(Engine, Protocol):
    def translate(self, request: TranslateRequest) -> Translation: ...


class BatchTranslator(Translator, Protocol):
    """A translator whose ``Capabilities.batch`` is more than one."""

    def translate_batch(self, requests: list[TranslateRequest]) -> list[Translation]:
        """Answers in the order of the requests, which may be of several pairs; at most ``Capabilities.batch``."""
        ...


class Voice(Engine, Protocol):
    def speak(self, request: SpeakRequest) -> Iterator[Speech]:
        """Piece by piece, the first as soon as there is one. Closing the iterator stops the work."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """How to make an engine in a child: ``factory`` is "module:Class", ``settings`` its keyword arguments (JSON).

    ``secrets`` are keyword arguments as well. They reach the child through its pipe only: never its environment or
    its command line, and never a ``repr``.
    """

    kind: EngineKind
    name: str
    factory: str
    settings: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    reason: str = ""
    """Why this engine was chosen, for people."""
    nice: int = 5
    """Added to the child's niceness, so that audio always goes first."""
    languages: tuple[str, ...] = ()
    """Known before loading, where it is: lets the page offer pairs while models load."""
    pairs: tuple[Pair, ...] = ()
    off_machine: str | None = None
    """As ``Capabilities.off_machine``, known before loading: nobody may be told too late who gets their words."""

    @property
    def sort(self) -> tuple[str, ...]:
        """The same for engines that differ in nothing but their number: workers of one model."""
        return (self.kind, self.factory, *(f"{key}={value}" for key, value in sorted(self.settings.items())))
