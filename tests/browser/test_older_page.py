"""A page of the older servers against this one: what it shows and plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Playwright

from benchmarks.scoring import errors
from tests.browser.chromium import launch
from tests.browser.conftest import eventually
from tests.browser.interpreted import record, silence
from tests.support.models import jfk
from tests.support.server import Server

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(loop_scope="session")
async def older() -> AsyncIterator[str]:
    """Where the page is served: not by the server it talks to."""
    app = web.Application()
    app.router.add_static("/", Path(__file__).parent)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_an_older_page_shows_captions_and_plays_speech(
    playwright: Playwright, server: Server, older: str, tmp_path: Path
) -> None:
    microphone = tmp_path / "microphone.wav"
    speech = jfk()
    record(microphone, [silence(2.0), speech.pcm, silence(3.0)])
    browser = await launch(playwright, hears=microphone)
    page = await (await browser.new_context(permissions=["microphone"])).new_page()
    await page.goto(f"{older}/older.html?server=ws://127.0.0.1:{server.port}/ws/audio")
    await page.click("#start")
    words = """window.heard.messages.filter((one) => one.type === "final")
      .reduce((sum, one) => sum + one.text.split(" ").length, 0)"""
    await eventually(page, f"{words} >= 20", within_s=60)
    await eventually(page, "window.heard.played >= 1 && window.heard.clips.length >= 1", within_s=30)
    heard = await page.evaluate("window.heard")
    shown = await page.locator("#captions li").all_inner_texts()
    await browser.close()
    assert heard["failed"] == []
    assert all(clip["seconds"] > 0.3 and clip["peak"] > 0.05 for clip in heard["clips"])
    finals = [one for one in heard["messages"] if one["type"] == "final"]
    assert errors(speech.text, " ".join(one["text"] for one in finals)).rate <= 0.25
    assert all(one["translation"] and one["target_lang"] == "es" for one in finals)
    assert shown[: len(finals)] == [f"{one['text']} | {one['translation']}" for one in finals]
    kinds = [one["type"] for one in heard["messages"]]
    assert kinds[0] == "ack"
    assert "partial" in kinds[: kinds.index("final")]
