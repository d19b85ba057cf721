"""The child process of an engine: ``python -m media_server.engines.worker``, started by ``engines.host``.

It reads messages from its standard input and writes them to its standard output (both taken over before
anything can print there), makes the engine of ``Start``, loads it and serves. The engine works in the main
thread (in several where it only waits for somebody else: ``engines.threads``); a thread beside it reads, so that
pings are answered and cancels noted while native code runs. When
the input closes the process ends and takes the programs it started with it. Keep the imports here small:
they are part of every restart.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from media_server.engines import wire
from media_server.engines.base import (
    EngineSpec,
    RecognizeRequest,
    SpeakRequest,
    Speech,
    TranslateRequest,
    TurnRequest,
)
from media_server.engines.messages import (
    AHEAD,
    Answer,
    Cancel,
    Done,
    Failed,
    Message,
    Next,
    Piece,
    Ping,
    Pong,
    Ready,
    Request,
    Result,
    Start,
    Unable,
    Work,
)
from media_server.errors import EngineError
from media_server.niceness import lower_priority

CLOSE_GRACE_S = 1.0  # for the engine to close when the host has gone; then the process ends anyway
_READ_BYTES = 1 << 18


class Channel:
    """The two pipes. ``send`` may be called from any thread and blocks when the host does not read."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        data = memoryview(wire.encode(message))
        with self._lock:
            while data:
                data = data[os.write(self._writing, data) :]

    def messages(self) -> Iterator[Message]:
        """Until the host closes its end; ``WireError`` when what comes is no message."""
        decoder = wire.Decoder()
        while data := os.read(self._reading, _READ_BYTES):
            yield from decoder.feed(data)


def take_over_pipes() -> Channel:
    """Moves the wire away from descriptors 0 and 1: what an engine prints goes to standard error."""
    reading, writing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(reading, os.O_BINARY)
        msvcrt.setmode(writing, os.O_BINARY)
    return Channel(reading, writing)


def make(spec: EngineSpec) -> Any:
    """The engine of "module:Class", made with the spec's settings."""
    module, _, name = spec.factory.partition(":")
    return getattr(importlib.import_module(module), name)(**spec.settings, **spec.secrets)


def describe(error: BaseException) -> str:
    """An error without what it quotes: texts of exceptions may hold speech, an ``EngineError``'s never do."""
    if isinstance(error, EngineError) and str(error):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{type(error).__name__} at {places or 'an unknown place'}"


def cpu_seconds() -> float:
    """CPU time of this process and of the programs that it runs now (the latter on Linux only)."""
    total = time.process_time()
    if sys.platform != "linux":
        return total
    ticks = os.sysconf("SC_CLK_TCK")
    for pid in _children(os.getpid()):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            numbers = file.read().rpartition(b")")[2].split()
            total += (int(numbers[11]) + int(numbers[12])) / ticks  # utime, stime: proc(5)
    return total


def _children(pid: int) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += file.read().split()
    return found


