"""What every voice keeps to."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import aclosing

import numpy as np
import pytest

from media_server.engines import voicing
from media_server.engines.base import VOICE_RATE, Pcm, SpeakRequest, Speech
from media_server.engines.host import EngineHost
from media_server.errors import EngineFailed
from tests.contract.conftest import of_kind
from tests.support.pitch import pitch

pytestmark = [pytest.mark.asyncio(loop_scope="module"), of_kind("speak")]

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "My neighbour waters the garden every morning before the sun gets hot.",
    "We will meet again on Thursday at the old library.",
)
MANY = {
    "en": SENTENCES,
    "es": ("Mi vecino riega el jardín todas las mañanas.", "Nos vemos el jueves en la vieja biblioteca."),
    "de": ("Mein Nachbar gießt jeden Morgen den Garten.", "Wir treffen uns am Donnerstag in der Bibliothek."),
    "fr": ("Mon voisin arrose le jardin tous les matins.", "Nous nous reverrons jeudi à la bibliothèque."),
    "hi": ("मेरा पड़ोसी हर सुबह बगीचे में पानी देता है।", "हम गुरुवार को पुराने पुस्तकालय में फिर मिलेंगे।"),
    "zh": ("我的邻居每天早上给花园浇水。", "我们星期四在旧图书馆再见。"),
    "ar": ("جاري يسقي الحديقة كل صباح.", "سنلتقي مرة أخرى يوم الخميس في المكتبة القديمة."),
}
NOTHING = ("", " \n", "😀👍", "...", "\x00\x07", "—", "\u200b")


async def pieces(host: EngineHost, text: str, *, language: str = "en", speed: float = 1.0) -> list[Speech]:
    return [piece async for piece in host.speak(SpeakRequest(text, language, speed), deadline_s=20)]


async def spoken(host: EngineHost, text: str, *, language: str = "en", speed: float = 1.0) -> Pcm:
    made = await pieces(host, text, language=language, speed=speed)
    return np.concatenate([piece.pcm for piece in made])


def first_loud_s(pcm: Pcm) -> float:
    return float(np.flatnonzero(np.abs(pcm.astype(np.int32)) > 600)[0]) / VOICE_RATE


async def test_it_says_what_it_can_do(host: EngineHost) -> None:
    capabilities = host.capabilities
    assert capabilities is not None
    assert capabilities.kind == "speak"
    assert all((capabilities.name, capabilities.model, capabilities.version, capabilities.licence))
    assert "en" in capabilities.languages
    assert not capabilities.pairs


async def test_sentences_come_piece_by_piece_with_their_text_and_voice(host: EngineHost) -> None:
    made = await pieces(host, " ".join(SENTENCES))
    assert [piece.text for piece in made if piece.text] == list(SENTENCES)
    assert made[0].text
    assert all(piece.voice for piece in made)
    assert all(piece.pcm.dtype == np.int16 and len(piece.pcm) for piece in made)


async def test_speech_lasts_as_long_as_speech_does(host: EngineHost) -> None:
    seconds = len(await spoken(host, SENTENCES[0])) / VOICE_RATE
    assert 1.5 < seconds < 5


async def test_every_sentence_has_the_same_loudness_and_nothing_clips(host: EngineHost) -> None:
    sounds = [await spoken(host, sentence) for sentence in SENTENCES]
    whole = np.concatenate(sounds)
    assert voicing.loudness(whole) == pytest.approx(voicing.TARGET_LUFS, abs=1.0)
    for sound in sounds:
        assert voicing.loudness(sound) == pytest.approx(voicing.loudness(whole), abs=2.0)
    assert int(np.abs(whole.astype(np.int32)).max()) <= math.ceil(voicing.CEILING * 32768)


async def test_a_clip_starts_soon_and_its_edges_are_silent(host: EngineHost) -> None:
    sound = await spoken(host, SENTENCES[0])
    assert first_loud_s(sound) <= 0.06
    assert first_loud_s(sound[::-1]) <= 0.16
    edge = 24  # 0.5 ms
    assert np.abs(sound[:edge].astype(np.int32)).max() < 100
    assert np.abs(sound[-edge:].astype(np.int32)).max() < 100
    assert abs(float(sound.mean())) < 30


@pytest.mark.parametrize("language", sorted(MANY))
async def test_every_language_is_as_loud_and_nothing_clips(host: EngineHost, language: str) -> None:
    assert host.capabilities is not None
    if language not in host.capabilities.languages:
        return  # nothing to be said in it
    whole = np.concatenate([await spoken(host, text, language=language) for text in MANY[language]])
    assert voicing.loudness(whole) == pytest.approx(voicing.TARGET_LUFS, abs=1.0)
    assert int(np.abs(whole.astype(np.int32)).max()) <= math.ceil(voicing.CEILING * 32768)


@pytest.mark.parametrize("speed", [1.1, 1.25])
async def test_faster_speech_is_shorter_by_as_much_at_the_same_pitch(host: EngineHost, speed: float) -> None:
    texts = SENTENCES * 2  # a neural voice never says one twice alike
    slow = np.concatenate([await spoken(host, sentence) for sentence in texts])
    fast = np.concatenate([await spoken(host, sentence, speed=speed) for sentence in texts])
    assert len(fast) / len(slow) == pytest.approx(1 / speed, rel=0.06)
    assert pitch(fast) == pytest.approx(pitch(slow), rel=0.05)


@pytest.mark.parametrize("text", NOTHING, ids=range(len(NOTHING)))
async def test_a_text_with_nothing_to_say_gives_no_piece(host: EngineHost, text: str) -> None:
    assert await pieces(host, text) == []


@pytest.mark.parametrize(
    "text",
    ["a\x00b", "<b>bold</b> &amp; [[h@'loU]]", "नमस्ते hello 你好", "\ud800 hello", "3 + 4 = 7", "ok 👍"],
)
async def test_odd_texts_are_spoken_as_far_as_they_can_be(host: EngineHost, text: str) -> None:
    assert len(await spoken(host, text)) > VOICE_RATE // 10


async def test_the_first_piece_of_a_long_text_comes_at_once_and_the_rest_can_be_given_up(
    host: EngineHost,
) -> None:
    text = " ".join(SENTENCES) * 56  # about 10,000 characters, ten minutes of speech
    assert len(text) > 9_000
    started = time.monotonic()
    async with aclosing(host.speak(SpeakRequest(text, "en"), deadline_s=20)) as speech:
        await anext(speech)
        assert time.monotonic() - started < 2
        others = await asyncio.gather(*(pieces(host, SENTENCES[0]) for _ in range(2)))
        assert all(others)
    started = time.monotonic()
    assert await pieces(host, SENTENCES[0])
    assert time.monotonic() - started < 2


async def test_a_language_that_it_does_not_speak_and_a_text_without_end_are_refused(host: EngineHost) -> None:
    with pytest.raises(EngineFailed, match="xx"):
        await pieces(host, "hello", language="xx")
    with pytest.raises(EngineFailed, match="longer"):
        await pieces(host, "hello " * 4000)


async def test_every_language_that_it_offers_is_spoken(host: EngineHost) -> None:
    assert host.capabilities is not None
    silent = [
        language
        for language in host.capabilities.languages
        if not await pieces(host, "1, 2, 3. Mama.", language=language)
    ]
    assert silent == []
