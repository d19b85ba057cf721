"""Browsers, pages and servers for the tests of the page. One event loop and one browser serve them all."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Playwright, async_playwright

from tests.browser.chromium import Faults, launch
from tests.browser.scripted import ScriptedServer
from tests.support.server import Server

type Until = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture(scope="session")
def screenshots(project_root: Path) -> Path:
    """Where screenshots are kept."""
    folder = Path(os.environ.get("SCREENSHOTS", project_root / "build" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def picture(screenshots: Path) -> Path:
    """The README's picture of the page; README_PICTURE=docs/page.png renews it."""
    return Path(os.environ.get("README_PICTURE", screenshots / "page.png"))


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
    opened.on("dialog", lambda dialog: dialog.accept())  # whether to leave a call that runs
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


async def eventually(page: Page, expression: str, within_s: float = 10) -> Any:
    """The value of a JavaScript expression as soon as it is true. (Playwright's own wait needs `unsafe-eval`.)"""
    deadline = time.monotonic() + within_s
    while not (value := await page.evaluate(expression)):
        assert time.monotonic() < deadline, f"not true within {within_s} s: {expression}"
        await asyncio.sleep(0.05)
    return value


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The real server with its defaults, everything loaded."""
    with Server(DRAIN_SECS="1") as running:
        yield running
