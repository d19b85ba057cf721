"""What travels between stages: frozen values. JSON and other formats are made from them at the edge.

Times named ``*_ms`` count from the start of the call. An utterance has an id that is unique in its call; its
captions carry a ``revision`` that grows by one each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from media_server.engines.base import Pcm


@dataclass(frozen=True, slots=True)
class Speaking:
    """The voice of a speaker came (``on``) or went."""

    speaker: str
    on: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What the recognizer understood of an utterance so far; ``final`` says that it ends here.

    ``text[:committed]`` never changes in later revisions. ``english`` is the same in English where the recognizer
    translates, with ``english_committed`` of its own.
    """

    utterance: str
    revision: int
    text: str
    committed: int
    language: str
    start_ms: int
    end_ms: int
    final: bool = False
    confidence: float | None = None
    english: str | None = None
    english_committed: int = 0


@dataclass(frozen=True, slots=True)
class Anticipated:
    """What will be final if the silence goes on: translate and speak it into a buffer, show nothing."""

    heard: Heard


@dataclass(frozen=True, slots=True)
class Lost:
    """An utterance that could not be recognized, with the reason for people and its code for programs."""

    utterance: str
    start_ms: int
    end_ms: int
    message: str
    speaker: str = ""
    code: str = "ASR_FAILED"


@dataclass(frozen=True, slots=True)
class Caption:
    """A line of captions for one listener's language. ``translation`` is empty where there is none (yet)."""

    id: str
    speaker: str
    revision: int
    final: bool
    text: str
    lang: str
    translation: str
    target_lang: str
    committed: int
    translation_committed: int
    start_ms: int
    end_ms: int
    confidence: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of interpretation to be heard: int16 mono at 48 kHz. ``last`` ends the clip of that utterance.

    All who hear it are given the same object, so work on it can be shared by its identity.
    """

    utterance: str
    language: str
    pcm: Pcm
    text: str = ""
    last: bool = False
    sentence: bool = False
    """A sentence begins with this piece."""
    end_ms: int = 0
    """End of the utterance, since the start of the speaker's call."""
    ended_at_s: tuple[float, ...] = ()
    """For each text that begins with this piece: the clock's time at which the speech ended that it interprets."""


@dataclass(frozen=True, slots=True)
class Lag:
    """An utterance begins to be heard in this language so long after its speech had ended."""

    utterance: str
    language: str
    lag_ms: int


@dataclass(frozen=True, slots=True)
class Status:
    """Something about a stage that people should know."""

    stage: str
    engine: str
    level: Literal["info", "warning", "error"]
    message: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The server ends the call, or will not take it back for a while."""

    message: str
    retry_after_s: int | None = None


type RoomEvent = Speaking | Caption | Lag | Lost | Status | Goodbye
