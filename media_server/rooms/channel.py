"""A language channel: what one speaker says, translated once and spoken once for all who want that language.

Finals are translated in the order they were said, and spoken in that order by a second task, so that a caption never
waits for a voice. The ending of an utterance is worked out ahead of time (``anticipated``): when the final comes with
the same text, its translation and the first pieces of its voice are there.

Queues: at most ``FINALS`` finals wait for translation and as many for a voice. When the voice falls behind, texts
that wait are spoken as one, faster, and left out when they would be heard too late (``pipeline.speak``); their
captions say so. Captions are never dropped.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

import numpy as np

from media_server.clock import Clock
from media_server.engines.base import VOICE_RATE, SpeakRequest, Speech
from media_server.engines.fleet import Fleet
from media_server.engines.keep import missing_terms, put_back
from media_server.engines.registry import Route
from media_server.errors import EngineError, Superseded
from media_server.events import Anticipated, Caption, Heard, Lag, Spoken
from media_server.glossary import EMPTY, Glossary
from media_server.metrics import Metrics
from media_server.pipeline.speak import LEAD_S, MAX_SPEED, Beginnings, SpeechLag, Waiting
from media_server.pipeline.translate import LiveCaption
from media_server.tasks import TaskOwner

FINALS = 64  # a minute or more of talk; a queue this long means that an engine is down
OPEN_CAPTIONS = 8  # utterances of one speaker that are open at a time: one, and those being translated
AHEAD_PIECES = 256
LONGEST_NAP_S = 0.25  # the listeners' queues may shrink at once: somebody leaves, or skips

SKIPPED = "Not spoken: the interpretation was too far behind."
NOT_SPOKEN = "No voice could speak this."


@dataclass(slots=True)
class _Ahead:
    """Work on an ending that may come: its translation, and pieces of its voice."""

    heard: Heard
    pieces: asyncio.Queue[Speech | None]
    task: asyncio.Task[None] | None = None
    translation: asyncio.Future[tuple[str, str]] | None = None
    speed: float = 1.0
    voiced: bool = False
    """A voice speaks it; there is no use in that while others wait to be heard before it."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A final translation on its way to the voice."""

    caption: Caption
    ended_at_s: float
    came_at_s: float
    ahead: _Ahead | None


