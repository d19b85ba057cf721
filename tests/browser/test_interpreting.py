"""One interpreted call in a real browser with the real server and its engines, there and back."""

from __future__ import annotations

import importlib.util
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.async_api import Page, Playwright

from benchmarks.offline import WholeFileWhisper
from benchmarks.scoring import errors
from media_server.audio.resample import resample
from media_server.engines.base import RECOGNIZER_RATE, Pcm, SpeakRequest
from media_server.engines.espeak_ng import EspeakVoice
from tests.browser.chromium import Faults, launch
from tests.browser.conftest import eventually
from tests.browser.interpreted import RATE, Heard, record, silence, tap
from tests.support.models import jfk, model_dir, spoken
from tests.support.server import Server
from tests.support.stalls import Stalls

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

WORTH_A_PICTURE = """(() => {
  const last = window.heard.messages.at(-1)?.[1];
  return window.heard.messages.some(([, one]) => one.type === "final")
    && last.type === "partial" && last.translation.length > 30 && last.committed < last.text.length;
})()"""
LEAD_S = 3.0
"""Silence in front, until the call is connected: the recording begins when the microphone is opened."""
COUNTED = "1 2 3 4 5 6 7 8 9 10"
"""Which is how Whisper writes it in any language."""
NOUNS = "window garden river teacher doctor kitchen letter bridge market morning station island".split()  # noqa: SIM905
VERBS = "opened closed found painted cleaned watched crossed visited".split()  # noqa: SIM905
ADJECTIVES = "old small yellow quiet empty beautiful dark green".split()  # noqa: SIM905


def random_sentence() -> str:
    drawn = random.Random(seed := random.randrange(1_000_000))
    print(f"words drawn with seed {seed}")
    nouns = drawn.sample(NOUNS, 3)
    adjectives = drawn.sample(ADJECTIVES, 2)
    verb = drawn.choice(VERBS)
    return f"The {nouns[0]} of the {adjectives[0]} {nouns[1]} {verb} the {adjectives[1]} {nouns[2]}."


def apertium_alone(text: str) -> str:
    """The program itself, as anybody would run it: English to Spanish, unknown words unmarked."""
    run = subprocess.run(
        ["apertium", "-u", "eng-spa"], input=text, capture_output=True, text=True, check=True, timeout=20
    )
    return " ".join(run.stdout.split())


def audioeval(name: str) -> tuple[Pcm, str]:
    """A recording of that package at 16 kHz, and its text."""
    spec = importlib.util.find_spec("pytest_audioeval")
    assert spec is not None
    assert spec.submodule_search_locations
    file = Path(spec.submodule_search_locations[0], "samples", "audio", f"{name}.wav")
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RECOGNIZER_RATE)
    with av.open(str(file)) as audio:
        frames = [out for frame in audio.decode(audio=0) for out in resampler.resample(frame)]
    pcm = np.concatenate([frame.to_ndarray().reshape(-1) for frame in [*frames, *resampler.resample(None)]])
    return pcm, file.with_suffix(".txt").read_text("utf-8").strip()


@asynccontextmanager
async def visitor(
    playwright: Playwright, server: Server, recording: Path, source: str, target: str
) -> AsyncIterator[Page]:
    """A page in a call, its microphone playing the recording."""
    browser = await launch(playwright, hears=recording)
    context = await browser.new_context(
        permissions=["microphone"], viewport={"width": 1280, "height": 800}, color_scheme="light"
    )
    await tap(context)
    page = await context.new_page()
    faults = Faults(page)
    await page.goto(server.url)
    await page.select_option("#source", source)
    await page.select_option("#target", target)
    await page.click("#start")
    await page.wait_for_selector("body[data-call=live]")
    yield page
    await browser.close()
    assert faults.seen == []


async def finals(page: Page, words: int) -> None:
    """Waits until the finals have that many words (or numbers: a recognizer may write "1,2,3" without a space)."""
    texts = 'window.heard.messages.filter(([, one]) => one.type === "final").map(([, one]) => one.text)'
    count = f"(({texts}).join(' ').match(/[\\p{{L}}\\p{{N}}']+/gu) ?? []).length"
    try:
        await eventually(page, f"{count} >= {words}", within_s=60)
    except AssertionError:
        raise AssertionError(f"{words} words did not come; these did: {await page.evaluate(texts)}") from None


async def heard_to_the_end(page: Page) -> Heard:
    """Everything, once the voice of the last final has come and gone."""
    gone = """(() => {
      const packet = window.heard.packets.at(-1)?.[1] ?? 0;
      const final = window.heard.messages.findLast(([, one]) => one.type === "final")[0];
      return packet > final && performance.timeOrigin + performance.now() - packet > 1200;
    })()"""
    await eventually(page, gone, within_s=60)
    return Heard.of(await page.evaluate("window.heard"))


