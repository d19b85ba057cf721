"""How long the machine itself stood still: what a test adds to a bar on time where its machine is shared."""

from __future__ import annotations

import threading
import time
from types import TracebackType

STEP_S = 0.005
NOTICED_MS = 2.0


class Stalls:
    """``with Stalls() as stalls``: a thread that sleeps 5 ms at a time notes how much longer that took."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._stalls: list[tuple[float, float]] = []
        """When each oversleep of more than ``NOTICED_MS`` ended (monotonic clock, s), and its length in s."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._stop.wait(STEP_S):
            now = time.monotonic()
            over_ms = (now - before - STEP_S) * 1000
            self.longest_ms = max(self.longest_ms, over_ms)
            if over_ms > NOTICED_MS:
                self._stalls.append((now, over_ms / 1000))
            before = now

    def between_ms(self, start: float, end: float) -> float:
        """How long the machine stood still in that time altogether (monotonic clock, s)."""
        shares = (min(end, over) - max(start, over - length) for over, length in list(self._stalls))
        return 1000 * sum(max(0.0, share) for share in shares)

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
