"""A lock between processes: one fetch of a model at a time. The system releases it when its holder dies."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_POLL_S = 0.2
_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def held(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds the lock of ``path``; ``on_wait`` is called once when somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        waiting = False
        while True:
            try:
                _take(file)
                break
            except OSError as error:
                if error.errno not in _HELD:
                    raise
            if not waiting:
                on_wait()
                waiting = True
            time.sleep(_POLL_S)
        yield
