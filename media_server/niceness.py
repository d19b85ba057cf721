"""The priority of a process that works beside audio."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


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
            Path("/proc/self/autogroup").write_text(str(by))
