"""The whole path with trained models alone: a voice, Whisper, a Marian, and a voice in the other language."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Playwright

from benchmarks.scoring import errors
from media_server.engines.base import SpeakRequest, TranslateRequest
from media_server.engines.espeak_ng import EspeakVoice
from media_server.engines.marian import MarianTranslator
from tests.browser.interpreted import record, silence
from tests.browser.test_interpreting import LEAD_S, finals, heard_to_the_end, visitor
from tests.models.grammar import Grammar, Sentence
from tests.support.models import spoken
from tests.support.server import Server
from tests.support.translation import EN_ES, MODELS

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]


@pytest.fixture
def marian_server() -> Iterator[Server]:
    """The server with the tests' translation models, and a hub that nobody may ask."""
    with Server(
        DRAIN_SECS="1", MT_MODEL_TEMPLATE=f"{MODELS}/opus-mt-{{src}}-{{tgt}}", HF_HUB_OFFLINE="1"
    ) as running:
        yield running


def long_sentences(count: int) -> list[Sentence]:
    """Sentences that no model was trained on, of nine words and more, without made-up names."""
    print(f"sentences drawn with seed {(seed := random.randrange(1_000_000))}")
    grammar = Grammar(seed)
    found: list[Sentence] = []
    while len(found) < count:
        one = grammar.unseen()
        words = one.en.rstrip(".").split()
        if (
            len(words) >= 9
            and one.en[-1] == "."
            and words[0] == "The"
            and all(w.islower() for w in words[1:])
        ):
            found.append(one)
    return found


async def test_a_spoken_sentence_is_recognized_translated_by_a_marian_and_spoken(
    playwright: Playwright, marian_server: Server, tmp_path: Path
) -> None:
    _, languages = await marian_server.get("/languages")
    by = {(pair["source"], pair["target"]): pair["by"] for pair in languages["pairs"]}
    assert (by["en", "es"], by["en", "fr"]) == ("Marian (OPUS-MT)", "Marian (OPUS-MT)")

    sentences = long_sentences(2)
    recording = tmp_path / "microphone.wav"
    pieces = [piece for one in sentences for piece in (spoken(one.en).pcm, silence(3))]
    record(recording, [silence(LEAD_S), *pieces])
    async with visitor(playwright, marian_server, recording, "en", "es") as page:
        await finals(page, words=sum(len(one.en.split()) for one in sentences) - 3)
        heard = await heard_to_the_end(page)
    said = [final for _, final in heard.captions("final")]

    translator = MarianTranslator(json.dumps([[str(EN_ES), "", ""]]))
    translator.load()
    texts = tuple(final["text"] for final in said)
    alone = translator.translate(TranslateRequest(texts, "en", "es")).texts
    translations = [final["translation"] for final in said]
    assert translations == list(alone)
    spanish = " ".join(one.es for one in sentences)
    assert errors(spanish, " ".join(translations)).rate <= 0.35, (texts, translations)

    voice = EspeakVoice()
    voice.load()
    for translation in translations:
        made = np.concatenate([piece.pcm for piece in voice.speak(SpeakRequest(translation, "es"))])
        assert max(run.correlation(made) for run in heard.runs) >= 0.9, translation
    voice.close()
