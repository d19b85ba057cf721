"""What an engine's host and its child say to each other.

::

    host -> child                      child -> host
    Start(spec)            first       Ready(capabilities) | Unable(reason)
    Work(ids, requests)                for each id exactly one of Answer, Failed, Done
    Next(id)               speak       before Done, any number of Piece(id, speech)
    Cancel(id)                         the id still ends, with whatever comes first
    Ping(number)                       Pong(number, cpu_s), at once, even while an engine works

A child that has sent ``AHEAD`` pieces of one id waits for a ``Next`` before it makes another one, so a slow
listener holds at most that many pieces of sound in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from media_server.engines.base import (
    Capabilities,
    EngineSpec,
    Recognition,
    RecognizeRequest,
    SpeakRequest,
    Speech,
    TranslateRequest,
    Translation,
    Turn,
    TurnRequest,
)

AHEAD = 4  # pieces of speech made before anybody asked for them

Request = RecognizeRequest | TurnRequest | TranslateRequest | SpeakRequest
Result = Recognition | Turn | Translation


@dataclass(frozen=True, slots=True)
class Start:
    spec: EngineSpec


@dataclass(frozen=True, slots=True)
class Work:
    """More than one request only for recognizers, and never more than ``Capabilities.batch``."""

    ids: tuple[int, ...]
    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Next:
    """One more piece of speech has been taken."""

    id: int


@dataclass(frozen=True, slots=True)
class Cancel:
    id: int


@dataclass(frozen=True, slots=True)
class Ping:
    number: int


@dataclass(frozen=True, slots=True)
class Ready:
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Unable:
    """``load()`` raised. The child ends; ``reason`` is written for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    id: int
    result: Result


@dataclass(frozen=True, slots=True)
class Piece:
    id: int
    speech: Speech


@dataclass(frozen=True, slots=True)
class Done:
    """A voice has nothing more to say, or a cancelled request was not done at all."""

    id: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine raised. ``reason`` holds no speech: the words of an ``EngineError``, else type and place."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pong:
    number: int
    cpu_s: float
    """CPU time of the child and of the programs that it runs, since it started."""


Message = Start | Work | Next | Cancel | Ping | Ready | Unable | Answer | Piece | Done | Failed | Pong
