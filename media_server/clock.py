"""The one module that reads the clock. Everything else takes time as an argument or is given a ``Clock``."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that only go forward; the zero point means nothing."""

    def __call__(self) -> float: ...


def monotonic() -> float:
    """Seconds of the system's monotonic clock."""
    return time.monotonic()


def wall() -> float:
    """Seconds since the Unix epoch, for what people read and for credentials that expire."""
    return time.time()
