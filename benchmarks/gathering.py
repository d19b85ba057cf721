"""Many callers in one process, as in ``benchmarks.caller``: what each sent, what it saw, or how it was refused.

python -m benchmarks.gathering PLAN.json LOG.json http://127.0.0.1:5000
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.caller import SETTLE_S, BenchCaller, PreparedMicrophone, Refused
from benchmarks.callplan import PACKET_S, CallLog, CallPlan
from benchmarks.wire import Wire

LISTEN_S = 6.0  # after the last word, for answers that are late


@dataclass(slots=True)
class Person:
    """One caller of a crowd."""

    plan: CallPlan
    arrives_s: float = 0.0
    loopback: bool = False
    """Hears its own microphone, so that sound comes back all the time."""


@dataclass(slots=True)
class CrowdPlan:
    people: list[Person]
    talk_s: float
    """Nobody begins a clip later than this after the first arrival, or after ``together``."""
    together: bool = False
    """All are connected before the first one speaks, and then all speak at once."""


@dataclass(slots=True)
class PersonLog:
    """One caller's call, or its refusal (``status`` other than 200)."""

    status: int = 200
    code: str = ""
    retry_after: str = ""
    refused_after_s: float = 0.0
    call: CallLog = field(default_factory=CallLog)
    sound: list[tuple[float, int, int]] = field(default_factory=list)
    """Sound that came back: arrival, RTP time stamp, sequence number."""


class LightMicrophone(PreparedMicrophone):
    """Its packets do not go through aiortc's sender."""

    async def recv(self) -> Any:
        await asyncio.Event().wait()  # keeps that asleep

    async def run(self, wire: Wire) -> None:
        """Sends a packet every PACKET_S until it is stopped."""
        started = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(started + number * PACKET_S - time.monotonic())
            if self.readyState != "live":
                return
            wire.send(number, self.next_payload())


class CrowdCaller(BenchCaller):
    """Keeps the numbers of the packets that come back, and goes round its clips until its time is over."""

    Microphone = LightMicrophone
    _microphone: LightMicrophone

    def __init__(self, person: Person, url: str) -> None:
        super().__init__(person.plan, url)
        self.person = person
        self.seen = PersonLog(call=self.log)

    async def attend(self, crowd: Crowd) -> None:
        try:
            await self.connect()
        except Refused as refused:
            self.seen.status, self.seen.code = refused.status, refused.reason
            self.seen.retry_after, self.seen.refused_after_s = refused.retry_after, refused.took_s
            crowd.arrived(self)
            return
        sending = asyncio.create_task(self._microphone.run(Wire(self._pc, self._heard)))
        if self.person.loopback:
            self.send(type="loopback", on=True)
        await asyncio.sleep(SETTLE_S)
        until = await crowd.arrived(self)
        while time.monotonic() < until:
            await self.talk(until)
        await asyncio.sleep(LISTEN_S)
        await self.close()
        await sending

    def _heard(self, packet: bytes) -> None:
        self._sound_at = time.monotonic()
        stamp, number = int.from_bytes(packet[4:8]), int.from_bytes(packet[2:4])
        self.seen.sound.append((self._sound_at, stamp, number))


class Crowd:
    def __init__(self, plan: CrowdPlan, url: str) -> None:
        self._plan = plan
        self._callers = [CrowdCaller(person, url) for person in plan.people]
        self._waiting = len(self._callers)
        self._begin = asyncio.get_running_loop().create_future()
        self._started = time.monotonic()

    async def run(self) -> list[PersonLog]:
        async with asyncio.TaskGroup() as group:
            for caller in self._callers:
                group.create_task(self._come(caller))
        return [caller.seen for caller in self._callers]

    async def _come(self, caller: CrowdCaller) -> None:
        await asyncio.sleep(self._started + caller.person.arrives_s - time.monotonic())
        await caller.attend(self)

    def arrived(self, caller: CrowdCaller) -> asyncio.Future[float]:
        """One more is in, or was refused. Gives the time until which it may begin to speak."""
        if not self._plan.together:
            done = asyncio.get_running_loop().create_future()
            done.set_result(self._started + self._plan.talk_s)
            return done
        self._waiting -= 1
        if not self._waiting:
            self._begin.set_result(time.monotonic() + self._plan.talk_s)
        return self._begin


def write_plan(path: Path, plan: CrowdPlan) -> None:
    path.write_text(json.dumps(asdict(plan)), "utf-8")


def read_plan(path: Path) -> CrowdPlan:
    plan = json.loads(path.read_text("utf-8"))
    people = [Person(**{**person, "plan": CallPlan(**person["plan"])}) for person in plan.pop("people")]
    return CrowdPlan(people, **plan)


def write_logs(path: Path, logs: list[PersonLog]) -> None:
    path.write_text(json.dumps([asdict(log) for log in logs]), "utf-8")


def read_logs(path: Path) -> list[PersonLog]:
    logs = json.loads(path.read_text("utf-8"))
    return [PersonLog(**{**log, "call": CallLog(**log["call"])}) for log in logs]


def main() -> None:
    plan_path, log_path, url = sys.argv[1:]
    plan = read_plan(Path(plan_path))
    gc.freeze()

    async def run() -> list[PersonLog]:
        return await Crowd(plan, url).run()

    write_logs(Path(log_path), uvloop.run(run()))


if __name__ == "__main__":
    main()
