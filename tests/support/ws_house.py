"""``/ws/audio`` in this process, in front of a hub whose engines are simple functions: what depends on no model."""

from __future__ import annotations

from types import TracebackType
from typing import cast

from aiohttp import web

from compat_ws.audio_handler import AudioSockets
from media_server import config
from media_server.engines.fleet import Fleet
from media_server.metrics import Metrics
from media_server.rooms.hub import Hub
from tests.unit.rooms.fakes import FakeFleet


class WsHouse:
    """``async with WsHouse(MAX_SESSIONS="60") as house``: served on ``house.port``."""

    def __init__(self, *, stall_s: float = 10.0, **environ: str) -> None:
        self.fleet = FakeFleet()
        self.metrics = Metrics()
        self.hub = Hub(config.load(environ), cast(Fleet, self.fleet), self.metrics)
        self.sockets = AudioSockets(self.hub, stall_s=stall_s)
        self.port = 0
        self._runner: web.AppRunner

    async def __aenter__(self) -> WsHouse:
        app = web.Application()
        self.sockets.add_to(app, lambda request: request.remote or "")
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self.hub.stop()

    def dropped(self, queue: str) -> float:
        """How many entries a queue has dropped."""
        return float(self.metrics.drops.labels(queue)._value.get())
