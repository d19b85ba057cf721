"""RNNoise for the clients of ``/ws-audio``, off the event loop, on the cores that nobody else needs.

A few threads of low priority take turns with the clients' messages; the library call gives the interpreter lock up.
Nothing queues: when what is waiting would take longer than ``BUDGET_S``, or a message is later than ``LATE_S``, it
goes through the gate instead, is counted, and its client stays with the gate for a second of its sound, so that the
sound does not flutter. A client that sends faster than its own share of the threads is read more slowly
(``crowded``). Answers of a client leave in the order in which its messages came.

RNNoise works at 48 kHz. Other rates that voices come in (``media_server.audio.resample.RATES``) are resampled
around it, the rest is gated. An answer has exactly as many samples as its message: what the filters hold back
at the start of a stream is silence there, and a constant delay afterwards. The gate that stands in for RNNoise is
delayed by the same time, so that nothing is skipped or heard twice when they change places.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from compat_ws.echo_messages import HEADER, Format, gated, sound_of
from media_server.audio.frames import RATE, Pcm
from media_server.audio.resample import RATES, Resampler
from media_server.clock import monotonic
from media_server.pipeline.denoise import FRAME, NoiseGate, RNNoise

BUDGET_S = 0.020  # of work that may wait for the threads
LATE_S = 0.050  # beyond twice the time that the work takes: then the gate answers in RNNoise's place
GATED_S = 1.0  # of sound that a client stays with the gate
TURN = 10 * FRAME  # samples at 48 kHz that a thread does of one message before it is the next one's turn
NICENESS = 7  # engines have 5: recognizing comes before echoing, sound of calls before both
MOST_THREADS = 4
CROWD = 20  # messages, or frames of 10 ms, of one client on their way
LONGEST_S = 1.0  # a message with more sound than this is gated
FIRST_COST_S = 0.0004  # a frame of 10 ms, until it is measured

_NONE: Pcm = np.empty(0, np.int16)


class Line:
    """One stream through RNNoise at the stream's own rate. Used by one thread at a time."""

    def __init__(self, rate: int) -> None:
        self._rnnoise = RNNoise(in_thread=True)
        self._up, self._down = Resampler(rate, RATE), Resampler(RATE, rate)
        self._ready: Pcm = np.empty(0, np.int16)
        self._rate = rate
        self.turn = max(1, TURN * rate // RATE)
        """Samples of one turn."""
        delay_s = RNNoise.delay / RATE + (self._up.delay_ms + self._down.delay_ms) / 1000
        self.delay = round(delay_s * rate)
        """Samples by which what comes out lags, so far."""

    @property
    def reach(self) -> int:
        """Samples that bring a line which has missed some sound up to date again."""
        return self.delay + self._rate // 50

    def process(self, pcm: Pcm) -> Pcm:
        """As many samples as came in. What the filters hold back at first is silence."""
        made = self._down.process(self._rnnoise.process(self._up.process(pcm)))
        if len(made) == len(pcm) and not len(self._ready):
            return made
        short = len(pcm) - len(self._ready) - len(made)
        if short > 0:
            self.delay += short
            made = np.concatenate((np.zeros(short, np.int16), self._ready, made))
        else:
            made = np.concatenate((self._ready, made))
        self._ready = made[len(pcm) :]
        return made[: len(pcm)]


@dataclass(slots=True, eq=False)
class Job:
    """One message on its way. The event loop decides what becomes of it; a thread only works on it."""

    client: EchoStream
    sound: Format
    answer: bytes | str | None = None
    """None until it is known."""
    head: bytes = b""
    pcm: Pcm = field(default_factory=lambda: _NONE)
    line: Line | None = None
    history: Pcm | None = None
    """Sound just before it, for a line that has missed some."""
    frames: int = 0
    """Of 10 ms."""
    due_s: float = 0.0
    taken_back: bool = False
    submitted: bool = False
    out: list[Pcm] = field(default_factory=list)
    place: int = 0


class Denoisers:
    """The threads, and the account of what waits for them. All methods but ``_work`` are called on the loop."""

    def __init__(self, threads: int = 0, late_s: float = LATE_S) -> None:
        self._count = threads or max(1, min(MOST_THREADS, _cores() - 1))
        self._late_s = late_s
        self._threads: list[threading.Thread] = []
        self._todo: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: deque[Job] = deque()
        self._waking = False
        self._waiting: deque[Job] = deque()
        self._frames = 0
        self._frame_s = FIRST_COST_S
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.stopped = False
        self.denoised = 0
        """Messages that went through RNNoise."""
        self.full = 0
        """Messages that went through the gate because the threads were full."""
        self.full_at_s = -1e9
        """When the last one did, by the loop's clock."""

    @property
    def threads(self) -> int:
        return self._count

    @property
    def waiting_s(self) -> float:
        """How long what waits now will take."""
        return self._frames * self._frame_s / self._count

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in range(self._count):
            thread = threading.Thread(target=self._work, name=f"echo-denoise-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Ends the threads and waits for them: a turn is a few milliseconds. Idempotent."""
        self.stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(2.0)
        self._threads.clear()

    def has_room(self) -> bool:
        return not self.stopped and self.waiting_s <= BUDGET_S

    def accept(self, job: Job, now: float) -> None:
        """A job counts as waiting from here on; its client submits it when those before it are done."""
        job.due_s = now + self._late_s + 2 * job.frames * self._frame_s
        self._frames += job.frames
        self._waiting.append(job)
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(self._late_s / 2, self._look_for_late)

    def submit(self, job: Job) -> None:
        job.submitted = True
        self._todo.put(job)

    def forget(self, job: Job) -> None:
        """The job needs no thread any more. Called once for each that was accepted."""
        self._frames -= job.frames

    def refused(self, now: float) -> None:
        """A message went through the gate for want of room."""
        self.full += 1
        self.full_at_s = now

    def _look_for_late(self) -> None:
        assert self._loop is not None
        self._timer = None
        now = self._loop.time()
        for job in self._waiting:
            if job.answer is None and not job.taken_back and now >= job.due_s:
                job.client.take_back(now)
        self._waiting = deque(job for job in self._waiting if job.answer is None and not job.taken_back)
        if self._waiting:
            self._timer = self._loop.call_later(self._late_s / 2, self._look_for_late)

    def _deliver(self) -> None:
        self._waking = False
        done = self._done
        while done:
            job = done.popleft()
            if not job.taken_back:
                self.denoised += 1
                job.client.finished(job)

    def _work(self) -> None:
        """A thread's life."""
        _go_last()
        loop = self._loop
        assert loop is not None
        while (job := self._todo.get()) is not None:
            if job.taken_back or self.stopped:
                continue
            started = monotonic()
            more, frames = _turn(job)
            if frames:
                spent = (monotonic() - started) / frames
                self._frame_s += 0.05 * (spent - self._frame_s)
            if more:
                self._todo.put(job)
                continue
            self._done.append(job)
            if not self._waking:
                self._waking = True
                try:
                    loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:  # the loop has ended
                    return


def _turn(job: Job) -> tuple[bool, int]:
    """Does one turn's worth of a job: whether some of it is left, and how many frames it took."""
    line = job.line
    assert line is not None
    if job.history is not None:
        line.process(job.history)
        job.history = None
    piece = job.pcm[job.place : job.place + line.turn]
    job.place += len(piece)
    job.out.append(line.process(piece))
    return job.place < len(job.pcm), len(piece) * 10 // line.turn


class EchoStream:
    """One client's messages, to be answered in order. ``send`` gets each answer, with the seconds of sound in it.

    Without ``denoisers`` everything goes through the gate, at once. All calls are made on the loop.
    """

    def __init__(
        self,
        sound: Format,
        gate: NoiseGate,
        denoisers: Denoisers | None,
        send: Callable[[bytes | str, float], None],
        now: Callable[[], float],
    ) -> None:
        self._gate, self._denoisers, self._send, self._now = gate, denoisers, send, now
        self._order: deque[Job] = deque()
        self._frames = 0
        self._eased: asyncio.Future[None] | None = None
        self.messages = 0
        self.set_format(sound)

    def set_format(self, sound: Format) -> None:
        """From the next message on; another rate begins a new stream."""
        self.sound = sound
        self._second = 2.0 * sound.rate  # bytes
        self._line = Line(sound.rate) if self._denoisers is not None and sound.rate in RATES else None
        self._history: Pcm = _NONE
        self._gated_left = 0
        self._missed = False

    def say(self, text: str) -> None:
        """Answers a text message, in its turn."""
        if self._order:
            self._enqueue(Job(self, self.sound, text))
        else:
            self._send(text, 0.0)

    def take(self, data: bytes) -> bool:
        """A binary message; shorter than the header: ignored. True: the client is crowded now."""
        self.messages += 1
        if len(data) < HEADER:
            return False
        if self._line is not None:
            self._denoise(data, self._line)
            return self.crowded
        answer = gated(data, self.sound, self._gate)
        if self._order:  # of the format before this one
            self._enqueue(Job(self, self.sound, answer))
            return self.crowded
        self._send(answer, (len(answer) - HEADER) / self._second)
        return False

    @property
    def crowded(self) -> bool:
        """So much of this client is on its way that no more should be read from it until ``eased``."""
        return len(self._order) >= CROWD or self._frames >= CROWD

    async def eased(self) -> None:
        """Returns when the client is no longer crowded."""
        while self.crowded:
            self._eased = asyncio.get_running_loop().create_future()
            await self._eased

    def _denoise(self, data: bytes, line: Line) -> None:
        denoisers, now, sound = self._denoisers, self._now(), self.sound
        assert denoisers is not None
        pcm = sound_of(data, sound)
        job = Job(self, sound, head=data[:HEADER], pcm=pcm, line=line)
        job.frames = -(-len(pcm) * RATE // (sound.rate * FRAME))
        if not len(pcm):
            job.answer = job.head
        elif len(pcm) > LONGEST_S * sound.rate:
            self._by_gate(job)
        elif self._gated_left > 0 or not denoisers.has_room():
            denoisers.refused(now)
            self._by_gate(job)
        else:
            if self._missed:
                self._missed, job.history = False, self._history
            self._frames += job.frames
            denoisers.accept(job, now)
        self._history = np.concatenate((self._history, pcm))[-line.reach :]
        self._enqueue(job)

    def _by_gate(self, job: Job) -> None:
        """Answers the job by the gate, as late as RNNoise would have been."""
        assert job.line is not None
        if self._gated_left <= 0:
            self._gated_left = round(GATED_S * job.sound.rate)
        self._gated_left -= len(job.pcm)
        self._missed = True
        delay, size = job.line.delay, len(job.pcm)
        late = np.concatenate((np.zeros(delay, np.int16), self._history, job.pcm))[-delay - size :][:size]
        job.answer = job.head + self._gate.process_frames(late, job.sound.frame).tobytes()

    def _enqueue(self, job: Job) -> None:
        self._order.append(job)
        self._flush()

    def _flush(self) -> None:
        """Sends what is done, up to the first that is not, and has a thread work on that."""
        order = self._order
        while order and (answer := order[0].answer) is not None:
            job = order.popleft()
            sound = len(answer) - HEADER if isinstance(answer, bytes) else 0
            self._send(answer, sound / (2 * job.sound.rate))
        if order and not order[0].submitted and self._denoisers is not None:
            self._denoisers.submit(order[0])
        if self._eased is not None and not self.crowded:
            eased, self._eased = self._eased, None
            if not eased.done():
                eased.set_result(None)

    def finished(self, job: Job) -> None:
        """A thread has done the job."""
        self._let_go(job)
        out = job.out[0] if len(job.out) == 1 else np.concatenate(job.out)
        job.answer = job.head + out.tobytes()
        self._flush()

    def take_back(self, now: float) -> None:
        """Nothing of this client waits for the threads any longer: the gate answers, RNNoise begins anew."""
        assert self._denoisers is not None
        for job in self._order:
            if job.answer is None:
                self._let_go(job)
                job.taken_back = True
                self._denoisers.refused(now)
                self._by_gate(job)
        if self._line is not None:  # a thread may still be at work with the old one
            self._line = Line(self.sound.rate)
        self._flush()

    def close(self) -> None:
        """Nobody waits for answers any more."""
        for job in self._order:
            if job.answer is None:
                self._let_go(job)
                job.taken_back = True
        self._order.clear()

    def _let_go(self, job: Job) -> None:
        self._frames -= job.frames
        assert self._denoisers is not None
        self._denoisers.forget(job)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _go_last() -> None:
    """The calling thread's priority; Linux has one for each thread."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
