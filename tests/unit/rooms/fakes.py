"""A fleet whose translations and voices are simple functions, with switches for what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import numpy as np

from media_server.engines.base import Pair, SpeakRequest, Speech
from media_server.engines.fleet import Translated
from media_server.engines.registry import Route, Routes
from media_server.errors import EngineFailed
from media_server.events import Caption, Heard, Lag, RoomEvent, Spoken, Status
from media_server.glossary import EMPTY, Glossary


class FakeFleet:
    """Translates by upper case with the target's code; a voice gives 100 ms a word."""

    def __init__(self) -> None:
        self.routes = Routes(
            {"upper": [Pair("en", "es", 60), Pair("es", "pt", 60)]},
            {"ears": [Pair("fr", "en", 75)]},
        )
        self.broken: set[str] = set()
        self.translated: list[str] = []
        self.owners: list[str | None] = []
        self.glossaries: list[Glossary] = []
        self.spoken: list[SpeakRequest] = []
        self.pace = 1.0
        self.hold = asyncio.Event()
        self.hold.set()
        self.recognizers: list[object] = []
        self.turns: list[object] = []
        self.hosts: list[object] = []
        self.wait_s = 0.0
        self.sentences = False
        """Whether a voice takes every word for a sentence."""
        self.worked_s, self.workers, self.cost = 0.0, 1, 0.0

    def listen(self, callback: object) -> None:
        """Nothing ever changes here."""

    def statuses(self) -> list[Status]:
        return [Status("translate", "upper", "info", "upper is ready.")]

    def heard_languages(self) -> tuple[str, ...]:
        return ("en", "es", "fr")

    def missing(self) -> tuple[object, ...]:
        return ()

    def final_wait_s(self) -> float:
        return self.wait_s

    def recognizers_work(self) -> tuple[float, int]:
        return self.worked_s, self.workers

    def speaker_cost(self) -> float:
        return self.cost

    async def warm(self, source: str, target: str) -> None:
        """Always warm."""

    async def recognize(
        self, request: object, *, owner: str, deadline_s: float, wanted: object = None
    ) -> object:
        raise EngineFailed("no ears")

    async def translate(
        self, text: str, route: Route, *, glossary: Glossary = EMPTY, partial_of: str | None = None
    ) -> Translated:
        await self.hold.wait()
        if "translate" in self.broken:
            raise EngineFailed("broken")
        self.translated.append(text)
        self.owners.append(partial_of)
        self.glossaries.append(glossary)
        for step in route.steps:
            if not step.from_speech:
                text = f"{text.upper()}/{step.target}"
        return Translated(text, route.by)

    async def speak(self, request: SpeakRequest) -> AsyncGenerator[Speech]:
        if "speak" in self.broken:
            raise EngineFailed("broken")
        self.spoken.append(request)
        for number, word in enumerate(request.text.split()):
            samples = int(4800 * self.pace / request.speed)
            text = word if self.sentences else "" if number else request.text
            yield Speech(np.ones(samples, np.int16), text)


class Listener:
    """A member of a room that keeps what it is given."""

    def __init__(self, speaker: str, target: str) -> None:
        self.speaker = speaker
        self.target = target
        self.glossary = EMPTY
        self.hears_itself = False
        self.events: list[RoomEvent] = []
        self.sound: list[Spoken] = []
        self.queued_s = 0.0
        self.news = asyncio.Event()

    def tell(self, event: RoomEvent) -> None:
        self.events.append(event)
        self.news.set()

    def hear(self, spoken: Spoken, speaker: str) -> None:
        self.sound.append(spoken)
        self.news.set()

    @property
    def captions(self) -> list[Caption]:
        return [event for event in self.events if isinstance(event, Caption)]

    @property
    def lags(self) -> list[Lag]:
        return [event for event in self.events if isinstance(event, Lag)]

    @property
    def finals(self) -> list[Caption]:
        return [caption for caption in self.captions if caption.final]

    def clips(self) -> int:
        return sum(spoken.last for spoken in self.sound)

    async def until(self, condition: object) -> None:
        """Waits for news until ``condition()`` is true, at most 5 s."""
        assert callable(condition)
        async with asyncio.timeout(5):
            while not condition():
                self.news.clear()
                await self.news.wait()


def heard(text: str, utterance: str = "u1", *, final: bool = True, language: str = "en", committed: int = -1,
          english: str | None = None) -> Heard:  # fmt: skip
    length = len(text) if committed < 0 else committed
    return Heard(utterance, 1, text, length, language, 0, 1000, final=final, english=english)
