"""Hands requests to one engine in a child process. A fault in it costs one utterance at most.

Waiting requests stay here (``engines.queue``); the child has one message of work at a time (a batch, for
recognizers and translators that profit), so that a final waits for at most one partial. A child that only
waits for somebody else has as many as its ``Capabilities.concurrent``. Rules:

- Every request has a deadline, counted from the call; past it the caller gets ``EngineTimeout``, or
  ``EngineUnavailable`` when there was no child to work on it.
- A child that crashes is started again at once (``engines.keeper``); requests that it had are handed to the
  new one once, alone. One that is there at a second crash gets ``EngineCrashed``. Speech is not repeated
  once a piece of it was taken.
- A child that makes no progress for as long as the deadline of a request that it works on, or does not answer
  pings, is killed. Waiting requests wait for the new one.
- Cancelling the caller's task, or closing the iterator of ``speak``, takes the request out of the queue or
  tells the child to drop it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from media_server.clock import Clock, monotonic
from media_server.engines import wire
from media_server.engines.base import (
    RECOGNIZER_RATE,
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
from media_server.engines.crew import Crew
from media_server.engines.keeper import Keeper, State
from media_server.engines.messages import (
    AHEAD,
    Answer,
    Cancel,
    Done,
    Failed,
    Message,
    Next,
    Piece,
    Request,
    Result,
    Work,
)
from media_server.engines.queue import Place, Priority, QueueFull
from media_server.errors import (
    EngineCrashed,
    EngineError,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    Superseded,
)
from media_server.metrics import Metrics
from media_server.tasks import TaskOwner

logger = logging.getLogger(__name__)

QUEUE_BOUND = 64  # requests; far more than can be answered in time
VOICES = 16  # texts a voice works on in turn; those whose listener is slow cost nothing
HUNG_S = 2.0  # a shorter deadline says nothing about the child: the machine may be busy


@dataclass(eq=False, slots=True)
class Call(Place):
    """A request on its way, for hosts only."""

    request: Request = field(kw_only=True)
    called_at: float = field(kw_only=True)
    deadline_s: float = field(kw_only=True)
    outcome: asyncio.Future[Result | None] = field(kw_only=True)
    """None ends speech."""
    pieces: deque[Speech] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a piece or the outcome has come; for speech."""
    host: EngineHost | None = None
    """Whose child has it."""
    id: int = 0
    """What that child knows it by."""
    begun: bool = False
    """A piece was taken."""
    owed_since: float | None = None
    """The child owes an answer or a piece since then."""

    def fail(self, error: EngineError) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)
        self.news.set()


