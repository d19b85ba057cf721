"""Everything that can go wrong is said in plain words, and what can mend itself does."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, Playwright, expect

from tests.browser.chromium import launch
from tests.browser.conftest import Until
from tests.browser.scripted import ScriptedServer, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOTICE = "[data-subject=call]"


async def test_a_microphone_that_is_not_allowed(page: Page, scripted: ScriptedServer) -> None:
    await page.context.clear_permissions()
    await page.goto(scripted.url)
    await page.click("#start")
    notice = page.locator(NOTICE)
    await expect(notice).to_contain_text("The microphone is not allowed")
    await expect(notice).to_have_attribute("role", "alert")
    await expect(page.locator("body")).to_have_attribute("data-call", "idle")
    assert scripted.offers == []
    await page.context.grant_permissions(["microphone"])
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    await expect(notice).to_have_count(0)


async def test_no_microphone_at_all(playwright: Playwright, scripted: ScriptedServer) -> None:
    browser = await launch(playwright, microphone=False)
    page = await (await browser.new_context(permissions=["microphone"])).new_page()
    await page.goto(scripted.url)
    await page.click("#start")
    await expect(page.locator(NOTICE)).to_contain_text("No microphone was found")
    await browser.close()


async def test_a_microphone_that_does_not_open(page: Page, scripted: ScriptedServer) -> None:
    await page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', window.thrown); }"
    )
    await page.goto(scripted.url)
    for thrown, said in (
        ("NotReadableError", "The microphone is in use"),
        ("TypeError", "The microphone could not be opened"),
        ("AbortError", "The microphone is in use"),
    ):
        await page.evaluate(f"window.thrown = '{thrown}'")
        await page.click("#start")
        await expect(page.locator(NOTICE)).to_contain_text(said)


async def test_an_address_that_browsers_do_not_trust(page: Page, scripted: ScriptedServer) -> None:
    host = re.sub("localhost", "interpreter.test", scripted.url)
    await page.goto(host)
    notice = page.locator(NOTICE)
    await expect(notice).to_contain_text("This address cannot use a microphone")
    await expect(notice.locator("code")).to_have_text("make run TLS=1")
    await page.click("#start")
    await expect(notice).to_contain_text("This address cannot use a microphone")


async def test_a_full_server_is_asked_again_when_it_said_so(page: Page, scripted: ScriptedServer) -> None:
    scripted.refusals = [refusal(503, "SERVER_FULL", "The server is full.", retry_after_s=2)]
    await page.goto(scripted.url)
    await page.click("#start")
    notice = page.locator(NOTICE)
    await expect(notice).to_contain_text("The server is full")
    await expect(notice.locator(".countdown")).to_have_text(re.compile(r"Trying again in [12] s"))
    assert len(scripted.offers) == 1
    await page.wait_for_selector("body[data-call=live]")
    await expect(notice).to_have_count(0)
    assert len(scripted.offers) == 2


async def test_waiting_at_a_full_server_can_be_ended_and_cut_short(
    page: Page, scripted: ScriptedServer
) -> None:
    full = refusal(503, "SERVER_FULL", "The server is full.", retry_after_s=60)
    scripted.refusals = [full]
    await page.goto(scripted.url)
    await page.click("#start")
    notice = page.locator(NOTICE)
    await expect(notice).to_contain_text("Trying again in")
    await page.click("#start")
    await expect(notice).to_have_count(0)
    await expect(page.locator("body")).to_have_attribute("data-call", "idle")
    scripted.refusals = [refusal(503, "DRAINING", "The server is restarting.", retry_after_s=60)]
    await page.click("#start")
    await expect(notice).to_contain_text("The server is restarting")
    await notice.get_by_role("button", name="Try now").click()
    await page.wait_for_selector("body[data-call=live]")


async def test_a_refusal_that_waiting_does_not_mend_ends_the_call_with_the_servers_words(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.goto(scripted.url)
    for status, code, said in (
        (400, "INVALID_SDP", "The server did not accept this call"),
        (403, "FORBIDDEN", "This server does not accept calls from this page"),
        (413, "TOO_LARGE", "The server did not accept this call"),
    ):
        scripted.refusals = [refusal(status, code, f"Because of {status}.")]
        await page.click("#start")
        await expect(page.locator(NOTICE)).to_contain_text(said)
        await expect(page.locator(NOTICE)).to_contain_text(f"Because of {status}.")
        await expect(page.locator("body")).to_have_attribute("data-call", "idle")


async def test_other_refusals_are_tried_again(page: Page, scripted: ScriptedServer) -> None:
    scripted.refusals = [refusal(429, "HALF_OPEN", "Not now."), refusal(500, "INTERNAL", "Not now.")]
    await page.goto(scripted.url)
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    assert len(scripted.offers) == 3


async def test_a_lost_connection_comes_back_by_itself_with_its_transcript_and_its_clock(
    call: Page, scripted: ScriptedServer, until: Until
) -> None:
    await call.click("#mute")
    scripted.final("u1", "Before.", "Antes.", start_ms=1000)
    scripted.partial("u2", "In the middle", "En el medio", start_ms=2000)
    await expect(call.locator(".caption")).to_have_count(2)
    scripted.refusals = [refusal(503, "DRAINING", "The server is restarting.", retry_after_s=1)]
    await scripted.hang_up()
    notice = call.locator(NOTICE)
    await expect(notice).to_contain_text("The server is restarting")
    await expect(call.locator("#elapsed")).to_be_visible()
    await expect(call.locator(".caption")).to_have_count(2)
    await call.wait_for_selector("body[data-call=live]")
    await expect(notice).to_have_count(0)
    assert scripted.offers[-1]["sessionId"] == "session-1"
    await until(lambda: scripted.connected)
    scripted.final("u2", "In the middle of it.", "En el medio.", start_ms=2000, revision=2)
    await expect(call.locator(".caption .original")).to_have_text(["Before.", "In the middle of it."])
    await until(lambda: scripted.messages[-1] == {"type": "mute", "muted": True})
    await expect(call.locator("#mute")).to_have_attribute("aria-pressed", "true")


async def test_a_page_that_was_reloaded_goes_on_with_its_call(
    call: Page, scripted: ScriptedServer, until: Until
) -> None:
    scripted.final("u1", "Before.", "Antes.")
    await expect(call.locator(".caption")).to_have_count(1)
    asked: list[str] = []
    call.on("dialog", lambda dialog: asked.append(dialog.type))
    await call.reload()
    assert asked == ["beforeunload"], "words would be lost"
    await call.get_by_role("button", name="Go on").click()
    await call.wait_for_selector("body[data-call=live]")
    assert scripted.offers[-1]["sessionId"] == "session-1"
    await call.click("#start")
    await call.reload()
    await expect(call.locator("#privacy")).to_be_visible()
    await expect(call.locator(".notice")).to_have_count(0)


async def test_a_server_that_does_not_know_the_call_any_more_begins_below_what_was_said(
    call: Page, scripted: ScriptedServer, until: Until
) -> None:
    scripted.final("u1", "Before.", "Antes.", start_ms=500)
    scripted.partial("u2", "Cut", "Cort", start_ms=800)
    await expect(call.locator(".caption")).to_have_count(2)
    await expect(call.locator("#elapsed")).to_have_text("0:01")
    scripted.resumes = False
    await scripted.hang_up()
    await call.wait_for_selector("body:not([data-call=live])")
    await call.wait_for_selector("body[data-call=live]")
    await until(lambda: scripted.connected)
    scripted.final("u1", "After.", "Después.", start_ms=100)
    await expect(call.locator(".caption .original")).to_have_text(["Before.", "Cut", "After."])
    await expect(call.locator(".caption .note").nth(1)).to_have_text("Cut off here: the connection was lost.")
    assert await call.locator(".caption time").last.text_content() != "0:00"


async def test_a_network_that_swallows_everything_is_noticed_and_left(
    call: Page, scripted: ScriptedServer
) -> None:
    scripted.silent = True
    await call.wait_for_selector("body[data-call=reconnecting]", timeout=15_000)
    scripted.silent = False
    await call.wait_for_selector("body[data-call=live]")
    assert len(scripted.offers) == 2


async def test_a_server_that_says_goodbye_is_asked_again_after_the_time_it_named(
    call: Page, scripted: ScriptedServer
) -> None:
    scripted.say("goodbye", message="The server is restarting.", retry_after_s=1)
    await expect(call.locator(NOTICE)).to_contain_text("The server is restarting")
    await call.wait_for_selector("body[data-call=live]")
    scripted.say("goodbye", message="The call has lasted four hours.", retry_after_s=None)
    await call.wait_for_selector("body[data-call=idle]")
    await expect(call.locator("[data-subject=goodbye]")).to_contain_text("The call has lasted four hours.")
    assert len(scripted.offers) == 2


async def test_what_is_being_said_at_a_goodbye_is_heard_to_its_end(
    call: Page, scripted: ScriptedServer, until: Until
) -> None:
    scripted.partial("u1", "In the middle", "En el medio")
    await expect(call.locator(".caption")).to_have_count(1)
    scripted.say("goodbye", message="The server is restarting.", retry_after_s=1)
    await until(lambda: {"type": "mute", "muted": True} in scripted.messages)
    assert len(scripted.offers) == 1
    scripted.final("u1", "In the middle of it.", "En el medio.", revision=2)
    await expect(call.locator(".caption .original")).to_have_text(["In the middle of it."])
    await expect(call.locator(NOTICE)).to_contain_text("The server is restarting")
    await call.wait_for_selector("body[data-call=live]")
    assert len(scripted.offers) == 2


async def test_a_busy_server_and_one_that_is_set_up_wrongly_say_so(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.goto(scripted.url)
    for code, said in (
        ("ENGINES_BUSY", "The server is busy"),
        ("NO_ADDRESS", "This server has no network address to offer."),
    ):
        scripted.refusals = [
            refusal(503, code, "This server has no network address to offer.", retry_after_s=60)
        ]
        await page.click("#start")
        await expect(page.locator(NOTICE)).to_contain_text(said)
        await page.click("#start")
        await expect(page.locator(NOTICE)).to_have_count(0)


async def test_a_server_that_cannot_be_reached_is_found_when_it_is_back(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.goto(scripted.url)
    await expect(page.locator("#privacy")).to_be_visible()
    port = int(scripted.url.rsplit(":", 1)[1].strip("/"))
    await scripted.stop()
    await page.click("#start")
    await expect(page.locator(NOTICE)).to_contain_text("The server cannot be reached")
    await scripted.start(port)
    await page.wait_for_selector("body[data-call=live]")


async def test_a_call_whose_sound_does_not_get_through_says_so(page: Page, scripted: ScriptedServer) -> None:
    async def elsewhere(offer: dict[str, str]) -> None:
        """An answer with another password: no check of the way between both sides succeeds (RFC 8445, 7.2.2)."""
        offer["sdp"] = re.sub(r"a=ice-pwd:\S+", f"a=ice-pwd:{'x' * 24}", offer["sdp"])

    scripted.rewrite = elsewhere
    await page.add_init_script(
        "window.setTimeout = ((real) => (run, ms) => real(run, ms > 9000 ? ms / 10 : ms))(window.setTimeout)"
    )
    await page.goto(scripted.url)
    await page.click("#start")
    await expect(page.locator(NOTICE)).to_contain_text("The sound does not get through")


async def test_an_engine_that_fails_and_an_error_of_the_server_are_told(
    call: Page, scripted: ScriptedServer
) -> None:
    scripted.say("status", stage="speak", engine="piper", level="error", message="piper does not work.")
    await expect(call.locator("[data-subject=stage-speak]")).to_contain_text("piper does not work.")
    scripted.say("status", stage="speak", engine="piper", level="info", message="piper is ready.")
    await expect(call.locator("[data-subject=stage-speak]")).to_have_count(0)
    scripted.say("error", code="ASR_TIMEOUT", message="Recognition took too long.")
    await expect(call.locator("[data-subject=error]")).to_contain_text("Recognition took too long.")
    await call.get_by_role("button", name="Close this notice").click()
    await expect(call.locator(".notice")).to_have_count(0)


async def test_sound_that_the_browser_holds_back_is_turned_on_by_a_button(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.add_init_script(
        """
        const play = HTMLMediaElement.prototype.play;
        let held = true;
        HTMLMediaElement.prototype.play = function () {
          if (!held) return play.call(this);
          held = false;
          return Promise.reject(new DOMException("", "NotAllowedError"));
        };
        """
    )
    await page.goto(scripted.url)
    await page.click("#start")
    button = page.get_by_role("button", name="Turn the sound on")
    await button.click()
    await expect(button).to_have_count(0)
