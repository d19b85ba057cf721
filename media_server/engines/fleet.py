"""All engines of this process: starts the plan's hosts, spreads requests, falls back, and says who does what.

A fallback is never silent: the answer names the engine, and ``on_status`` is told when an engine goes or returns.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from media_server.clock import Clock, monotonic
from media_server.engines.base import (
    Capabilities,
    EngineSpec,
    Recognition,
    RecognizeRequest,
    SpeakRequest,
    Speech,
    TranslateRequest,
    Turn,
    TurnRequest,
)
from media_server.engines.crew import Crew
from media_server.engines.host import QUEUE_BOUND, Call, EngineHost
from media_server.engines.keep import Kept
from media_server.engines.queue import Priority
from media_server.engines.registry import Missing, Plan, Route, Routes, Step
from media_server.engines.sentences import speakable, what_follows
from media_server.engines.standby import Standby
from media_server.errors import EngineError, EngineFailed, EngineUnavailable, Superseded
from media_server.events import Status
from media_server.glossary import EMPTY, Glossary
from media_server.metrics import Metrics

TRANSLATE_DEADLINE_S = 3.0
WARM_S = 15.0  # engines may still be loading
SPEAK_DEADLINE_S = 10.0
TURN_DEADLINE_S = 2.0
GRACE_S = 0.5  # from the time that a server has to the deadline of the engine that asks it
LEAST_S = 0.3  # with less time left nobody else is asked
WAITS_S = 10.0  # what admission looks back on
BATCH_OF_ONE = 4  # windows that one recognizer on a CPU decodes together
TYPICAL_WORK_S = 0.3  # a final's own time in a recognizer, which is no wait


@dataclass(frozen=True, slots=True)
class Translated:
    """A translated text and by whom it was made, for people."""

    text: str
    by: str


class Fleet:
    """The engines' one face. ``start`` returns at once; engines load in the background."""

    def __init__(self, plan: Plan, metrics: Metrics, clock: Clock = monotonic) -> None:
        self.plan = plan
        self._metrics = metrics
        self._clock = clock
        self._listeners: list[Callable[[Status], None]] = []
        self._states: dict[EngineHost, str] = {}
        self._routes: Routes | None = None
        self._finals_asked: dict[object, float] = {}
        self._waits: deque[tuple[float, float]] = deque(maxlen=256)
        self._standby = Standby(metrics, clock, self._say)
        self.recognizers = self._hosts(plan.recognize)
        self.turns = self._hosts(plan.turn)
        self.translators = self._hosts(plan.translate)
        self.voices = self._hosts(plan.speak)

    def _hosts(self, specs: tuple[EngineSpec, ...]) -> list[EngineHost]:
        """Hosts of the same recognizer work off one line."""
        crews: dict[str, Crew[Call]] = {}
        hosts = []
        for spec in specs:
            self._metrics.expect(spec.kind, spec.name)
            crew: Crew[Call] | None = None
            if spec.kind == "recognize":
                crew = crews.setdefault(_engine_of(spec), Crew(QUEUE_BOUND, self.plan.gather_s))
            hosts.append(EngineHost(spec, metrics=self._metrics, on_state=self._changed, crew=crew))
        return hosts

    @property
    def hosts(self) -> list[EngineHost]:
        return [*self.recognizers, *self.turns, *self.translators, *self.voices]

    async def start(self) -> None:
        for host in self.hosts:
            await host.start()

    async def stop(self) -> None:
        await asyncio.gather(*(host.stop() for host in self.hosts))

    def listen(self, callback: Callable[[Status], None]) -> None:
        """``callback`` is told of every engine that comes, goes or fails."""
        self._listeners.append(callback)

    def _changed(self, host: EngineHost) -> None:
        self._routes = None
        before, self._states[host] = self._states.get(host, "loading"), host.state
        if before == host.state or host.state == "stopped":
            return
        self._say(_status(host))

    def _say(self, status: Status) -> None:
        for listener in self._listeners:
            listener(status)

    def trouble(self, host: EngineHost) -> str:
        """Why another engine does its work at present, for people; empty when it does it itself."""
        return self._standby.trouble(host)

    # -- what works ---------------------------------------------------------------------------------------------

    @property
    def routes(self) -> Routes:
        """Routes over the engines that work or are loading."""
        if self._routes is None:
            self._routes = Routes(
                {host.spec.name: _known(host).pairs for host in self.translators if host.state != "failed"},
                {
                    host.spec.name: _known(host).pairs
                    for host in [host for host in self.recognizers if host.state != "failed"][:1]
                },
            )
        return self._routes

    def heard_languages(self) -> tuple[str, ...]:
        """What the recognizer understands; empty while none is loaded."""
        for host in self.recognizers:
            if (capabilities := host.capabilities) is not None:
                return capabilities.languages
        return ()

    def voice_of(self, language: str) -> EngineHost | None:
        """The first voice, best first, that speaks ``language`` and is not broken; None: captions only."""
        for host in self.voices:
            if host.state in {"ready", "loading", "restarting"} and language in _known(host).languages:
                return host
        return None

    @property
    def can_hear(self) -> bool:
        return any(host.state == "ready" for host in self.recognizers)

    def missing(self) -> tuple[Missing, ...]:
        return self.plan.missing

    # -- requests -----------------------------------------------------------------------------------------------

    async def recognize(
        self,
        request: RecognizeRequest,
        *,
        owner: str,
        deadline_s: float,
        wanted: Callable[[], bool] | None = None,
    ) -> Recognition:
        """Raises an EngineError; ``Superseded`` when a newer window of ``owner`` came first, or ``wanted`` says no
        before the work begins.

        Where recognizers of another kind stand behind the first ones, they take what those cannot answer.
        """
        if not request.final:
            return await self._recognize(request, owner, deadline_s, "partial", wanted)
        asked = self._clock()
        key = object()
        self._finals_asked[key] = asked
        try:
            result = await self._recognize(request, owner, deadline_s, "final", wanted)
        finally:
            del self._finals_asked[key]
        now = self._clock()
        self._waits.append((now, now - asked - result.took_s))
        return result

    def hearing_is_crowded(self) -> bool:
        """Whether more people speak than there are recognizers."""
        return any(host.crowded for host in self.recognizers)

    async def transcribe(self, request: RecognizeRequest, *, owner: str, deadline_s: float) -> Recognition:
        """The same for sound that nobody says now: every window of a call goes first."""
        return await self._recognize(request, owner, deadline_s, "background")

    async def _recognize(
        self,
        request: RecognizeRequest,
        owner: str,
        deadline_s: float,
        priority: Priority,
        wanted: Callable[[], bool] | None = None,
    ) -> Recognition:
        until = self._clock() + deadline_s
        tiers = _tiers(self.recognizers, request)
        for tier, behind in itertools.zip_longest(tiers or [self.recognizers], tiers[1:]):
            host = self._least_busy(tier, owner)
            left_s = until - self._clock()
            # Behind a server stands somebody who needs time as well; the server's own time is over a little earlier.
            limit_s = min(left_s, _patience_s(host, left_s)) if behind else left_s
            try:
                result = await host.recognize(
                    request, deadline_s=limit_s, priority=priority, owner=owner, wanted=wanted
                )
            except Superseded:
                raise
            except EngineError as error:
                if not behind or until - self._clock() < LEAST_S:
                    raise
                self._standby.failed(host, error, behind[0].spec.name)
                continue
            self._standby.answered(host)
            return result
        raise AssertionError("the last tier either answers or raises")

    def final_wait_s(self) -> float:
        """How long finals wait for a recognizer at present: the mean of the last ``WAITS_S``, or the oldest waiting."""
        now = self._clock()
        while self._waits and self._waits[0][0] < now - WAITS_S:
            self._waits.popleft()
        mean = sum(wait for _, wait in self._waits) / len(self._waits) if self._waits else 0.0
        if not self._finals_asked or not self.can_hear:
            return mean
        return max(mean, now - next(iter(self._finals_asked.values())) - TYPICAL_WORK_S)

    def recognizers_work(self) -> tuple[float, int]:
        """Seconds that the recognizers have worked so far, and how many seconds a second they can."""
        capacity = sum(lanes(_known(host)) for host in self.recognizers if host.state != "failed")
        return sum(host.worked_s() for host in self.recognizers), capacity

    def speaker_cost(self) -> float:
        """Seconds of a recognizer's work that a second of a speaker usually needs; 0 where that is not known."""
        return next((cost for host in self.recognizers if (cost := _known(host).speaker_cost)), 0.0)

    async def turn(self, request: TurnRequest, *, owner: str) -> Turn:
        host = self._least_busy(self.turns, owner)
        return await host.turn(request, deadline_s=TURN_DEADLINE_S, owner=owner)

    @staticmethod
    def _least_busy(hosts: list[EngineHost], owner: str) -> EngineHost:
        usable = [host for host in hosts if host.state != "failed"]
        if not usable:
            raise EngineUnavailable(hosts[0].reason if hosts else "no engine of this kind is installed")
        ready = [host for host in usable if host.state == "ready"] or usable
        return min(ready, key=lambda host: (host.waiting, hash((owner, id(host)))))

    async def translate(
        self, text: str, route: Route, *, glossary: Glossary = EMPTY, partial_of: str | None = None
    ) -> Translated:
        """Takes ``text`` through the route's text steps (a step from speech was the recognizer's).

        Terms of the glossary come out as it says. ``partial_of`` names whose unfinished sentence it is: a newer one of
        theirs takes its place, finals go first.
        """
        kept = Kept(text, glossary, route.steps[-1].target)
        if not kept:
            (answer,) = await self._through((text,), route, partial_of)
            return Translated(answer, route.by)
        settled = kept.settled(await self._through(kept.variants, route, partial_of))
        if settled is None:
            settled = kept.joined(await self._through(kept.pieces, route, partial_of))
        return Translated(settled, route.by)

    async def _through(self, texts: tuple[str, ...], route: Route, partial_of: str | None) -> tuple[str, ...]:
        priority: Priority = "final" if partial_of is None else "partial"
        for step in route.steps:
            if step.from_speech:
                continue
            host = next((host for host in self.translators if host.spec.name == step.engine), None)
            if host is None:
                raise EngineUnavailable(f"{step.engine} is not running")
            started = self._clock()
            try:
                result = await host.translate(
                    TranslateRequest(texts, step.source, step.target),
                    deadline_s=_patience_s(host, TRANSLATE_DEADLINE_S),
                    priority=priority,
                    owner=partial_of,
                )
                if len(result.texts) != len(texts):
                    raise EngineFailed(f"{step.engine} gave another number of texts")
            except Superseded:
                raise
            except EngineError as error:
                if (instead := self._other_way(route, step)) is not None:
                    self._standby.failed(host, error, instead)
                raise
            self._standby.answered(host)
            texts = result.texts
            self._metrics.mt.labels(step.engine).observe((self._clock() - started) * 1000)
        return texts

    def _other_way(self, route: Route, failed: Step) -> str | None:
        """Who translates when ``failed`` cannot; callers try the routes in the order of ``routes.find``."""
        source, target = route.steps[0].source, route.steps[-1].target
        for other in self.routes.find(source, target):
            if other.steps and all(step.engine != failed.engine for step in other.steps):
                return other.by
        return None

    async def warm(self, source: str, target: str) -> None:
        """Gets a pair ready before its first sentence. What fails here is said when it is needed."""
        for route in self.routes.find(source, target)[:1]:
            for step in route.steps:
                host = next((host for host in self.translators if host.spec.name == step.engine), None)
                if host is not None and not step.from_speech:
                    with suppress(EngineError):
                        await host.translate(
                            TranslateRequest((), step.source, step.target), deadline_s=WARM_S
                        )

    async def speak(self, request: SpeakRequest) -> AsyncGenerator[Speech]:
        """Pieces of speech; the next voice says what one that fails has not begun to say. Raises EngineError."""
        error: EngineError = EngineUnavailable("no voice speaks this language")
        priority: Priority = "final" if request.live else "background"
        for host in self.voices:
            if (
                host.state not in {"ready", "restarting", "loading"}
                or request.language not in _known(host).languages
            ):
                continue
            if host.state != "ready" and any(
                other.state == "ready" and request.language in _known(other).languages
                for other in self.voices
            ):
                continue
            begun = False
            said: list[str] = []
            started = self._clock()
            try:
                async with aclosing(
                    host.speak(request, deadline_s=SPEAK_DEADLINE_S, priority=priority)
                ) as pieces:
                    async for piece in pieces:
                        if not begun:
                            begun = True
                            self._standby.answered(host)
                            self._metrics.tts.labels(host.spec.name).observe((self._clock() - started) * 1000)
                        if piece.text:
                            said.append(piece.text)
                        yield piece
                return
            except EngineError as failure:
                self._metrics.tts_failures.labels(host.spec.name).inc()
                error = failure
                if begun:
                    if not said:
                        break
                    request = replace(request, text=what_follows(request.text, said))
                    if not speakable(request.text):
                        return
                if (instead := self._voice_behind(host, request.language)) is not None:
                    self._standby.failed(host, failure, instead)
        raise error

    def _voice_behind(self, host: EngineHost, language: str) -> str | None:
        """Who speaks what ``host`` could not."""
        behind = self.voices[self.voices.index(host) + 1 :]
        usable = (v for v in behind if v.state == "ready" and language in _known(v).languages)
        return next((voice.spec.name for voice in usable), None)

    def statuses(self) -> list[Status]:
        """The state of every engine, for somebody who has just come."""
        return [
            Status(host.spec.kind, host.spec.name, "warning", trouble)
            if (trouble := self.trouble(host))
            else _status(host)
            for host in self.hosts
        ]