def grows(heard: Heard, utterance: str, end_ms: float) -> bool:
    """Whether words and translation of an utterance grew before the end of speech, what was committed for good."""
    early = [one for at, one in heard.captions("partial", utterance) if at < end_ms]
    revisions = [one["revision"] for one in early]
    assert revisions == sorted(set(revisions))
    for text, committed in (("text", "committed"), ("translation", "translation_committed")):
        solid = ["", *(one[text][: one[committed]] for one in early)]
        for before, after in pairwise(solid):
            assert after.startswith(before), "committed words never change"
    lengths = [len(one["translation"]) for one in early if one["translation"]]
    return len({one["text"] for one in early}) >= 3 and len(set(lengths)) >= 2 and lengths[-1] > lengths[0]


async def test_english_is_read_while_it_is_spoken_and_heard_in_spanish(
    playwright: Playwright, server: Server, tmp_path: Path, picture: Path
) -> None:
    sentence = random_sentence()
    recording = tmp_path / "microphone.wav"
    speech = jfk()
    record(recording, [silence(LEAD_S), speech.pcm, silence(2.5), spoken(sentence).pcm, silence(3)])
    async with AsyncExitStack() as stack:
        stalls = stack.enter_context(Stalls())
        page = await stack.enter_async_context(visitor(playwright, server, recording, "en", "es"))
        await eventually(page, WORTH_A_PICTURE, within_s=60)
        await page.screenshot(path=picture)
        await finals(page, words=22 + len(sentence.split()) - 3)
        heard = await heard_to_the_end(page)
        shown = await page.locator(".caption .translation").all_inner_texts()
    said = heard.captions("final")

    text = " ".join(final["text"] for _, final in said)
    assert errors(f"{speech.text} {sentence}", text).rate <= 0.25, text
    assert all(final["lang"] == "en" for _, final in said)

    for _, final in said:
        assert final["translation"] == apertium_alone(final["text"])
    assert [one.strip() for one in shown] == [final["translation"] for _, final in said]

    growing = [grows(heard, final["id"], heard.end_of_speech_ms(at)) for at, final in said]
    assert any(growing)

    voice = EspeakVoice()
    voice.load()
    runs = heard.runs
    for _, final in said:
        request = SpeakRequest(final["translation"], "es")
        made = np.concatenate([piece.pcm for piece in voice.speak(request)])
        assert max(run.correlation(made) for run in runs) >= 0.9, final["translation"]
    voice.close()
    assert len(runs) <= len(said), "time stamps jump between what is said, never inside"
    assert max(run.latest_ms for run in runs) <= 60 + stalls.longest_ms


async def test_recorded_spanish_and_french_are_heard_in_english(
    playwright: Playwright, server: Server, tmp_path: Path
) -> None:
    """The Spanish is detected; the French is chosen on the page in the middle of the call."""
    spanish, _ = audioeval("es/conteo")
    french, pangram = audioeval("fr/pangrama")
    french_numbers, _ = audioeval("fr/comptage")
    recording = tmp_path / "microphone.wav"
    # Nobody talks while the voice says the same in English: that would be taken for its echo, rightly.
    record(
        recording,
        [silence(LEAD_S), spanish, silence(8), french, silence(2.5), french_numbers, silence(3)],
    )
    async with AsyncExitStack() as stack:
        stalls = stack.enter_context(Stalls())
        page = await stack.enter_async_context(visitor(playwright, server, recording, "auto", "en"))
        await finals(page, words=10)
        await page.select_option("#source", "fr")
        await finals(page, words=10 + 10 + len(pangram.split()) - 2)
        heard = await heard_to_the_end(page)
    said = [final for _, final in heard.captions("final")]
    for language, truth in (("es", COUNTED), ("fr", f"{pangram} {COUNTED}")):
        text = " ".join(final["text"] for final in said if final["lang"] == language)
        assert errors(truth, text).rate <= 0.35, text
    assert {final["lang"] for final in said} == {"es", "fr"}
    assert all(final["translation"] and final["target_lang"] == "en" for final in said)

    runs = heard.runs
    ear = WholeFileWhisper(model_dir("whisper-base"))
    again = " ".join(ear.text(resample(run.pcm.astype(np.int16), RATE, RECOGNIZER_RATE)) for run in runs)
    wanted = " ".join(final["translation"] for final in said)
    assert errors(wanted, again).rate <= 0.25, (wanted, again)
    assert len(runs) <= len(said)
    assert max(run.latest_ms for run in runs) <= 60 + stalls.longest_ms
