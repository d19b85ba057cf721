"""The application in a process of its own, with nothing beside it, that says what it holds.

``python -m tests.support.soaked SETTINGS``, the settings as JSON, prints its address, then what it holds for each line
that it is given, and ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from media_server.memory import MemoryKeeper
from tests.support.application import Application, application, steady


@dataclass(frozen=True, slots=True)
class Held:
    tasks: int
    threads: int
    descriptors: int
    resident: int
    """Bytes."""
    sessions: int
    finals: int
    """Sentences heard since the start."""

    def beyond(self, other: Held) -> bool:
        """More tasks, threads or descriptors than then."""
        return (
            self.tasks > other.tasks or self.threads > other.threads or self.descriptors > other.descriptors
        )


class Soaked:
    """Asks such a process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url

    async def held(self) -> Held:
        """After it has tidied up, as a server does every few seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return Held(**json.loads(await self._process.stdout.readline()))


@asynccontextmanager
async def soaked(**settings: str) -> AsyncIterator[Soaked]:
    command = [sys.executable, "-m", "tests.support.soaked", json.dumps(settings)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        assert url, "its own error stands above"
        yield Soaked(process, url)
        process.stdin.close()
        assert await process.wait() == 0, "its own error stands above"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _held(app: Application) -> Held:
    statm = Path("/proc/self/statm").read_text().split()
    finals = app.metrics.registry.get_sample_value("lai_utterances_total", {"outcome": "final"})
    return Held(
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        resident=int(statm[1]) * os.sysconf("SC_PAGE_SIZE"),
        sessions=len(app.hub),
        finals=int(finals or 0),
    )


async def main(settings: dict[str, str]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with application(steady(), **settings) as app:
        keeper = MemoryKeeper(lambda: app.hub.ended)
        keeper.start()
        print(app.url, flush=True)
        while await reader.readline():
            keeper.tidy()
            print(json.dumps(asdict(_held(app))), flush=True)
        await keeper.stop()


if __name__ == "__main__":
    from aioice import ice

    ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    asyncio.run(main(json.loads(sys.argv[1])))