class Channel:
    """One speaker in one target language. ``publish`` gets captions and speech; ``stop`` ends all work."""

    def __init__(
        self,
        speaker: str,
        target: str,
        fleet: Fleet,
        metrics: Metrics,
        clock: Clock,
        publish: Callable[[Caption | Lag | Spoken], None],
        *,
        speech_limit_s: float,
        wants_voice: Callable[[], bool],
        glossary: Callable[[], Glossary] = lambda: EMPTY,
        queued_s: Callable[[], float] = lambda: 0.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """``queued_s``: how much interpretation its listeners have still to hear, other speakers' included."""
        self.speaker = speaker
        self.target = target
        self._fleet = fleet
        self._metrics = metrics
        self._clock = clock
        self._publish = publish
        self._wants_voice = wants_voice
        self._glossary = glossary
        """The speaker's names and terms, as they are now."""
        self._queued_s = queued_s
        self._sleep = sleep
        self._lag = SpeechLag(speech_limit_s)
        self._captions: OrderedDict[str, LiveCaption] = OrderedDict()
        self._ahead: _Ahead | None = None
        self._finals: asyncio.Queue[tuple[Heard, float, _Ahead | None]] = asyncio.Queue(FINALS)
        self._texts: deque[_Text] = deque()
        self._text_came = asyncio.Event()
        self._partial: asyncio.Task[None] | None = None
        self._tasks = TaskOwner(f"channel.{target}")
        self._running: list[asyncio.Task[None] | None] = []
        self._begin()

    def _begin(self) -> None:
        self._running = [
            self._tasks.start(self._translate_finals(), "translate"),
            self._tasks.start(self._speak_texts(), "speak"),
        ]

    async def stop(self) -> None:
        """Ends the tasks; what waits is forgotten. Idempotent."""
        await self._tasks.stop()

    def forget(self) -> None:
        """Consent was withdrawn: drops the speaker's words, also those being translated or spoken."""
        self._drop_ahead()
        self._drop_partial()
        for task in self._running:
            if task is not None:
                task.cancel()
        self._begin()
        self._captions.clear()
        self._texts.clear()
        while not self._finals.empty():
            self._finals.get_nowait()

    # -- what comes in ------------------------------------------------------------------------------------------

    def heard(self, heard: Heard, ended_at_s: float) -> None:
        """A partial or a final; ``ended_at_s`` is the clock's time at which the speech in it ended."""
        if heard.final:
            ahead = self._take_ahead(heard)
            self._drop_partial()
            if self._finals.full():
                self._finals.get_nowait()
                self._metrics.drops.labels("finals").inc()
            self._finals.put_nowait((heard, ended_at_s, ahead))
            return
        line = self._line(heard.utterance)
        self._publish(line.heard(heard))
        if (held_back := line.due(self._clock())) is not None:
            self._publish(held_back)
        route = self._route(heard)
        if route is None or not route.steps:
            return
        if route.steps[0].from_speech:
            if heard.english and len(route.steps) == 1:
                self._show(line, heard.english, heard.english_committed)
            elif heard.english:
                self._translate_partial(line, heard.english, route)
        elif text := line.to_translate(heard):
            self._translate_partial(line, text, route)

    def anticipated(self, event: Anticipated) -> None:
        """Works out an ending that may come; an earlier one is thrown away."""
        if self._ahead is not None and self._ahead.heard.text == event.heard.text:
            return
        self._drop_ahead()
        route = self._route(event.heard)
        if route is None or not route.steps:
            return
        ahead = _Ahead(event.heard, asyncio.Queue(AHEAD_PIECES))
        ahead.translation = asyncio.get_running_loop().create_future()
        ahead.task = self._tasks.start(self._work_ahead(ahead, route), "ahead")
        self._ahead = ahead

    # -- partials -----------------------------------------------------------------------------------------------

    def _line(self, utterance: str) -> LiveCaption:
        line = self._captions.get(utterance)
        if line is None:
            line = self._captions[utterance] = LiveCaption(utterance, self.speaker, self.target)
            while len(self._captions) > OPEN_CAPTIONS:
                self._captions.popitem(last=False)
        return line

    def _show(self, line: LiveCaption, text: str, committed: int) -> None:
        if (caption := line.translated(text, committed, self._clock())) is not None:
            self._publish(caption)

    def _translate_partial(self, line: LiveCaption, text: str, route: Route) -> None:
        """The newest partial only: one that still waits for its answer is given up."""
        self._drop_partial()

        async def work() -> None:
            # A partial's translation may be missing; the final's is what counts.
            for way in self._ways(route):
                try:
                    done = await self._fleet.translate(
                        text, way, glossary=self._glossary(), partial_of=f"{self.speaker}>{self.target}"
                    )
                except Superseded:
                    return
                except EngineError:
                    continue
                self._show(line, done.text, 0)
                return

        self._partial = self._tasks.start(work(), "partial")

    def _drop_partial(self) -> None:
        if self._partial is not None and not self._partial.done():
            self._partial.cancel()

    def _ways(self, route: Route) -> list[Route]:
        """The route, and those behind it that begin with the same kind of input."""
        source, speech = route.steps[0].source, route.steps[0].from_speech
        routes = self._fleet.routes.find(source, self.target)
        return [route, *(r for r in routes if r != route and r.steps and r.steps[0].from_speech == speech)]

    # -- ahead --------------------------------------------------------------------------------------------------

    async def _work_ahead(self, ahead: _Ahead, route: Route) -> None:
        assert ahead.translation is not None
        try:
            text, note = await self._translation(ahead.heard)
            ahead.translation.set_result((text, note))
            if text and self._wants_voice() and not self._texts and self._behind_s() <= LEAD_S:
                ahead.voiced, ahead.speed = True, min(MAX_SPEED, max(1.0, self._lag.load()))
                async with aclosing(self._voice(text, ahead.speed)) as pieces:
                    async for piece in pieces:
                        await ahead.pieces.put(piece)
        except EngineError:
            pass  # the final asks again and says what failed
        finally:
            ahead.translation.cancel()  # changes nothing where it is done
        await ahead.pieces.put(None)

    def _take_ahead(self, heard: Heard) -> _Ahead | None:
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        same = ahead.heard.text == heard.text and ahead.heard.language == heard.language
        if same and ahead.heard.english == heard.english:
            return ahead
        self._cancel(ahead)
        return None

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            self._cancel(self._ahead)
            self._ahead = None

    @staticmethod
    def _cancel(ahead: _Ahead) -> None:
        if ahead.task is not None:
            ahead.task.cancel()

    # -- finals -------------------------------------------------------------------------------------------------

    def _route(self, heard: Heard) -> Route | None:
        """The best route that can be taken with what was heard; None when there is no way."""
        for route in self._fleet.routes.find(heard.language, self.target):
            if not route.steps or not route.steps[0].from_speech or heard.english is not None:
                return route
        return None

    async def _translation(self, heard: Heard) -> tuple[str, str]:
        """(translation, note): tries every route, best first; the note says in words why there is none."""
        routes = self._fleet.routes.find(heard.language, self.target)
        if not routes:
            return "", f"There is no translation from {heard.language} to {self.target} here."
        glossary = self._glossary()
        last_resort: Route | None = None
        for route in routes:
            if not route.steps:
                return "", ""
            if route.steps[0].from_speech:
                if heard.english is None:
                    continue
                if missing_terms(heard.text, heard.english, glossary, "en"):
                    # The recognizer knows no glossary; a translator of texts keeps it.
                    last_resort = last_resort or route
                    continue
            try:
                return await self._by(route, heard, glossary), ""
            except EngineError:
                continue
        if last_resort is not None:
            with suppress(EngineError):
                return await self._by(last_resort, heard, glossary), ""
        return "", "The translation failed."

    async def _by(self, route: Route, heard: Heard, glossary: Glossary) -> str:
        text = heard.text
        if route.steps[0].from_speech:
            text = put_back(heard.text, heard.english or "", glossary, "en").strip()
            if len(route.steps) == 1:
                return text
        return (await self._fleet.translate(text, route, glossary=glossary)).text.strip()

    async def _translate_finals(self) -> None:
        while True:
            heard, ended_at_s, ahead = await self._finals.get()
            translation, note, found = "", "", False
            if ahead is not None and ahead.translation is not None:
                await asyncio.wait((ahead.translation,))
                if not ahead.translation.cancelled():
                    (translation, note), found = ahead.translation.result(), True
            if not found:
                ahead = None
                translation, note = await self._translation(heard)
            speaks = bool(translation) and self._wants_voice()
            caption = self._line(heard.utterance).final(heard, translation, note)
            self._captions.pop(heard.utterance, None)
            self._publish(caption)
            if speaks:
                self._queue_text(_Text(caption, ended_at_s, self._clock(), ahead))
            elif ahead is not None:
                self._cancel(ahead)

    def _queue_text(self, text: _Text) -> None:
        if len(self._texts) >= FINALS:
            self._skip(self._texts.popleft())
        self._texts.append(text)
        said_s = (text.caption.end_ms - text.caption.start_ms) / 1000
        self._lag.arrived(text.ended_at_s - said_s, text.ended_at_s, len(text.caption.translation))
        self._text_came.set()

    def _skip(self, text: _Text) -> None:
        """It is not spoken: it would be heard too late."""
        if text.ahead is not None:
            self._cancel(text.ahead)
        self._metrics.drops.labels("speech").inc()
        self._metrics.speech_texts.labels("skipped").inc()
        self._publish(_revised(text.caption, SKIPPED))

    # -- voice --------------------------------------------------------------------------------------------------

    def _behind_s(self) -> float:
        """Seconds until something spoken now would be heard by all."""
        return max(self._lag.lag_s(self._clock()), self._queued_s())

    async def _speak_texts(self) -> None:
        while True:
            while not self._texts:
                self._text_came.clear()
                await self._text_came.wait()
            while (early_s := self._behind_s() - LEAD_S) > 0:
                await self._sleep(min(early_s, LONGEST_NAP_S))
            waiting = [
                Waiting(text.ended_at_s, text.came_at_s, len(text.caption.translation))
                for text in self._texts
            ]
            turn = self._lag.turn(waiting, self._clock(), self._behind_s())
            for _ in range(turn.skip):
                self._skip(self._texts.popleft())
            if texts := [self._texts.popleft() for _ in range(turn.take)]:
                await self._say(texts, turn.speed)

    async def _say(self, texts: Sequence[_Text], speed: float) -> None:
        """Speaks the texts as one clip, that of the first."""
        whole = " ".join(text.caption.translation for text in texts)
        clip = texts[0].caption.id
        late: Sequence[_Text] = ()
        beginnings = Beginnings([text.caption.translation for text in texts])
        begun, seconds, end_ms = 0, 0.0, texts[0].caption.end_ms
        if len(texts) == 1 and (ahead := texts[0].ahead) is not None and ahead.voiced:
            speed = ahead.speed
        try:
            async with aclosing(self._pieces(texts, whole, speed)) as pieces:
                async for piece in pieces:
                    begin = [texts[number] for number in beginnings.of(piece.text)]
                    for text in begin:
                        self._begins(text, merged=len(texts) > 1)
                        begun, end_ms = begun + 1, text.caption.end_ms
                    self._publish(
                        Spoken(
                            clip,
                            self.target,
                            piece.pcm,
                            "" if seconds else whole,
                            sentence=bool(piece.text) or not seconds,
                            end_ms=end_ms,
                            ended_at_s=tuple(text.ended_at_s for text in begin),
                        )
                    )
                    self._lag.queued(len(piece.pcm) / VOICE_RATE, self._clock())
                    seconds += len(piece.pcm) / VOICE_RATE
        except EngineError:
            for text in texts[begun:]:
                self._metrics.speech_texts.labels("failed").inc()
                self._publish(_revised(text.caption, NOT_SPOKEN))
        else:
            self._lag.spoke(len(whole), seconds, speed)
            late = texts[begun:] if seconds else ()  # the voice did not say where they begin
            for text in late:
                self._begins(text, merged=True)
        finally:
            if seconds:
                ended_at_s = tuple(text.ended_at_s for text in late)
                self._publish(
                    Spoken(clip, self.target, _NOTHING, last=True, end_ms=end_ms, ended_at_s=ended_at_s)
                )

    def _begins(self, text: _Text, *, merged: bool) -> None:
        """The first sound of a text is handed out."""
        now = self._clock()
        lag_ms = max(0.0, now + self._behind_s() - text.ended_at_s) * 1000
        self._metrics.speech_lag.observe(lag_ms)
        self._metrics.speech_texts.labels("merged" if merged else "spoken").inc()
        self._publish(Lag(text.caption.id, self.target, round(lag_ms)))

    async def _pieces(self, texts: Sequence[_Text], whole: str, speed: float) -> AsyncGenerator[Speech]:
        ahead = texts[0].ahead
        if len(texts) == 1 and ahead is not None and ahead.voiced:
            begun = False
            while (piece := await ahead.pieces.get()) is not None:
                begun = True
                yield piece
            if begun:
                return
        for text in texts:
            if text.ahead is not None:
                self._cancel(text.ahead)
        async with aclosing(self._voice(whole, speed)) as pieces:
            async for piece in pieces:
                yield piece

    def _voice(self, text: str, speed: float) -> AsyncGenerator[Speech]:
        return self._fleet.speak(SpeakRequest(text, self.target, speed))


def _revised(caption: Caption, note: str) -> Caption:
    return replace(caption, revision=caption.revision + 1, note=note)


_NOTHING = np.zeros(0, np.int16)