class Worker:
    """Runs one engine. ``receive`` belongs to the reading thread, ``serve`` to the main thread."""

    def __init__(self, engine: Any, channel: Channel) -> None:
        self._engine = engine
        self._channel = channel
        self._inbox: queue.SimpleQueue[Work | Next | Cancel | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()  # only ids that have not ended; shared, each use is one atomic step
        self._voices: OrderedDict[int, _Voice] = OrderedDict()

    def receive(self, messages: Iterator[Message]) -> None:
        """Until the pipe closes."""
        with contextlib.suppress(wire.WireError, OSError):
            for message in messages:
                match message:
                    case Ping(number):
                        self._channel.send(Pong(number, cpu_seconds()))
                    case Cancel(id):
                        self._cancelled.add(id)
                        self._inbox.put(message)
                    case Work() | Next():
                        self._inbox.put(message)
                    case _:
                        raise wire.WireError("not a message for a child")
        self._inbox.put(None)
        threading.Timer(CLOSE_GRACE_S, end, (1,)).start()

    def serve(self) -> None:
        while True:
            talking = any(voice.ahead < AHEAD for voice in self._voices.values())
            try:
                message = self._inbox.get(block=not talking)
            except queue.Empty:
                self._speak_on()
                continue
            match message:
                case None:
                    return
                case Cancel(id):
                    self._end_voice(id)
                    self._cancelled.discard(id)
                case Next(id):
                    if (voice := self._voices.get(id)) is not None:
                        voice.ahead -= 1
                case Work(ids, requests):
                    self._begin(list(zip(ids, requests, strict=True)))

    def _begin(self, work: list[tuple[int, Request]]) -> None:
        together: list[tuple[int, Request]] = []
        for id, request in work:
            if id in self._cancelled:
                self._channel.send(Done(id))
            elif isinstance(request, RecognizeRequest) or (
                isinstance(request, TranslateRequest) and hasattr(self._engine, "translate_batch")
            ):
                together.append((id, request))
            elif isinstance(request, SpeakRequest):
                self._voices[id] = _Voice(self._engine, request)
            else:
                self._one(id, request)
        if together:
            recognizes = isinstance(together[0][1], RecognizeRequest)
            self._together(together, self._engine.recognize if recognizes else self._engine.translate_batch)

    def _one(self, id: int, request: TurnRequest | TranslateRequest) -> None:
        try:
            result = (
                self._engine.turn(request)
                if isinstance(request, TurnRequest)
                else self._engine.translate(request)
            )
        except Exception as error:  # whatever an engine raises costs this request, not the child
            self._channel.send(Failed(id, describe(error)))
        else:
            self._answer(id, result)

    def _together(
        self, work: list[tuple[int, Request]], answer: Callable[[list[Request]], list[Result]]
    ) -> None:
        results: list[Result] = []
        failure: Exception | None = None
        try:
            results = answer([request for _, request in work])
        except Exception as error:  # as above
            failure = error
        if failure is None and len(results) == len(work):
            for (id, _), result in zip(work, results, strict=True):
                self._answer(id, result)
        elif len(work) > 1:  # one bad request must not cost those that came with it
            for entry in work:
                self._together([entry], answer)
        else:
            reason = describe(failure) if failure else "the engine gave another number of answers"
            self._channel.send(Failed(work[0][0], reason))

    def _answer(self, id: int, result: Result) -> None:
        try:
            self._channel.send(Answer(id, result))
        except wire.WireError as error:
            self._channel.send(Failed(id, f"the engine's answer cannot be sent: {error}"))

    def _speak_on(self) -> None:
        """One piece of the voice whose turn it is: long texts do not keep short ones waiting. Live ones go first."""
        waiting = [id for id, voice in self._voices.items() if voice.ahead < AHEAD]
        id = next((id for id in waiting if self._voices[id].live), waiting[0])
        voice = self._voices[id]
        self._voices.move_to_end(id)
        try:
            speech = voice.next()
        except Exception as error:  # as above
            self._channel.send(Failed(id, describe(error)))
            self._voices.pop(id).close()
            return
        if speech is None:
            self._end_voice(id)
            return
        voice.ahead += 1
        try:
            self._channel.send(Piece(id, speech))
        except wire.WireError as error:
            self._channel.send(Failed(id, f"the engine's answer cannot be sent: {error}"))
            self._voices.pop(id).close()

    def _end_voice(self, id: int) -> None:
        if (voice := self._voices.pop(id, None)) is not None:
            voice.close()
            self._channel.send(Done(id))


class _Voice:
    """A text being spoken; ``ahead`` counts the pieces sent and not yet taken."""

    def __init__(self, engine: Any, request: SpeakRequest) -> None:
        self._engine = engine
        self._request = request
        self._pieces: Iterator[Speech] | None = None
        self.live = request.live
        self.ahead = 0

    def next(self) -> Speech | None:
        if self._pieces is None:
            self._pieces = iter(self._engine.speak(self._request))
        return next(self._pieces, None)

    def close(self) -> None:
        if (close := getattr(self._pieces, "close", None)) is not None:
            with contextlib.suppress(Exception):  # closing is a courtesy to the engine
                close()


def end(status: int) -> None:
    """Ends this process at once and the programs it started, when it leads a process group of its own."""
    leads = sys.platform != "win32" and os.getpgrp() == os.getpid()
    if leads and (sys.platform != "linux" or _children(os.getpid())):
        os.killpg(0, signal.SIGKILL)
    os._exit(status)


def settle(nice: int) -> None:
    """Lower priority than audio; no signals of the terminal's; no life without the host."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    lower_priority(nice)
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG = 1: the kernel ends this process when the host's thread that started it has ended,
        # also while an engine holds the interpreter lock and the closed pipe goes unnoticed.
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)


def main() -> int:
    channel = take_over_pipes()
    messages = channel.messages()
    start = next(messages, None)
    if not isinstance(start, Start):
        return 2
    spec = start.spec
    settle(spec.nice)
    try:
        engine = make(spec)
        worker = Worker(engine, channel)
        if getattr(engine, "concurrent", 1) > 1:
            from media_server.engines.threads import ThreadedWorker

            worker = ThreadedWorker(engine, channel)
        threading.Thread(target=worker.receive, args=(messages,), name="wire", daemon=True).start()
        channel.send(Ready(engine.load()))
    except Exception as error:  # said to people, who can mend it; the host decides about another try
        spoken = isinstance(error, EngineError | FileNotFoundError) and str(error)
        words = str(error) if spoken else f"{type(error).__name__}: {error}"
        channel.send(Unable(words))
        return 3
    try:
        worker.serve()
    finally:
        with contextlib.suppress(Exception):  # the process ends anyway
            engine.close()
    return 0


if __name__ == "__main__":
    status = 1
    try:
        status = main()
    finally:
        end(status)  # without the interpreter's teardown: native threads may still run
