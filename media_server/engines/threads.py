"""Serves an engine that waits for somebody else: each request in a thread, so that a slow one holds up no other.

The bound is the host's: it hands over at most ``Capabilities.concurrent`` requests (``VOICES`` texts) at a time.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from media_server.engines import wire
from media_server.engines.base import RecognizeRequest, SpeakRequest, TranslateRequest
from media_server.engines.messages import AHEAD, Cancel, Done, Failed, Next, Piece, Request, Result, Work
from media_server.engines.withdrawal import Withdrawal, working_for
from media_server.engines.worker import Channel, Worker, describe


class _Job:
    """A request in a thread; ``room`` is how many pieces of speech it may still make unasked."""

    def __init__(self) -> None:
        self.withdrawal = Withdrawal()
        self.room = threading.Semaphore(AHEAD)


class ThreadedWorker(Worker):
    """``engine.concurrent`` threads; its methods are called from several at once."""

    def __init__(self, engine: Any, channel: Channel) -> None:
        super().__init__(engine, channel)
        self._pool = ThreadPoolExecutor(engine.concurrent, "request")
        self._jobs: dict[int, _Job] = {}

    def serve(self) -> None:
        while (message := self._inbox.get()) is not None:
            match message:
                case Cancel(id):
                    self._cancelled.discard(id)
                    if (job := self._jobs.get(id)) is not None:
                        job.withdrawal.withdraw()
                        job.room.release()
                case Next(id):
                    if (job := self._jobs.get(id)) is not None:
                        job.room.release()
                case Work(ids, requests):
                    for id, request in zip(ids, requests, strict=True):
                        self._jobs[id] = _Job()
                        self._pool.submit(self._serve_one, id, request)

    def _serve_one(self, id: int, request: Request) -> None:
        job = self._jobs[id]
        try:
            with working_for(job.withdrawal):
                if job.withdrawal.gone():
                    self._channel.send(Done(id))
                elif isinstance(request, SpeakRequest):
                    self._speak(id, request, job)
                else:
                    self._answer(id, self._result(request))
        except wire.WireError as error:
            self._channel.send(Failed(id, f"the engine's answer cannot be sent: {error}"))
        except Exception as error:  # whatever an engine raises costs this request, not the child
            self._channel.send(Failed(id, describe(error)))
        finally:
            del self._jobs[id]

    def _result(self, request: Request) -> Result:
        result: Result
        match request:
            case RecognizeRequest():
                (result,) = self._engine.recognize([request])
            case TranslateRequest():
                result = self._engine.translate(request)
            case _:
                result = self._engine.turn(request)
        return result

    def _speak(self, id: int, request: SpeakRequest, job: _Job) -> None:
        with contextlib.closing(self._engine.speak(request)) as pieces:
            job.room.acquire()
            for speech in pieces:
                if job.withdrawal.gone():
                    break
                self._channel.send(Piece(id, speech))
                job.room.acquire()
                if job.withdrawal.gone():
                    break
        self._channel.send(Done(id))
