"""The whole application in the test's own process and loop, on a free port, with engines that a test chooses."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from compat_ws.audio_handler import AudioSockets
from compat_ws.echo_handler import Echo
from media_server import config
from media_server.engines.base import EngineSpec
from media_server.engines.fleet import Fleet
from media_server.engines.registry import Plan
from media_server.metrics import Metrics
from media_server.rooms.hub import Hub
from media_server.rtc.calls import Calls
from signaling.app import make_app

WEB = Path(__file__).resolve().parents[2] / "web"
READY_S = 30.0


def steady(decode_s: float = 0.0) -> EngineSpec:
    """A recognizer in a child process that takes so long for every window and hears a word a second."""
    return EngineSpec(
        "recognize", "steady", "tests.support.steady_engine:SteadyRecognizer", {"decode_s": decode_s}
    )


@dataclass(frozen=True, slots=True)
class Application:
    hub: Hub
    metrics: Metrics
    url: str
    _http: aiohttp.ClientSession

    async def ask(self, path: str, body: object) -> tuple[int, dict[str, str], Any]:
        """(status, headers, JSON body) of a POST of JSON."""
        async with self._http.post(self.url + path, json=body) as response:
            return response.status, dict(response.headers), await response.json()

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        status, _, answer = await self.ask(path, body)
        return status, answer

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with self._http.get(self.url + path) as response:
            return response.status, await response.json()


@contextlib.asynccontextmanager
async def application(*recognizers: EngineSpec, **settings: str) -> AsyncIterator[Application]:
    """Running, its recognizers loaded. Settings as in the environment; media stays on 127.0.0.1."""
    metrics = Metrics()
    given = config.load({"RTC_BIND": "127.0.0.1", **settings})
    hub = Hub(given, Fleet(Plan(recognize=recognizers), metrics), metrics)
    calls = Calls(hub)
    app = make_app(hub, calls, WEB, entrances=[AudioSockets(hub), Echo(hub, calls.denoiser)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        for host in hub.fleet.hosts:
            await host.wait_ready(READY_S)
        port = runner.addresses[0][1]
        connector = aiohttp.TCPConnector(force_close=True)  # none is kept for later: tests count descriptors
        async with aiohttp.ClientSession(connector=connector) as http:
            yield Application(hub, metrics, f"http://127.0.0.1:{port}", http)
    finally:
        await runner.cleanup()
