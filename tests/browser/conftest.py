"""Browsers, pages and servers for the tests of the page. One event loop and one browser serve them all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientError, ClientSession, ClientTimeout
from playwright.async_api import Browser, Page, Playwright, async_playwright

from tests.browser.chromium import Faults, launch
from tests.browser.scripted import ScriptedServer

type Until = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture(scope="session")
def screenshots(project_root: Path) -> Path:
    """Where screenshots are kept."""
    folder = Path(os.environ.get("SCREENSHOTS", project_root / "build" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    async with async_playwright() as driver:
        yield driver


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(playwright: Playwright) -> AsyncIterator[Browser]:
    """One with a microphone that beeps, and that asks nobody: a page has the permissions its context was given."""
    running = await launch(playwright)
    yield running
    await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def scripted() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page that may use the microphone. The test fails when the page complains about anything."""
    context = await browser.new_context(
        permissions=["microphone"], viewport={"width": 1280, "height": 800}, reduced_motion="reduce"
    )
    context.set_default_timeout(10_000)
    opened = await context.new_page()
    faults = Faults(opened)
    yield opened
    await context.close()
    assert faults.seen == []


@pytest_asyncio.fixture(loop_scope="session")
async def call(page: Page, scripted: ScriptedServer, until: Until) -> Page:
    """The page in a running call with the scripted server."""
    await page.goto(scripted.url)
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    await until(lambda: scripted.connected)
    return page


@pytest.fixture
def until() -> Until:
    """Waits until something is true, at most 10 s."""

    async def wait(true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not true():
            assert time.monotonic() < deadline, "it did not come true within 10 s"
            await asyncio.sleep(0.01)

    return wait


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A real server in a process of its own, as `python -m media_server` starts it."""

    def __init__(self, project: Path, settings: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://localhost:{self.port}/"
        environment = {**os.environ, "HOST": "127.0.0.1", "PORT": str(self.port)} | settings
        self._process = subprocess.Popen(
            [sys.executable, "-m", "media_server"], cwd=project, env=environment, stdin=subprocess.DEVNULL
        )

    async def ready(self, within_s: float = 60) -> None:
        """When everything is loaded."""
        deadline = time.monotonic() + within_s
        async with ClientSession(timeout=ClientTimeout(total=2)) as session:
            while time.monotonic() < deadline:
                assert self._process.poll() is None, "the server has ended"
                with contextlib.suppress(ClientError, TimeoutError):
                    async with session.get(f"{self.url}health") as response:
                        if (await response.json())["ready"]:
                            return
                await asyncio.sleep(0.1)
        raise AssertionError(f"the server was not ready within {within_s} s")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="session")
def start_server(project_root: Path) -> Iterator[Callable[[dict[str, str]], Server]]:
    """Starts servers with settings of their own; all end with the tests."""
    running: list[Server] = []

    def start(settings: dict[str, str]) -> Server:
        server = Server(project_root, settings)
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(start_server: Callable[[dict[str, str]], Server]) -> Server:
    """The server with its defaults, everything loaded."""
    started = start_server({"DRAIN_SECS": "1"})
    await started.ready()
    return started
