"""Whoever asked may go away while an engine waits for somebody else: how the engine's thread learns of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Withdrawal:
    """One request's. ``withdraw`` may be called from any thread, once or more often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self._callbacks: list[Callable[[], None]] = []

    def gone(self) -> bool:
        return self._gone.is_set()

    def withdraw(self) -> None:
        """Nobody waits for the answer any more."""
        with self._lock:
            self._gone.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def wait(self, seconds: float) -> bool:
        """Sleeps, at most so long; True when the request was withdrawn."""
        return self._gone.wait(seconds)

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """While the block runs a withdrawal calls ``callback`` (from another thread), at once if it was before."""
        with self._lock:
            late = self._gone.is_set()
            if not late:
                self._callbacks.append(callback)
        if late:
            callback()
        try:
            yield
        finally:
            with self._lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)


_current: ContextVar[Withdrawal | None] = ContextVar("withdrawal", default=None)


def current() -> Withdrawal:
    """That of the request which this thread works on; outside of one, a withdrawal that never happens."""
    return _current.get() or Withdrawal()


@contextmanager
def working_for(withdrawal: Withdrawal) -> Iterator[None]:
    """This thread works on that request while the block runs."""
    token = _current.set(withdrawal)
    try:
        yield
    finally:
        _current.reset(token)
