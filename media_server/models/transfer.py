"""One file on its way into the store: appended to a `.part` file, hashed as it passes, renamed when right.

A `.part` is a prefix of the file that its name gives by SHA-256, whoever wrote it, so any source may go on
where another, or another run, stopped.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from types import TracebackType

from media_server.models.manifest import Model, ModelError, ModelFile
from media_server.models.progress import Progress

_CHUNK = 1 << 20  # 1 MiB


class SourceError(ModelError):
    """A source does not give this file; the next one is tried."""


class TooLong(SourceError):
    """A source sends more than the file has: it has another file."""


class DiskFull(ModelError):
    """There is no room for the model. Nothing of it is left behind."""


def is_disk_full(error: OSError) -> bool:
    """Whether the system refused to store more (the disk or a quota)."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class Transfer:
    """Writes one file of a model. Use as a context: closing keeps the bytes for a later run."""

    def __init__(self, model: Model, file: ModelFile, staging: Path, progress: Progress) -> None:
        self.model = model
        self.file = file
        self.staging = staging
        """A folder of this model's own; what sources put here is kept until the model is complete."""
        self.progress = progress
        self._path = staging / f"{file.sha256[:16]}-{file.name}.part"
        self._hash = hashlib.sha256()
        self._size = 0
        staging.mkdir(parents=True, exist_ok=True)
        self._out = self._path.open("ab+")
        self._out.seek(0)
        while chunk := self._out.read(_CHUNK):
            self._hash.update(chunk)
            self._size += len(chunk)
        progress.advance(self._size)
        if self._size >= file.size and not self.is_right():
            self.restart()

    def __enter__(self) -> Transfer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.close()

    @property
    def offset(self) -> int:
        """Bytes that are there: a source goes on here."""
        return self._size

    @property
    def complete(self) -> bool:
        return self._size == self.file.size

    def write(self, chunk: bytes) -> None:
        """Appends; raises TooLong when the source sends more than the file has."""
        if self._size + len(chunk) > self.file.size:
            raise TooLong(f"{self.file.name} is longer there")
        self._out.write(chunk)
        self._hash.update(chunk)
        self._size += len(chunk)
        self.progress.advance(len(chunk))

    def restart(self) -> None:
        """Throws away what came so far."""
        self._out.truncate(0)
        self.progress.advance(-self._size)
        self._hash = hashlib.sha256()
        self._size = 0

    def is_right(self) -> bool:
        """Whether the bytes are the file's, by SHA-256."""
        return self.complete and self._hash.hexdigest() == self.file.sha256

    def install(self, folder: Path) -> None:
        """Puts the finished file in its place in one step; a reader sees all of it or nothing."""
        self._out.flush()
        os.fsync(self._out.fileno())
        self._out.close()
        folder.mkdir(parents=True, exist_ok=True)
        os.replace(self._path, folder / self.file.name)
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut, where the system can (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems know no fsync of a folder
    finally:
        os.close(handle)
