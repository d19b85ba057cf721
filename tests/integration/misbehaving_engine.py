"""An engine of every kind that does what the text, or the first sample, of a request says. For tests only."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from media_server.engines.base import (
    Capabilities,
    EngineKind,
    Hypothesis,
    Pair,
    Pcm,
    Recognition,
    RecognizeRequest,
    SpeakRequest,
    Speech,
    TranslateRequest,
    Translation,
    Turn,
    TurnRequest,
)
from media_server.engines.withdrawal import current
from media_server.errors import EngineFailed, EngineUnavailable

# First samples of a window that ask for something.
CRASH, HANG, SLEEP, RAISE = 1001, 1002, 1003, 1004


def window(first: int, value: int = 0) -> Pcm:
    """A window that asks for something, or just for ``value`` back."""
    return np.array([first, value], np.int16)


class MisbehavingEngine:
    """``once`` names a file: a request to crash does so only while it is absent, and makes it."""

    def __init__(
        self,
        kind: EngineKind,
        batch: int = 1,
        load_s: float = 0.0,
        missing: str = "",
        die_loading: int = 0,
        once: str = "",
        log: str = "",
        concurrent: int = 1,
        token: str = "",
        language: str = "",
        pair: str = "",
    ) -> None:
        self._languages = (language,) if language else ()
        self._pairs = (Pair(pair[:2], pair[3:], 60),) if pair and kind == "translate" else ()
        self.concurrent = concurrent
        self._token = token
        self._kind = kind
        self._batch = batch
        self._load_s = load_s
        self._missing = missing
        self._die_loading = die_loading
        self._once = Path(once) if once else None
        self._log = Path(log) if log else None

    def load(self) -> Capabilities:
        time.sleep(self._load_s)
        if self._missing and not Path(self._missing).exists():
            raise EngineUnavailable("the weights are not here")
        if self._die_loading and self._lives() < self._die_loading:
            os.kill(os.getpid(), signal.SIGKILL)
        print("noise on standard output")
        return Capabilities(
            self._kind,
            "misbehaving",
            languages=self._languages,
            pairs=self._pairs,
            batch=self._batch,
            concurrent=self.concurrent,
        )

    def close(self) -> None:
        self._note("closed")

    def recognize(self, requests: list[RecognizeRequest]) -> list[Recognition]:
        self._note("batch " + " ".join(str(int(r.audio[-1])) for r in requests))
        for request in requests:
            self._act(int(request.audio[0]), float(request.audio[-1]) / 1000)
        return [Recognition(Hypothesis(str(int(r.audio[-1]))), "en", 1.0) for r in requests]

    def turn(self, request: TurnRequest) -> Turn:
        self._act(int(request.audio[0]), float(request.audio[-1]) / 1000)
        return Turn(0.5)

    def translate(self, request: TranslateRequest) -> Translation:
        for text in request.texts:
            word, _, rest = text.partition(" ")
            if word == "huge":
                return Translation(("x" * 2_000_000,))
            if word == "token":
                return Translation((str(len(self._token)),))
            if word == "wait":  # as one that waits for somebody else: until it is withdrawn
                self._note("withdrawn" if current().wait(float(rest)) else "not withdrawn")
                continue
            if word == "short":
                return Translation(())
            self._act(
                {"crash": CRASH, "hang": HANG, "sleep": SLEEP, "raise": RAISE}.get(word, 0), float(rest or 0)
            )
        return Translation(tuple(text.upper() for text in request.texts))

    def speak(self, request: SpeakRequest) -> Iterator[Speech]:
        """ "N pieces" of ten samples; "crash" or "hang" after the first piece; "nothing" at all."""
        for number, word in enumerate(request.text.split()):
            if word == "nothing":
                return
            if word in ("crash", "hang", "raise"):
                self._act({"crash": CRASH, "hang": HANG, "raise": RAISE}[word], 0)
            self._note(f"piece {number}")
            yield Speech(np.full(10, number, np.int16), text=word, voice="none")

    def _act(self, what: int, argument: float) -> None:
        if what == CRASH:
            if self._once is not None:
                if self._once.exists():
                    return
                self._once.touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        elif what == HANG:
            ctypes.PyDLL(None).sleep(3600)  # keeps the interpreter lock, as a broken native library does
        elif what == SLEEP:
            time.sleep(argument)
        elif what == RAISE:
            if argument:
                raise EngineFailed("words for people")
            raise ValueError("secret words")

    def _lives(self) -> int:
        assert self._once is not None
        lives = int(self._once.read_text() or 0) if self._once.exists() else 0
        self._once.write_text(str(lives + 1))
        return lives

    def _note(self, line: str) -> None:
        if self._log is not None:
            with self._log.open("a") as file:
                file.write(line + "\n")
