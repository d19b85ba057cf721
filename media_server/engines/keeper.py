"""Keeps one child alive: starts it, looks after it, starts it again. What it works on is the host's business.

A child that was of use is started again at once; one that dies before it was of any use, after a growing
pause, without end. One whose engine says why it cannot load makes the state "failed"; that is tried again
every ``RETRY_S``.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Literal, Protocol

from media_server.clock import Clock
from media_server.engines.base import Capabilities, EngineSpec
from media_server.engines.child import Child
from media_server.engines.messages import Message, Ping, Pong, Ready, Unable
from media_server.errors import EngineTimeout, EngineUnavailable
from media_server.metrics import Metrics

logger = logging.getLogger(__name__)

State = Literal["loading", "ready", "restarting", "failed", "stopped"]

TICK_S = 0.25  # between looks at the child
PING_S = 0.5
PONG_S = 5.0  # a child silent for longer holds the interpreter lock for good
FROZEN_S = 1.0  # a silent child that used no CPU time meanwhile does not wait for a core either: it is stuck
LOAD_S = 300.0  # a large model from a slow disk
FRUITFUL_S = 1.0  # a child that was ready for so long, or answered, was of use
BACKOFF_S = (0.2, 10.0)  # first and longest pause
RETRY_S = 30.0  # weights or programs may have been installed meanwhile


class Owner(Protocol):
    """Whose requests the child works on. Called from the loop."""

    def heed(self, message: Message) -> None:
        """Work done: any message but those of the child's life."""

    def state_changed(self) -> None: ...

    def child_gone(self, reason: str) -> None:
        """Called before the next child is started; requests that the old one had are lost with it."""

    def stalled(self, now: float) -> str:
        """Why the child is hung, in words; empty when it is not."""

    def stood_still(self, now: float) -> None:
        """This process itself did not run for a while: what the child said meanwhile is not read yet."""


