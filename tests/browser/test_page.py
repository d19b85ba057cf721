"""What a visitor meets: the page itself, before and around a call."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.chromium import Faults
from tests.browser.conftest import Until
from tests.browser.scripted import ScriptedServer, engine

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

NAMELESS = """() => [...document.querySelectorAll("button, select, input, dialog")]
  .filter((e) => !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim()
    || [...(e.labels ?? [])].some((label) => label.textContent.trim())))
  .map((e) => e.outerHTML)"""

CONTRASTS = """() => {
  const style = getComputedStyle(document.documentElement);
  const luminance = (name) => {
    const hex = style.getPropertyValue(name).trim().slice(1);
    const [r, g, b] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pairs = [];
  for (const ink of ["--text", "--soft", "--tentative"])
    for (const paper of ["--page", "--surface"]) pairs.push([ink, paper]);
  for (const ink of ["--text", "--soft"]) pairs.push([ink, "--sunken"]);
  for (const kind of ["--warning", "--danger"])
    for (const paper of ["--page", "--surface", `${kind}-wash`]) pairs.push([kind, paper], ["--text", `${kind}-wash`]);
  pairs.push(["--soft", "--warning-wash"], ["--on-accent", "--accent"], ["--on-accent", "--accent-strong"]);
  pairs.push(["--accent", "--page"], ["--surface", "--danger"], ["--danger-strong", "--danger-wash"]);
  return pairs.map(([ink, paper]) => {
    const [light, dark] = [luminance(ink), luminance(paper)].sort((a, b) => b - a);
    return [ink, paper, (light + 0.05) / (dark + 0.05)];
  });
}"""


async def test_the_page_loads_without_a_complaint_and_says_what_it_does(
    page: Page, scripted: ScriptedServer
) -> None:
    failed: list[str] = []
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    foreign: list[str] = []
    page.on(
        "request",
        lambda request: None if request.url.startswith(scripted.url) else foreign.append(request.url),
    )
    await page.goto(scripted.url)
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await expect(page.locator("#welcome-text")).to_have_text(
        "Press Start and talk in any language. Your words appear here while you speak, "
        "and a voice says them in English a moment later."
    )
    await expect(page.locator("#privacy")).to_have_text("Stays on this server")
    await page.wait_for_load_state("networkidle")
    assert failed == []
    assert foreign == []


async def test_every_control_has_a_name_for_screen_readers(page: Page, scripted: ScriptedServer) -> None:
    await page.goto(scripted.url)
    await expect(page.locator("#privacy")).to_be_visible()
    assert await page.evaluate(NAMELESS) == []


async def test_everything_is_reached_by_keyboard_in_the_order_of_the_page(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.goto(scripted.url)
    await expect(page.locator("#privacy")).to_be_visible()
    await page.select_option("#source", "en")
    await expect(page.locator("#swap")).to_be_enabled()
    reached = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id"))
    in_bar = ["source", "swap", "target", "start", "silence", "volume", "open-settings"]
    assert [one for one in reached if one in in_bar] == in_bar
    assert reached[:2] == ["privacy", "connection"]
    await page.focus("#start")
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


async def test_a_call_is_held_by_keyboard_alone(page: Page, scripted: ScriptedServer, until: Until) -> None:
    await page.goto(scripted.url)
    await page.keyboard.press("s")
    await page.wait_for_selector("body[data-call=live]")
    await page.keyboard.press("m")
    await until(lambda: {"type": "mute", "muted": True} in scripted.messages)
    await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("?")
    await expect(page.locator("#settings")).to_be_visible()
    await expect(page.locator("#h-keys")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#settings")).to_be_hidden()
    await page.keyboard.press("s")
    await page.wait_for_selector("body[data-call=idle]")


async def test_letters_do_nothing_once_the_shortcuts_are_off_or_while_a_list_has_the_focus(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.goto(scripted.url)
    await page.focus("#source")
    await page.keyboard.press("s")
    await page.click("#open-settings")
    await page.get_by_role("switch", name="Letters are shortcuts").uncheck()
    await page.keyboard.press("Escape")
    await page.focus("#start")
    await page.keyboard.press("s")
    await page.reload()
    await expect(page.locator("#privacy")).to_be_visible()
    await page.keyboard.press("s")
    await expect(page.locator("body")).to_have_attribute("data-call", "idle")
    assert scripted.offers == []


async def test_text_keeps_enough_contrast_in_the_light_and_in_the_dark(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.goto(scripted.url)
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        found = await page.evaluate(CONTRASTS)
        assert len(found) > 20
        assert [pair for pair in found if pair[2] < 4.5] == []  # WCAG 1.4.3, level AA


async def test_nothing_leaves_the_screen_at_any_width(
    page: Page, scripted: ScriptedServer, until: Until
) -> None:
    scripted.health["engines"][2] = engine("speak", "gTTS", offMachine="Google")
    await page.goto(scripted.url)
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    await until(lambda: scripted.connected)
    scripted.final(
        "u1", "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverordnung " * 3, "x" * 300
    )
    await expect(page.locator(".caption")).to_have_count(1)
    for width, height in ((360, 640), (390, 844), (768, 1024), (1280, 800), (844, 390)):
        await page.set_viewport_size({"width": width, "height": height})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        for control in ("#mute", "#start", "#open-settings", "#source", "#target", "#download"):
            box = await page.locator(control).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height
            assert box["height"] >= 44  # WCAG 2.5.5: a finger's size


async def test_who_gets_something_besides_the_server_is_named(page: Page, scripted: ScriptedServer) -> None:
    scripted.health["engines"][0] = engine("recognize", "openai", offMachine="OpenAI")
    scripted.health["engines"][2] = engine("speak", "gTTS", offMachine="Google")
    await page.goto(scripted.url)
    await expect(page.locator("#privacy")).to_have_text("Sends to OpenAI and Google")
    await page.click("#privacy")
    await expect(page.locator("#privacy-long")).to_have_text(
        "This server sends your voice to OpenAI and the translation to Google."
    )


async def test_the_page_tells_what_still_loads_and_what_is_missing(
    page: Page, scripted: ScriptedServer
) -> None:
    scripted.health["ready"] = False
    scripted.health["engines"][0] = engine("recognize", "faster-whisper", state="loading")
    missing = "No voice is installed."
    scripted.health["engines"][2] = engine(
        "speak", "", state="missing", reason=missing, fetch="meeting-voice-language models fetch"
    )
    scripted.health["messages"] = [
        {"level": "warning", "text": f"{missing} To get it: meeting-voice-language models fetch"}
    ]
    await page.goto(scripted.url)
    loading = page.locator("[data-subject=loading]")
    await expect(loading).to_contain_text("Speech recognition (faster-whisper) is loading.")
    gone = page.locator("[data-subject=missing]")
    await expect(gone).to_contain_text("The voice is not installed")
    await expect(gone.locator("code")).to_have_text("meeting-voice-language models fetch")
    await expect(page.locator(".notice")).to_have_count(2)
    scripted.health["ready"] = True
    scripted.health["engines"][0] = engine("recognize", "faster-whisper")
    await expect(loading).to_have_count(0)


async def test_the_languages_offered_are_those_that_work(page: Page, scripted: ScriptedServer) -> None:
    await page.goto(scripted.url)
    target = page.locator("#target")
    await expect(target.locator("option")).to_have_text(["Arabic", "English", "French", "Spanish"])
    await page.select_option("#source", "fr")
    await expect(target.locator("option")).to_have_text(["English", "French (captions only)"])
    await page.select_option("#source", "en")
    await expect(target).to_have_value("es")  # nobody speaks English to be heard in English
    await page.select_option("#target", "fr")
    await expect(page.locator("#welcome-path")).to_have_text(
        "Translated by Apertium in 2 steps, spoken by espeak-ng."
    )
    await page.reload()
    await expect(page.locator("#source")).to_have_value("en")
    await expect(page.locator("#target")).to_have_value("fr")
    await page.click("#swap")
    await expect(page.locator("#source")).to_have_value("fr")
    await expect(page.locator("#target")).to_have_value("en")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [1280, 390])
async def test_screenshots(
    browser: Browser,
    scripted: ScriptedServer,
    until: Until,
    screenshots: Path,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    """Kept for people to look at; that nothing breaks on the way is the check."""
    context = await browser.new_context(
        permissions=["microphone"],
        viewport={"width": width, "height": 800 if width > 600 else 844},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    name = f"{'desktop' if width > 600 else 'phone'}-{scheme}.png"
    faults = Faults(page)
    await page.goto(scripted.url)
    await expect(page.locator("#privacy")).to_be_visible()
    await page.screenshot(path=screenshots / f"first-visit-{name}")
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    await until(lambda: scripted.connected)
    scripted.final("u1", "The meeting starts at nine.", "La reunión empieza a las nueve.", start_ms=2000)
    scripted.final("u2", "Shall we begin?", "هل نبدأ؟", target_lang="ar", start_ms=6000)
    scripted.partial(
        "u3",
        "Could you please move your camera a little",
        "Podrías mover tu cámara",
        committed=26,
        translation_committed=13,
        start_ms=9000,
    )
    await expect(page.locator(".caption")).to_have_count(3)
    await page.screenshot(path=screenshots / f"call-{name}")
    await page.click("#open-settings")
    await page.screenshot(path=screenshots / f"settings-{name}")
    await context.close()
    assert faults.seen == []
