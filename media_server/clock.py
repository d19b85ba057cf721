"""The one module that reads the clock. Everything else takes time as an argument or is given a ``Clock``."""

from __future__ import annotations

import sys
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that only go forward; the zero point means nothing."""

    def __call__(self) -> float: ...


def monotonic() -> float:
    """Seconds of the system's monotonic clock."""
    return time.monotonic()


def cpu_of(pid: int) -> float | None:
    """CPU seconds of another process, all its threads together; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        # What clock_getcpuclockid(3) makes of a process id; Python has no name for it.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def wall() -> float:
    """Seconds since the Unix epoch, for what people read and for credentials that expire."""
    return time.time()
