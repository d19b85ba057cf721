"""Chromium as the tests use it: the system's own, quiet, with a microphone that plays a file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.async_api import Browser, ConsoleMessage, Page, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--no-sandbox",  # containers run as root
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--host-resolver-rules=MAP interpreter.test 127.0.0.1",
)
BY_THE_BROWSER = (
    "Failed to load resource",  # a refused request; what the page makes of it is tested where it matters
    "The Cross-Origin-Opener-Policy header has been ignored",  # plain HTTP from elsewhere than localhost
)
FAKE_MICROPHONE = "--use-fake-device-for-media-stream"


def executable() -> str:
    """CHROMIUM, or the first of the usual names on PATH."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "no Chromium: install the package `chromium` or name one in CHROMIUM"
    return found


async def launch(
    playwright: Playwright, *, hears: Path | None = None, microphone: bool = True, flags: tuple[str, ...] = ()
) -> Browser:
    """A browser whose microphone plays ``hears`` once (else beeps), or that has none."""
    more = [FAKE_MICROPHONE] if microphone else []
    if hears is not None:
        more.append(f"--use-file-for-fake-audio-capture={hears}%noloop")
    return await playwright.chromium.launch(executable_path=executable(), args=[*FLAGS, *more, *flags])


class Faults:
    """What a page complains about: errors on its console, exceptions, violations of its own security policy."""

    def __init__(self, page: Page) -> None:
        self.seen: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.seen.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(BY_THE_BROWSER):
            self.seen.append(message.text)
