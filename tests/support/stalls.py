"""How long the machine itself stood still: what a test adds to a bar on time where its machine is shared."""

from __future__ import annotations

import threading
import time
from types import TracebackType

STEP_S = 0.005


class Stalls:
    """``with Stalls() as stalls``: a thread that sleeps 5 ms at a time notes the longest oversleep."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._stop.wait(STEP_S):
            now = time.monotonic()
            self.longest_ms = max(self.longest_ms, (now - before - STEP_S) * 1000)
            before = now

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
