"""Clips of speech by what they say: bounded in memory, and on disk where a folder is set.

A key is a hash, so no file is named after what was said; what was said can be heard in it. A disk that is full,
read-only or gone only means that there is no cache on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections import OrderedDict
from pathlib import Path

MEMORY_BYTES = 8 * 1024 * 1024  # some hundred sentences
LARGEST_CLIP = 2 * 1024 * 1024  # bytes; a sentence has a fiftieth of that
_SUFFIX = ".mp3"


def key_of(*parts: str) -> str:
    """The hash of what makes a clip what it is (who speaks, language, text)."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class ClipCache:
    """``folder`` None: memory only. The longest unused clips go first, in both places. Not thread-safe."""

    def __init__(self, folder: Path | None, disk_bytes: int, memory_bytes: int = MEMORY_BYTES) -> None:
        self._folder = folder
        self._disk_bytes = disk_bytes
        self._memory_bytes = memory_bytes
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0
        self._on_disk = 0
        if folder is not None:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._on_disk = sum(size for _, size, _ in self._files())
                self._make_room(0)
            except OSError:
                self._folder = None

    def get(self, key: str) -> bytes | None:
        clip = self._memory.get(key)
        if clip is not None:
            self._memory.move_to_end(key)
            return clip
        if self._folder is None:
            return None
        path = self._folder / (key + _SUFFIX)
        try:
            if path.stat().st_size > LARGEST_CLIP:
                return None
            clip = path.read_bytes()
            os.utime(path)  # used just now: it goes last
        except OSError:
            return None
        self._keep(key, clip)
        return clip

    def put(self, key: str, clip: bytes) -> None:
        if len(clip) > LARGEST_CLIP:
            return
        self._keep(key, clip)
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._write(self._folder, key, clip)

    def drop(self, key: str) -> None:
        """Forgets a clip that turned out to be damaged."""
        clip = self._memory.pop(key, None)
        self._held -= len(clip or b"")
        if self._folder is not None:
            with contextlib.suppress(OSError):
                path = self._folder / (key + _SUFFIX)
                size = path.stat().st_size
                path.unlink()
                self._on_disk -= size

    def _keep(self, key: str, clip: bytes) -> None:
        self._held += len(clip) - len(self._memory.pop(key, b""))
        self._memory[key] = clip
        while self._held > self._memory_bytes:
            self._held -= len(self._memory.popitem(last=False)[1])

    def _write(self, folder: Path, key: str, clip: bytes) -> None:
        """Whole or not at all: under another name first, then moved into place."""
        self._make_room(len(clip))
        if self._on_disk + len(clip) > self._disk_bytes:
            return
        target = folder / (key + _SUFFIX)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".new-")  # readable by its owner only
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(clip)
            before = target.stat().st_size if target.exists() else 0
            os.replace(name, target)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        self._on_disk += len(clip) - before

    def _make_room(self, wanted: int) -> None:
        """Removes the longest unused clips until there is room, a tenth of it more than is needed now."""
        if self._on_disk + wanted <= self._disk_bytes:
            return
        files = sorted(self._files())
        self._on_disk = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._on_disk + wanted <= self._disk_bytes * 0.9:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                self._on_disk -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """(last used, bytes, path) of every clip on disk; what a crash left half-written is removed."""
        assert self._folder is not None
        found = []
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.name.startswith(".new-"):
                    path.unlink()
                elif path.suffix == _SUFFIX:
                    stat = path.stat()
                    found.append((stat.st_mtime, stat.st_size, path))
        return found
