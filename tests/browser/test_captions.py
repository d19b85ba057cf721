"""Captions while they grow, afterwards, for every kind of reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.scripted import ScriptedServer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_settled_words_are_told_apart_from_tentative_ones(call: Page, scripted: ScriptedServer) -> None:
    scripted.partial("u1", "We hold these", "Sostenemos", committed=7, translation_committed=0)
    original = call.locator(".caption .original span")
    await expect(original).to_have_text(["We hold", " these"])
    await expect(call.locator(".caption .translation span")).to_have_text(["", "Sostenemos"])
    look = await call.evaluate(
        """() => [...document.querySelectorAll(".caption .original span")].map((span) => {
          const { color, textDecorationStyle, fontWeight, fontSize } = getComputedStyle(span);
          return { color, textDecorationStyle, measure: `${fontWeight} ${fontSize}` };
        })"""
    )
    assert look[0]["color"] != look[1]["color"]
    assert look[1]["textDecorationStyle"] == "dotted"
    assert look[0]["measure"] == look[1]["measure"], "settling must not move words"
    scripted.final("u1", "We hold these truths.", "Sostenemos estas verdades.", revision=2)
    await expect(call.locator(".caption .tentative")).to_have_text(["", ""])
    await expect(call.locator(".caption .translation")).to_have_text("Sostenemos estas verdades.")


async def test_characters_outside_the_basic_plane_count_as_one(call: Page, scripted: ScriptedServer) -> None:
    scripted.partial("u1", "😀 good morning", committed=6)
    await expect(call.locator(".caption .original span")).to_have_text(["😀 good", " morning"])


async def test_a_growing_caption_is_changed_in_place_and_never_becomes_lower(
    call: Page, scripted: ScriptedServer
) -> None:
    await call.set_viewport_size({"width": 390, "height": 844})
    words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    scripted.partial("u1", words, words, revision=1)
    item = call.locator(".caption")
    await expect(item.locator(".translation")).to_contain_text("fourteen")
    await item.evaluate("(one) => { one.dataset.kept = 'yes' }")
    high = await item.bounding_box()
    scripted.partial("u1", "one two", "one two", revision=2)
    await expect(item.locator(".translation")).to_have_text("one two")
    low = await item.bounding_box()
    assert high is not None
    assert low is not None
    assert low["height"] == high["height"]
    await expect(item).to_have_attribute("data-kept", "yes")
    scripted.final("u1", "one two", "one two", revision=3)
    await expect(item).to_have_attribute("data-open", "false")
    settled = await item.bounding_box()
    assert settled is not None
    assert settled["height"] < high["height"]


async def test_an_older_revision_and_a_partial_after_its_final_are_ignored(
    call: Page, scripted: ScriptedServer
) -> None:
    scripted.partial("u1", "newer", revision=5)
    scripted.partial("u1", "older", revision=4)
    scripted.final("u1", "The end.", "El fin.", revision=6)
    scripted.partial("u1", "too late", revision=7)
    scripted.final("u2", "Next.", "Siguiente.")
    await expect(call.locator(".caption .original")).to_have_text(["The end.", "Next."])


async def test_a_final_without_words_takes_its_caption_away(call: Page, scripted: ScriptedServer) -> None:
    scripted.partial("u1", "thank you")
    await expect(call.locator(".caption")).to_have_count(1)
    scripted.final("u1", "")
    await expect(call.locator(".caption")).to_have_count(0)


async def test_what_was_lost_and_what_has_no_translation_is_said(
    call: Page, scripted: ScriptedServer
) -> None:
    scripted.final("u1", "Sveiki.", lang="lv", note="No way leads from Latvian to Spanish here.")
    scripted.say("lost", id="u2", message="This could not be recognized.", start_ms=3000, end_ms=4000)
    notes = call.locator(".caption .note")
    await expect(notes).to_have_text(
        ["No way leads from Latvian to Spanish here.", "This could not be recognized."]
    )


async def test_captions_stand_in_the_order_in_which_they_were_said_and_name_speakers_when_there_are_several(
    call: Page, scripted: ScriptedServer
) -> None:
    scripted.final("b1", "second", speaker="b", start_ms=2000)
    await expect(call.locator(".caption .who")).to_be_hidden()
    scripted.final("a1", "first", speaker="a", start_ms=1000)
    await expect(call.locator(".caption .original")).to_have_text(["first", "second"])
    await expect(call.locator(".caption .who")).to_have_text(["Speaker 2", "Speaker 1"])


async def test_the_list_follows_its_newest_end_unless_the_reader_has_scrolled_up(
    call: Page, scripted: ScriptedServer
) -> None:
    for number in range(30):
        scripted.final(f"u{number}", f"Sentence {number}.", f"Frase {number}.", start_ms=number * 1000)
    newest = call.locator("#newest")
    await expect(call.locator(".caption")).to_have_count(30)
    await expect(call.locator(".caption").last).to_be_in_viewport()
    await expect(newest).to_be_hidden()
    await call.locator("#transcript").hover()
    await call.mouse.wheel(0, -900)
    await expect(call.locator(".caption").last).not_to_be_in_viewport()
    scripted.final("later", "Later.", "Luego.", start_ms=40_000)
    await expect(newest).to_be_visible()
    await expect(call.locator(".caption").last).not_to_be_in_viewport()
    await newest.click()
    await expect(call.locator(".caption").last).to_be_in_viewport()
    await expect(newest).to_be_hidden()


async def test_screen_readers_hear_finals_once_and_partials_never(
    call: Page, scripted: ScriptedServer
) -> None:
    log = call.locator("#announcer")
    assert await log.get_attribute("aria-live") == "polite"
    scripted.partial("u1", "Good", "Buenos")
    scripted.partial("u1", "Good morning", "Buenos días", revision=2)
    await expect(call.locator(".caption .translation")).to_have_text("Buenos días")
    await expect(log.locator("p")).to_have_count(0)
    scripted.final("u1", "Good morning.", "Buenos días.", revision=3)
    scripted.final("u1", "Good morning.", "Buenos días.", revision=4)
    scripted.final("u2", "Yes.", "Sí.", start_ms=5000)
    await expect(log.locator("p")).to_have_text(["Buenos días.", "Sí."])
    assert await log.locator("p").first.get_attribute("lang") == "es"


async def test_languages_written_from_the_right_are_shown_so(call: Page, scripted: ScriptedServer) -> None:
    codes = ["ar", "he", "fa", "ur"]
    for number, code in enumerate(codes):
        scripted.partial(f"u{number}", "12 o'clock", "12", target_lang=code, start_ms=number)
    await expect(call.locator(".caption")).to_have_count(len(codes))
    looks = """(all) => all.map((one) => [one.lang, one.dir, getComputedStyle(one).direction])"""
    translations = await call.locator(".caption .translation").evaluate_all(looks)
    assert translations == [[code, "rtl", "rtl"] for code in codes]
    assert await call.locator(".caption .original").evaluate_all(looks) == [["en", "auto", "ltr"]] * len(
        codes
    )


async def test_the_transcript_is_downloaded_as_text(
    call: Page, scripted: ScriptedServer, tmp_path: Path
) -> None:
    download = call.locator("#download")
    await expect(download).to_be_disabled()
    scripted.final("u1", "Good morning.", "Buenos días.", start_ms=65_000)
    scripted.final("u2", "<b>No</b>", "<i>No</i>", start_ms=70_000)
    scripted.partial("u3", "unfinished", start_ms=75_000)
    await expect(call.locator(".caption")).to_have_count(3)
    async with call.expect_download() as coming:
        await download.click()
    file = await coming.value
    assert file.suggested_filename.startswith("transcript-")
    assert file.suggested_filename.endswith(".txt")
    await file.save_as(tmp_path / "transcript.txt")
    text = (tmp_path / "transcript.txt").read_bytes().decode()
    assert "[1:05] (English)\r\nGood morning.\r\nSpanish: Buenos días.\r\n" in text
    assert "<b>No</b>" in text
    assert "unfinished" not in text


async def test_words_never_become_markup(call: Page, scripted: ScriptedServer) -> None:
    scripted.final("u1", "<img src=x onerror=alert(1)>", "<script>alert(1)</script>", note="<b>x</b>")
    await expect(call.locator(".caption .original")).to_have_text("<img src=x onerror=alert(1)>")
    assert await call.locator(".caption img, .caption script, .caption b").count() == 0


async def test_text_size_and_the_original_words_are_choices_that_are_remembered(
    call: Page, scripted: ScriptedServer
) -> None:
    scripted.final("u1", "Good morning.", "Buenos días.")
    translation = call.locator(".caption .translation")
    await expect(translation).to_be_visible()
    size = "(one) => parseFloat(getComputedStyle(one).fontSize)"
    before = await translation.evaluate(size)
    await call.click("#open-settings")
    await call.get_by_label("XL").check(force=True)
    await call.get_by_role("switch", name="Show the original words").uncheck()
    await call.keyboard.press("Escape")
    assert await translation.evaluate(size) > 1.5 * before
    await expect(call.locator(".caption .original")).to_be_hidden()
    await call.reload()
    assert await call.get_by_label("XL").is_checked()


async def test_a_later_call_goes_on_below_the_earlier_one_until_the_transcript_is_cleared(
    call: Page, scripted: ScriptedServer
) -> None:
    scripted.final("u1", "First call.", "Primera llamada.", start_ms=50_000)
    await expect(call.locator(".caption")).to_have_count(1)
    await call.click("#start")
    await call.wait_for_selector("body[data-call=idle]")
    await expect(call.locator(".caption")).to_have_count(1)
    await call.click("#start")
    await call.wait_for_selector("body[data-call=live]")
    scripted.final("u1", "Second call.", "Segunda llamada.", start_ms=1_000)
    await expect(call.locator(".caption .original")).to_have_text(["First call.", "Second call."])
    await expect(call.locator(".divider")).to_have_count(1)
    await call.click("#open-settings")
    await call.click("#clear")
    await call.keyboard.press("Escape")
    await expect(call.locator(".caption, .divider")).to_have_count(0)
    await expect(call.locator("#download")).to_be_disabled()
