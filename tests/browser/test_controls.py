"""What the buttons of a call do, and what the server is told."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Until, eventually
from tests.browser.scripted import ScriptedServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRACKS = """
  window.tracks = [];
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    window.wanted = wanted;
    const stream = await ask(wanted);
    window.tracks.push(...stream.getTracks());
    return stream;
  };
"""


async def test_the_offer_says_what_is_wished_and_brings_a_microphone_and_a_channel(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.add_init_script(TRACKS)
    await page.goto(f"{scripted.url}?room=team%20a")
    await page.select_option("#source", "en")
    await page.select_option("#target", "es")
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    (offer,) = scripted.offers
    assert offer["sourceLang"] == "en"
    assert offer["targetLang"] == "es"
    assert "sessionId" not in offer
    assert "consent" not in offer
    assert offer["sdp"].count("m=audio") == 1
    assert "m=application" in offer["sdp"]
    assert "a=candidate:" in offer["sdp"]
    assert scripted.queries == [{"room": "team a"}]
    await expect(page.locator("#room")).to_have_text("Room team a")
    wanted = await page.evaluate("window.wanted.audio")
    assert wanted["echoCancellation"] is True
    assert wanted["noiseSuppression"] is False


async def test_the_offer_goes_out_within_a_second_although_an_ice_server_does_not_answer(
    page: Page, scripted: ScriptedServer
) -> None:
    # 192.0.2.0/24 answers nobody (RFC 5737).
    await page.route(
        "**/ice-servers",
        lambda route: route.fulfill(json={"iceServers": [{"urls": ["stun:192.0.2.1:3478"]}]}),
    )
    await page.goto(scripted.url)
    await page.evaluate(
        """() => {
          const gather = RTCPeerConnection.prototype.setLocalDescription;
          RTCPeerConnection.prototype.setLocalDescription = function (...all) {
            window.gatheredFrom = performance.now();
            return gather.apply(this, all);
          };
          const send = window.fetch;
          window.fetch = (path, ...rest) => {
            if (String(path).startsWith("/offer")) window.offeredAt = performance.now();
            return send(path, ...rest);
          };
        }"""
    )
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    assert await page.evaluate("window.offeredAt - window.gatheredFrom") < 1300


async def test_mute_stops_the_microphone_and_tells_the_server(
    page: Page, scripted: ScriptedServer, until: Until
) -> None:
    await page.add_init_script(TRACKS)
    await page.goto(scripted.url)
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    assert await page.evaluate("window.tracks[0].enabled") is True
    await page.click("#mute")
    assert await page.evaluate("window.tracks[0].enabled") is False
    await until(lambda: scripted.messages == [{"type": "mute", "muted": True}])
    await expect(page.locator("#hint")).to_contain_text("muted")
    await page.click("#mute")
    assert await page.evaluate("window.tracks[0].enabled") is True
    await until(lambda: scripted.messages[-1] == {"type": "mute", "muted": False})
    await page.click("#start")
    await page.wait_for_selector("body[data-call=idle]")
    assert await page.evaluate("window.tracks[0].readyState") == "ended"


async def test_languages_change_in_the_middle_of_a_call(
    call: Page, scripted: ScriptedServer, until: Until
) -> None:
    await call.select_option("#source", "en")
    await call.select_option("#target", "es")
    expected = {"type": "config", "sourceLang": "en", "targetLang": "es"}
    await until(lambda: expected in scripted.messages)
    await call.click("#swap")
    await until(lambda: scripted.messages[-1] == {"type": "config", "sourceLang": "es", "targetLang": "en"})


async def test_the_language_that_was_detected_is_shown_and_can_be_swapped(
    call: Page, scripted: ScriptedServer, until: Until
) -> None:
    await expect(call.locator("#swap")).to_be_disabled()
    scripted.final("u1", "Buenos días.", "Good morning.", lang="es", target_lang="en")
    await expect(call.locator("#source option").first).to_have_text("Spanish (detected)")
    await call.click("#swap")
    await until(lambda: {"type": "config", "sourceLang": "en", "targetLang": "es"} in scripted.messages)


async def test_the_cleaned_microphone_is_heard_on_wish(
    call: Page, scripted: ScriptedServer, until: Until
) -> None:
    await call.click("#open-settings")
    await call.get_by_role("switch", name="Hear the cleaned microphone").check()
    await until(lambda: {"type": "loopback", "on": True} in scripted.messages)
    await call.get_by_role("switch", name="Hear the cleaned microphone").uncheck()
    await until(lambda: scripted.messages[-1] == {"type": "loopback", "on": False})


async def test_the_interpretation_plays_through_an_audio_element_at_the_volume_chosen(
    call: Page, scripted: ScriptedServer
) -> None:
    playing = "document.getElementById('voice')"
    assert await call.evaluate(f"{playing}.srcObject.getAudioTracks()[0].readyState") == "live"
    assert await call.evaluate(f"{playing}.paused") is False
    await call.locator("#volume").fill("30")
    assert await call.evaluate(f"{playing}.volume") == pytest.approx(0.3)
    await call.click("#silence")
    assert await call.evaluate(f"{playing}.volume") == 0
    await call.click("#silence")
    assert await call.evaluate(f"{playing}.volume") == pytest.approx(0.3)


async def test_the_screen_stays_on_during_a_call(page: Page, scripted: ScriptedServer) -> None:
    await page.add_init_script(
        """
        window.locks = [];
        WakeLock.prototype.request = async (kind) => {
          const lock = { kind, released: false, release: async () => { lock.released = true; } };
          window.locks.push(lock);
          return lock;
        };
        """
    )
    await page.goto(scripted.url)
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    assert await page.evaluate("window.locks.map((lock) => [lock.kind, lock.released])") == [
        ["screen", False]
    ]
    await page.click("#start")
    assert await page.evaluate("window.locks.map((lock) => lock.released)") == [True]


async def test_talking_while_muted_is_noticed(call: Page, scripted: ScriptedServer) -> None:
    await call.evaluate(  # the microphone of the tests beeps too shortly to count as talk
        """() => {
          const read = AnalyserNode.prototype.getFloatTimeDomainData;
          AnalyserNode.prototype.getFloatTimeDomainData = function (samples) {
            read.call(this, samples);
            samples.fill(0.3);
          };
        }"""
    )
    await call.click("#mute")
    await expect(call.locator("#hint")).to_have_text("You are talking, but your microphone is muted.")


async def test_the_microphone_can_be_tried_and_chosen_before_a_call(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.add_init_script(TRACKS)
    await page.goto(scripted.url)
    await page.click("#open-settings")
    level = page.locator("#level")
    await expect(level).not_to_have_js_property("value", 0)
    microphones = page.locator("#microphone option")
    assert await microphones.count() > 1
    label = await microphones.nth(1).text_content()
    assert label is not None
    await page.select_option("#microphone", label=label)
    chosen = await page.locator("#microphone").input_value()
    await page.keyboard.press("Escape")
    await eventually(page, "window.tracks.every((track) => track.readyState === 'ended')")
    await page.reload()
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    wanted: dict[str, Any] = await page.evaluate("window.wanted.audio")
    assert wanted["deviceId"] == {"exact": chosen}


async def test_a_microphone_that_opens_when_the_settings_are_closed_already_is_closed_at_once(
    page: Page, scripted: ScriptedServer
) -> None:
    await page.add_init_script(TRACKS)
    await page.goto(scripted.url)
    await page.click("#open-settings")
    await expect(page.locator("#level")).not_to_have_js_property("value", 0)
    await page.evaluate("""() => {
      const ask = navigator.mediaDevices.getUserMedia;
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        await new Promise((open) => { window.openNow = open; });
        return ask(wanted);
      };
    }""")
    await page.select_option("#microphone", index=1)
    await page.wait_for_function("() => window.openNow !== undefined")
    await page.keyboard.press("Escape")
    await page.evaluate("() => { window.openNow(); }")
    await page.wait_for_function("() => window.tracks.length === 2")
    await eventually(page, "window.tracks.every((track) => track.readyState === 'ended')")


async def test_a_microphone_that_is_gone_is_replaced_by_another(page: Page, scripted: ScriptedServer) -> None:
    await page.add_init_script(TRACKS)
    await page.goto(scripted.url)
    await page.evaluate(
        "localStorage.setItem('interpreter', JSON.stringify({ microphone: 'no such device' }))"
    )
    await page.reload()
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    await page.evaluate("window.tracks[0].dispatchEvent(new Event('ended'))")
    await expect(page.locator("[data-subject=microphone]")).to_contain_text("The microphone was unplugged")
    assert await page.evaluate("window.tracks.at(-1).readyState") == "live"


async def test_nothing_is_sent_before_the_answer_to_the_question_of_consent(
    page: Page, scripted: ScriptedServer, until: Until
) -> None:
    scripted.health["consentRequired"] = True
    await page.add_init_script(TRACKS)
    await page.goto(scripted.url)
    await page.click("#start")
    question = page.get_by_role("dialog", name="May this server hear you?")
    await expect(question).to_be_visible()
    await expect(question).to_contain_text("Nothing you say is sent to anybody else.")
    assert await page.evaluate("window.tracks.length") == 0
    await question.get_by_role("button", name="No", exact=True).click()
    await expect(page.locator("[data-subject=consent]")).to_contain_text("Nothing was sent")
    assert scripted.offers == []
    await page.click("#start")
    await page.keyboard.press("Escape")  # closing it is a no
    await expect(question).to_be_hidden()
    assert scripted.offers == []
    await page.click("#start")
    await question.get_by_role("button", name="Yes, I agree").click()
    await page.wait_for_selector("body[data-call=live]")
    assert scripted.offers[0]["consent"] is True


async def test_consent_is_withdrawn_in_the_middle_of_a_call_and_asked_for_again(
    page: Page, scripted: ScriptedServer, until: Until
) -> None:
    scripted.health["consentRequired"] = True
    await page.add_init_script(TRACKS)
    await page.goto(scripted.url)
    await page.click("#start")
    await page.click("#consent-yes")
    await page.wait_for_selector("body[data-call=live]")
    await page.click("#open-settings")
    await page.click("#withdraw")
    await until(lambda: {"type": "consent", "granted": False} in scripted.messages)
    assert await page.evaluate("window.tracks[0].enabled") is False
    await page.keyboard.press("Escape")
    await expect(page.locator("[data-subject=consent]")).to_contain_text("You withdrew your consent")
    await page.click("#mute")
    await page.click("#consent-yes")
    await until(lambda: {"type": "consent", "granted": True} in scripted.messages)
    assert await page.evaluate("window.tracks[0].enabled") is True


async def test_connection_figures_are_shown(call: Page, scripted: ScriptedServer) -> None:
    await expect(call.locator("#round-trip")).to_contain_text("ms")
    await expect(call.locator("#elapsed")).to_have_text("0:01")
    scripted.say("stats", lag_ms=1234)
    await call.click("#connection")
    figures = call.locator("#figures")
    await expect(figures).to_contain_text("Direct (UDP)")
    await expect(figures).to_contain_text("Interpreter behind1234 ms")
    await expect(figures.locator("div", has_text="Packets lost, sending").locator("dd")).to_have_text("0 %")


async def test_a_key_in_the_address_is_handed_on_and_one_that_is_missing_is_asked_for(
    browser: Browser, page: Page, scripted: ScriptedServer
) -> None:
    scripted.key = "open sesame"
    await page.goto(f"{scripted.url}?token=open%20sesame")
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    await page.click("#start")
    await page.goto(scripted.url)
    notice = page.locator("[data-subject=call]")
    await expect(notice).to_contain_text("This server asks for an access key")
    await notice.get_by_role("button", name="Enter the key").click()
    await page.get_by_label("Key that the server’s owner gave you").fill("sesame")
    await page.keyboard.press("Enter")
    await expect(notice).to_contain_text("The server does not know this access key")
    await notice.get_by_role("button", name="Enter the key").click()
    await page.get_by_label("Key that the server’s owner gave you").fill("open sesame")
    await page.keyboard.press("Enter")
    await expect(notice).to_have_count(0)
    await expect(page.locator("#target option")).to_have_count(4)
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
