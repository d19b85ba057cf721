"""One child process of an engine as the host sees it: bytes in and out, its end, and how to end it.

Its standard input and output are the wire. What it writes to standard error is counted, and shown at level
DEBUG only, because a library may quote there what it was given.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import media_server
from media_server.clock import cpu_of
from media_server.engines import wire
from media_server.engines.base import EngineSpec
from media_server.engines.messages import Message, Start

logger = logging.getLogger(__name__)

CLOSE_GRACE_S = 0.5  # for the child to end by itself once its input is closed
_DRAIN_S = 1.0  # for the pipes to run dry after the process has ended
_STDERR_LINES = 20  # shown a child at most
_STDERR_WIDTH = 200  # characters
# fmt: off
_PASSED = frozenset(
    {
        "PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT",
        "USERPROFILE", "APPDATA", "LOCALAPPDATA", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    }
)
# fmt: on
_ROOT = str(Path(media_server.__file__).resolve().parent.parent)  # where the child finds this package
_PASSED_PREFIXES = ("LC_", "PYTHON", "CUDA_", "NVIDIA_", "CT2_", "XDG_")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def environment(spec: EngineSpec) -> dict[str, str]:
    """What a child inherits: no secrets; as many numeric threads as its setting ``threads`` says (1)."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _PASSED or name.upper().startswith(_PASSED_PREFIXES)
    }
    threads = spec.settings.get("threads")
    passed |= dict.fromkeys(_THREADS, str(threads) if isinstance(threads, int) and threads > 0 else "1")
    passed["PYTHONPATH"] = os.pathsep.join(filter(None, (_ROOT, passed.get("PYTHONPATH"))))
    return passed


class Child(asyncio.SubprocessProtocol):
    """Made by ``spawn``. ``on_message`` is called from the loop, never after ``ended`` is set."""

    def __init__(self, name: str, on_message: Callable[[Message], None]) -> None:
        self.ended = asyncio.Event()
        self.reason = ""
        """Why it was ended or how it ended, for people."""
        self._name = name
        self._on_message = on_message
        self._decoder = wire.Decoder()
        self._transport: asyncio.SubprocessTransport | None = None
        self._input: asyncio.WriteTransport | None = None
        self._lines = 0

    @classmethod
    async def spawn(cls, spec: EngineSpec, on_message: Callable[[Message], None]) -> Child:
        """Starts a process and sends it ``Start``; ``OSError`` when there can be none."""
        command = (sys.executable, "-m", "media_server.engines.worker", spec.kind, spec.name)  # for ps
        loop = asyncio.get_running_loop()
        _, child = await loop.subprocess_exec(
            lambda: cls(spec.name, on_message), *command, env=environment(spec), start_new_session=True
        )
        child.send(Start(spec))
        return child

    @property
    def pid(self) -> int:
        assert self._transport is not None
        pid = self._transport.get_pid()
        assert pid is not None
        return pid

    def cpu_s(self) -> float | None:
        """CPU time of this process, without that of programs it runs; None where the system does not tell."""
        return None if self.ended.is_set() else cpu_of(self.pid)

    def send(self, message: Message) -> None:
        """``WireError`` when the message does not fit; nothing when the child has gone."""
        data = wire.encode(message)
        if self._input is not None and not self._input.is_closing():
            self._input.write(data)

    def kill(self, reason: str) -> None:
        """Ends it and every program it started. ``ended`` follows."""
        self.reason = self.reason or reason
        if self.ended.is_set() or self._transport is None:
            return
        try:
            if sys.platform == "win32":
                self._transport.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL)  # it leads a group of its own
        except ProcessLookupError:
            pass

    async def close(self) -> None:
        """Lets it end by itself, then makes it; returns when it is gone. Idempotent."""
        if self._input is not None:
            self._input.close()
        try:
            async with asyncio.timeout(CLOSE_GRACE_S):
                await self.ended.wait()
        except TimeoutError:
            pass
        self.kill("closed")
        await self.ended.wait()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is no subclass of it
        self._input = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        if fd == 2:
            self._heed_stderr(data)
            return
        try:
            messages = self._decoder.feed(data)
        except wire.WireError as error:
            self.kill(f"sent what is no message: {error}")
            return
        for message in messages:
            if not self.ended.is_set():
                self._on_message(message)

    def process_exited(self) -> None:
        assert self._transport is not None
        status = self._transport.get_returncode() or 0
        words = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
        self.kill(words)  # programs it left behind, which would hold the pipes open
        asyncio.get_running_loop().call_later(_DRAIN_S, self._finish)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def _finish(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        assert self._transport is not None
        self._transport.close()
        if self._lines:
            logger.info("engine %s: the child wrote %d lines to standard error", self._name, self._lines)

    def _heed_stderr(self, data: bytes) -> None:
        if logger.isEnabledFor(logging.DEBUG) and self._lines < _STDERR_LINES:
            for line in data.decode("utf-8", "replace").splitlines()[: _STDERR_LINES - self._lines]:
                logger.debug("engine %s: %s", self._name, line[:_STDERR_WIDTH])
        self._lines += data.count(b"\n")