class EngineHost:
    """Supervises the child of one ``EngineSpec``. All methods belong to the loop that called ``start()``.

    Hosts of one ``crew`` share its line: a request given to one may be answered by another.
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        metrics: Metrics,
        on_state: Callable[[EngineHost], None] | None = None,
        clock: Clock = monotonic,
        queue_bound: int = QUEUE_BOUND,
        crew: Crew[Call] | None = None,
    ) -> None:
        self.spec = spec
        self._metrics = metrics
        self._on_state = on_state
        self._clock = clock
        self._tasks = TaskOwner(f"engine.{spec.kind}.{spec.name}")
        self._keeper = Keeper(spec, self, metrics, clock)
        self._crew: Crew[Call] = Crew(queue_bound) if crew is None else crew
        self._line = self._crew.line
        self._working: dict[int, Call] = {}
        """In the child, also those whose caller has gone."""
        self._progress_at = 0.0
        self._worked_s = 0.0
        self._worked_at = clock()
        self._ids = itertools.count(1)
        self._queue = f"{spec.kind}.{spec.name}"
        self._crew.join(self, self._queue)

    @property
    def state(self) -> State:
        return self._keeper.state

    @property
    def reason(self) -> str:
        """Why it failed or is being restarted, for people; empty when it is ready."""
        return self._keeper.reason

    @property
    def capabilities(self) -> Capabilities | None:
        """None until it was ready once; stays known while a child is restarted."""
        return self._keeper.capabilities

    @property
    def restarts(self) -> int:
        return self._keeper.restarts

    @property
    def waiting(self) -> int:
        """Requests in the line, which others may share, and in the child."""
        return len(self._line) + len(self._working)

    @property
    def usable(self) -> bool:
        """Its child works, or will again."""
        return self.state not in ("failed", "stopped")

    @property
    def free(self) -> bool:
        return self.state == "ready" and not self._working

    @property
    def on_partials(self) -> bool:
        return any(call.priority == "partial" for call in self._working.values())

    @property
    def crowded(self) -> bool:
        """More owners ask for partials than there are hosts that work off its line."""
        return self._crew.crowded(self._clock())

    @property
    def _beside(self) -> int:
        """Messages of work that the child has at a time."""
        return self.capabilities.concurrent if self.capabilities is not None else 1

    def worked_s(self) -> float:
        """Seconds that requests were worked on so far: at most one a second for each that the child has at a time."""
        self._note_work()
        return self._worked_s

    def _note_work(self) -> None:
        """To be called before what is being worked on changes."""
        now = self._clock()
        self._worked_s += min(len(self._working), self._beside) * (now - self._worked_at)
        self._worked_at = now

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        child = self._keeper.child
        return child.pid if child is not None and not child.ended.is_set() else None

    async def start(self) -> None:
        """Returns at once; the child starts in the background. Once only."""
        self._tasks.start(self._keeper.run(), "keep")

    async def stop(self) -> None:
        """Ends the child; requests get ``EngineUnavailable``. Idempotent."""
        self._keeper.stopped()
        if not self._crew.usable:
            self._crew.stop()
        self._fail_all(EngineUnavailable(f"{self.spec.name} is stopped"))
        await self._tasks.stop()

    async def wait_ready(self, timeout_s: float) -> Capabilities:
        """``EngineUnavailable`` when it fails or is stopped, ``EngineTimeout`` when it takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._keeper.wait_ready()
        except TimeoutError:
            raise EngineTimeout(f"{self.spec.name} is not ready after {timeout_s:g} s") from None

    async def recognize(
        self,
        request: RecognizeRequest,
        *,
        deadline_s: float = 10.0,
        priority: Priority = "final",
        owner: str | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> Recognition:
        """``wanted``: looked at before the work begins; ``Superseded`` when it says no."""
        result = await self._ask(self._submit(request, deadline_s, priority, owner, wanted))
        assert isinstance(result, Recognition)
        return result

    async def turn(
        self,
        request: TurnRequest,
        *,
        deadline_s: float = 2.0,
        priority: Priority = "final",
        owner: str | None = None,
    ) -> Turn:
        result = await self._ask(self._submit(request, deadline_s, priority, owner))
        assert isinstance(result, Turn)
        return result

    async def translate(
        self,
        request: TranslateRequest,
        *,
        deadline_s: float = 5.0,
        priority: Priority = "final",
        owner: str | None = None,
    ) -> Translation:
        result = await self._ask(self._submit(request, deadline_s, priority, owner))
        assert isinstance(result, Translation)
        return result

    async def speak(
        self,
        request: SpeakRequest,
        *,
        deadline_s: float = 10.0,
        priority: Priority = "final",
        owner: str | None = None,
    ) -> AsyncGenerator[Speech]:
        """Pieces as they are made; the deadline is for each, counted from when it is asked for.

        Close it (``contextlib.aclosing``) to give up early.
        """
        call = self._submit(request, deadline_s, priority, owner)
        outcome = "cancelled"
        try:
            while True:
                async with asyncio.timeout(deadline_s):
                    while not call.pieces and not call.outcome.done():
                        call.news.clear()
                        await call.news.wait()
                if not call.pieces:
                    call.outcome.result()
                    outcome = "ok"
                    return
                piece = call.pieces.popleft()
                call.begun = True
                self._ask_for_next(call)
                yield piece
        except TimeoutError:
            error = self._too_late(call)
            outcome = _outcome(error)
            raise error from None
        except EngineError as error:
            outcome = _outcome(error)
            raise
        finally:
            self._leave(call, outcome)

    def cpu_seconds(self) -> float | None:
        """CPU time of the children so far, the programs they run included; as of the last ping (1 s)."""
        return self._keeper.cpu_seconds()

    async def ping(self, timeout_s: float = 2.0) -> None:
        """Returns when the child has answered, ``cpu_seconds()`` being fresh then."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._keeper.ping()
        except TimeoutError:
            raise EngineTimeout(f"{self.spec.name} does not answer a ping") from None

    # Requests.

    async def _ask(self, call: Call) -> Result | None:
        outcome = "cancelled"
        try:
            async with asyncio.timeout(call.deadline_s):
                result = await call.outcome
            outcome = "ok"
            return result
        except TimeoutError:
            error = self._too_late(call)
            outcome = _outcome(error)
            raise error from None
        except EngineError as error:
            outcome = _outcome(error)
            raise
        finally:
            self._leave(call, outcome)

    def _submit(
        self,
        request: Request,
        deadline_s: float,
        priority: Priority,
        owner: str | None,
        wanted: Callable[[], bool] | None = None,
    ) -> Call:
        if not self.usable:
            self._count("unavailable")
            raise EngineUnavailable(f"{self.spec.name}: {self.reason}")
        call = Call(
            priority,
            owner,
            request=request,
            called_at=self._clock(),
            deadline_s=deadline_s,
            outcome=asyncio.get_running_loop().create_future(),
            wanted=wanted,
        )
        try:
            replaced, dropped = self._crew.put(call, call.called_at)
        except QueueFull as error:
            self._count("unavailable")
            raise EngineUnavailable(f"{self.spec.name} is busy: {error}") from None
        for older in replaced:
            older.fail(Superseded("a newer request of the same speaker took its place"))
        for entry in dropped:
            self._metrics.drops.labels(self._crew.name).inc()
            entry.fail(Superseded("too many requests wait"))
        self._crew.pump()
        return call

    def _leave(self, call: Call, outcome: str) -> None:
        """The caller has its answer, or has gone."""
        self._count(outcome)
        if call.outcome.done():
            if not call.outcome.cancelled():
                call.outcome.exception()  # seen
        else:
            call.outcome.cancel()
        if self._line.remove(call):
            self._show_depth()
        elif call.host is not None:
            call.host._cancel(call)

    def _cancel(self, call: Call) -> None:
        if call.id in self._working and (child := self._keeper.child) is not None:
            child.send(Cancel(call.id))

    def _too_late(self, call: Call) -> EngineError:
        if call.host is not None or self.state == "ready":
            return EngineTimeout(f"{self.spec.name} did not answer within {call.deadline_s:g} s")
        return EngineUnavailable(f"{self.spec.name} is {self.state}: {self.reason or 'not loaded yet'}")

    def pump(self) -> None:
        """Hands waiting requests to the child as far as it may have them."""
        known = self.capabilities
        room = VOICES if self.spec.kind == "speak" else self._beside
        batched = self.spec.kind in ("recognize", "translate") and self._beside == 1
        most = known.batch if known is not None and batched else 1
        bound = round(known.batch_s * RECOGNIZER_RATE) if known is not None else 0
        for call in self._line.unwanted():
            call.fail(Superseded("nobody waits for it any more"))
        while (
            (child := self._keeper.child) is not None and self.state == "ready" and len(self._working) < room
        ):
            now = self._clock()
            since = min((call.called_at for call in self._line.partials), default=now)
            if most > 1 and (self._crew.only_finals(self, most) or self._crew.gathers(most, since, now)):
                break
            batch = self._line.take(most, _size, bound)
            if not batch:
                break
            for call in batch:
                call.host, call.id = self, next(self._ids)
            try:
                child.send(Work(tuple(c.id for c in batch), tuple(c.request for c in batch)))
            except wire.WireError as error:
                for call in batch:
                    call.host = None
                    if len(batch) == 1:
                        call.fail(EngineFailed(f"the request cannot be sent: {error}"))
                    else:
                        call.alone = True
                        self._line.put_back(call)
                continue
            self._note_work()
            now = self._worked_at
            for call in batch:
                call.owed_since = now
                self._working[call.id] = call
                if self.spec.kind == "recognize":
                    wait_ms = (now - call.called_at) * 1000
                    self._metrics.asr_queue_wait.labels(call.priority).observe(wait_ms)
        self._show_depth()

    def _ask_for_next(self, call: Call) -> None:
        """Of speech, whose hosts share no line."""
        if call.id in self._working and (child := self._keeper.child) is not None:
            if call.owed_since is None:
                call.owed_since = self._clock()
            child.send(Next(call.id))

    def _fail_all(self, error: EngineError) -> None:
        waiting = [] if self._crew.usable else self._line.clear()
        for call in [*waiting, *self._working.values()]:
            call.fail(error)
        self._note_work()
        self._working.clear()
        self._show_depth()

    def _count(self, outcome: str) -> None:
        self._metrics.engine_requests.labels(self.spec.kind, self.spec.name, outcome).inc()

    def _show_depth(self) -> None:
        self._metrics.queue_depth.labels(self._crew.name).set(len(self._line))

    # What the keeper says.

    def state_changed(self) -> None:
        state, reason = self.state, self.reason
        level = logging.WARNING if state == "failed" else logging.INFO
        logger.log(level, "engine %s is %s%s", self._queue, state, f": {reason}" if reason else "")
        if state == "failed":
            self._fail_all(EngineUnavailable(f"{self.spec.name}: {reason}"))
        if self._on_state is not None:
            self._on_state(self)
        self._crew.pump()

    def heed(self, message: Message) -> None:
        if not isinstance(message, Answer | Piece | Done | Failed):
            logger.warning("engine %s: a message that no child sends", self._queue)
            return
        self._progress_at = self._clock()
        self._keeper.fruitful = True
        call = self._working.get(message.id)
        if call is None:
            return
        if isinstance(message, Piece):
            call.pieces.append(message.speech)
            call.owed_since = None if len(call.pieces) >= AHEAD else self._progress_at
            call.news.set()
            return
        self._note_work()
        del self._working[call.id]
        if isinstance(message, Failed):
            logger.warning("engine %s failed: %s", self._queue, message.reason)
            call.fail(EngineFailed(f"{self.spec.name}: {message.reason}"))
        elif not call.outcome.done():
            call.outcome.set_result(message.result if isinstance(message, Answer) else None)
        call.news.set()
        self._crew.pump()

    def stalled(self, now: float) -> str:
        owed = [call for call in self._working.values() if call.owed_since is not None]
        longest_s = max((call.deadline_s for call in owed), default=0.0)
        for call in owed:
            idle_s = now - max(self._progress_at, call.owed_since or now)
            # A batch is answered as a whole; texts are spoken in turn, each has to get on.
            patience_s = call.deadline_s if self.spec.kind == "speak" else longest_s
            if idle_s > max(HUNG_S, patience_s):
                return f"made no progress for {idle_s:.1f} s"
        return ""

    def stood_still(self, now: float) -> None:
        self._progress_at = now

    def child_gone(self, reason: str) -> None:
        """What the child had goes back into the line once, if somebody still waits for it."""
        working = list(self._working.values())
        self._note_work()
        self._working.clear()
        for call in working:
            if call.outcome.done():
                continue
            if call.alone or call.begun:
                call.fail(EngineCrashed(f"{self.spec.name} crashed: the child {reason}"))
            else:
                call.alone, call.owed_since, call.host = True, None, None
                call.pieces.clear()
                self._line.put_back(call)
        self._show_depth()


def _size(call: Call) -> int:
    """Windows of about one length are decoded together: the others are padded to the longest."""
    return call.request.audio.size if isinstance(call.request, RecognizeRequest) else 0


def _outcome(error: EngineError) -> str:
    """The label of a request's end."""
    names: dict[type[EngineError], str] = {
        EngineTimeout: "timeout",
        EngineUnavailable: "unavailable",
        EngineCrashed: "crashed",
        Superseded: "superseded",
    }
    return names.get(type(error), "failed")
