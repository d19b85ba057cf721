"""The priority of a process that works beside audio."""

from __future__ import annotations

import contextlib
import os
import sys
import time

AUTOGROUP = "/proc/self/autogroup"
TRIES = 50
PAUSE_S = 0.1  # the kernel takes one such change in that time from all who are not root together


def lower_priority(by: int) -> None:
    """Adds to this process's niceness. To be called by one that leads a session (``start_new_session``).

    Where the kernel shares the processor among sessions (autogroup), the niceness of a process counts inside its
    session only, so the session gets it as well (sched(7)).
    """
    if sys.platform == "win32" or not by:
        return
    os.nice(by)
    if sys.platform == "linux" and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # no autogroup here, or /proc is read-only
            _lower_session(by)


def _lower_session(by: int) -> None:
    """Raises OSError where it cannot be done."""
    group = os.open(AUTOGROUP, os.O_WRONLY)
    try:
        for _ in range(TRIES):
            try:
                os.write(group, str(by).encode())
            except BlockingIOError:  # others have just done the same
                time.sleep(PAUSE_S)
            else:
                return
    finally:
        os.close(group)