def lanes(known: Capabilities) -> int:
    """How many recognizers one counts as that answers requests beside each other, or decodes many at once (a GPU).

    Where the sound in a batch is bounded (a CPU), larger batches are no more work done.
    """
    together = 1 if known.batch_s else max(1, known.batch // BATCH_OF_ONE)
    return known.concurrent * together


def _tiers(hosts: list[EngineHost], request: RecognizeRequest) -> list[list[EngineHost]]:
    """Hosts of the same engine together, best engine first; those that cannot work, or cannot tell the language where
    it is asked for, only where there is no other.
    """
    tiers = [list(same) for _, same in itertools.groupby(hosts, key=lambda host: _engine_of(host.spec))]
    usable = [
        tier
        for tier in tiers
        if any(host.state != "failed" for host in tier)
        and (request.language is not None or _known(tier[0]).detects)
    ]
    return usable or tiers


def _engine_of(spec: EngineSpec) -> str:
    """Equal for specs that start the same engine several times."""
    return f"{spec.factory} {sorted(spec.settings.items())}"


def _patience_s(host: EngineHost, otherwise_s: float) -> float:
    """The deadline of a request: an engine that waits for a server gives up by itself a little before it."""
    timeout_s = host.spec.settings.get("timeout_s")
    return float(timeout_s) + GRACE_S if isinstance(timeout_s, int | float) else otherwise_s


def _known(host: EngineHost) -> Capabilities:
    """Capabilities as loaded, or as far as the plan knows them before that."""
    if host.capabilities is not None:
        return host.capabilities
    spec = host.spec
    return Capabilities(spec.kind, spec.name, languages=spec.languages, pairs=spec.pairs)


def _status(host: EngineHost) -> Status:
    name = host.spec.name
    model = f" ({host.capabilities.model})" if host.capabilities and host.capabilities.model else ""
    match host.state:
        case "ready":
            return Status(host.spec.kind, name, "info", f"{name}{model} is ready.")
        case "loading":
            return Status(host.spec.kind, name, "info", f"{name} is loading.")
        case "restarting":
            return Status(host.spec.kind, name, "warning", f"{name} stopped and is starting again.")
        case _:
            return Status(host.spec.kind, name, "error", host.reason or f"{name} does not work.")