class Keeper:
    """One life after the other. ``run()`` is its task; ``stopped()`` ends its state for good."""

    def __init__(self, spec: EngineSpec, owner: Owner, metrics: Metrics, clock: Clock) -> None:
        self.state: State = "loading"
        self.reason = ""
        self.capabilities: Capabilities | None = None
        self.restarts = 0
        self.child: Child | None = None
        self.fruitful = False
        self._spec = spec
        self._owner = owner
        self._metrics = metrics
        self._clock = clock
        self._labels = (spec.kind, spec.name)
        self._changed = asyncio.Event()
        self._ready_at: float | None = None
        self._unable = ""
        self._numbers = itertools.count(1)
        self._pings: dict[int, float] = {}
        """Unanswered: number -> when it was sent."""
        self._pinged_at = 0.0
        self._ponged = asyncio.Event()
        self._cpu_s: float | None = None
        self._cpu_before_s = 0.0
        self._busy_at = 0.0
        self._busy_s: float | None = None
        """CPU time of the child alone when it last had used some, at ``_busy_at``."""

    async def run(self) -> None:
        """Until cancelled; the child is gone then."""
        barren = 0  # lives in a row that were of no use
        self._metrics.engine_state.labels(*self._labels).set(0)
        while True:
            try:
                was_ready, reason = await self._live()
            except OSError as error:  # no process to be had now
                was_ready, reason = False, f"cannot start a process: {error.strerror}"
            except Exception as error:  # a fault of ours costs a child, never the engine for good
                logger.exception("engine %s/%s: its keeper failed", *self._labels)
                was_ready, reason = False, f"its keeper failed: {type(error).__name__}"
            if self._unable:
                self._set_state("failed", self._unable)
                await asyncio.sleep(RETRY_S)
                self._unable, barren = "", 0
            else:
                barren = 0 if self.fruitful else barren + 1
                self._set_state("restarting" if self.capabilities else "loading", reason)
                first, longest = BACKOFF_S
                if barren > (1 if was_ready else 0):
                    await asyncio.sleep(min(longest, first * 2.0 ** min(barren - 1, 16)))
            self.restarts += 1
            self._metrics.engine_restarts.labels(*self._labels).inc()

    def stopped(self) -> None:
        self._set_state("stopped", "stopped")

    async def wait_ready(self) -> Capabilities:
        while self.state != "ready" or self.capabilities is None:
            if self.state in ("failed", "stopped"):
                raise EngineUnavailable(f"{self._spec.name}: {self.reason}")
            await self._changed.wait()
        return self.capabilities

    def cpu_seconds(self) -> float | None:
        return None if self._cpu_s is None else self._cpu_before_s + self._cpu_s

    async def ping(self) -> None:
        """Returns when the child has answered; raises when there is none or it ends first."""
        if (child := self.child) is None:
            raise EngineUnavailable(f"{self._spec.name}: {self.reason or 'no child runs'}")
        number = self._send_ping(child)
        while number in self._pings:
            await self._ponged.wait()
        if self.child is not child:
            raise EngineTimeout(f"{self._spec.name} ended before it answered a ping")

    async def _live(self) -> tuple[bool, str]:
        """One child from start to end: whether it had been ready, and how it ended."""
        self._ready_at, self.fruitful, self._busy_s = None, False, None
        child = self.child = await Child.spawn(self._spec, self._heed)
        started = looked = self._clock()
        try:
            while not child.ended.is_set():
                try:
                    async with asyncio.timeout(TICK_S):
                        await child.ended.wait()
                except TimeoutError:
                    now = self._clock()
                    self._look_after(child, now, started, late=now - looked > 2 * TICK_S)
                    looked = now
        finally:
            await child.close()
            self.child = None
            self._cpu_before_s += self._cpu_s or 0.0
            self._cpu_s = 0.0
            self._pings.clear()
            self._pulse_pong()
        if self._unable:
            logger.error("engine %s/%s cannot load: %s", *self._labels, self._unable)
        else:
            logger.warning("engine %s/%s: the child %s", *self._labels, child.reason)
            if self.state == "ready":
                self._set_state("restarting", child.reason)
        self._owner.child_gone(child.reason)
        return self._ready_at is not None, child.reason

    def _look_after(self, child: Child, now: float, started: float, *, late: bool) -> None:
        if self._ready_at is None:
            if now - started > LOAD_S:
                child.kill(f"did not load within {LOAD_S:g} s")
            return
        self.fruitful = self.fruitful or now - self._ready_at > FRUITFUL_S
        if late:
            self._pings = dict.fromkeys(self._pings, now)
            self._owner.stood_still(now)
            self._busy_at = now
        frozen_s = self._frozen_s(child, now)
        if reason := self._owner.stalled(now):
            child.kill(reason)
        elif frozen_s > FROZEN_S:
            child.kill(f"was stuck for {frozen_s:.1f} s")
        elif self._pings and now - next(iter(self._pings.values())) > PONG_S:
            child.kill(f"did not answer for {PONG_S:g} s")
        elif now - self._pinged_at >= PING_S:
            self._send_ping(child)

    def _frozen_s(self, child: Child, now: float) -> float:
        """How long the child has neither answered a ping nor used any CPU time."""
        busy_s = child.cpu_s()
        if not self._pings or busy_s is None or busy_s != self._busy_s:
            self._busy_s, self._busy_at = busy_s, now
            return 0.0
        return now - max(self._busy_at, next(iter(self._pings.values())))

    def _send_ping(self, child: Child) -> int:
        number = next(self._numbers)
        self._pinged_at = self._pings[number] = self._clock()
        child.send(Ping(number))
        return number

    def _pulse_pong(self) -> None:
        self._ponged.set()
        self._ponged = asyncio.Event()

    def _heed(self, message: Message) -> None:
        match message:
            case Ready(capabilities):
                self.capabilities = capabilities
                self._ready_at = self._clock()
                self._pings = dict.fromkeys(self._pings, self._ready_at)
                self._set_state("ready", "")
            case Unable(reason):
                self._unable = reason
            case Pong(number, cpu_s):
                self._pings = {ping: at for ping, at in self._pings.items() if ping > number}
                self._cpu_s = cpu_s
                self._metrics.engine_cpu.labels(*self._labels).set(self._cpu_before_s + cpu_s)
                self._pulse_pong()
            case _:
                self._owner.heed(message)

    def _set_state(self, state: State, reason: str) -> None:
        if self.state == "stopped":
            return
        changed = (state, reason) != (self.state, self.reason)
        self.state, self.reason = state, reason
        self._metrics.engine_state.labels(*self._labels).set(1 if state == "ready" else 0)
        if changed:
            self._changed.set()
            self._changed = asyncio.Event()
            self._owner.state_changed()
