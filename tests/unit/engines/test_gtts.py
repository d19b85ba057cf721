"""Google's voice through the real gTTS library, against a server that plays Google well and badly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from media_server.engines import gtts as engine
from media_server.engines import voicing
from media_server.engines.base import VOICE_RATE, SpeakRequest
from media_server.engines.gtts import GttsVoice, google_codes, receiver
from media_server.errors import EngineFailed
from tests.support.google import Google

TEXT = "Good morning to all of you in this room."


@pytest.fixture(scope="module")
def server() -> Iterator[Google]:
    with Google() as google:
        yield google


@pytest.fixture
def google(server: Google) -> Google:
    server.mode = "ok"
    server.asked.clear()
    return server


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def voice(google: Google | str, clock: Clock | None = None, **settings: object) -> GttsVoice:
    url = google if isinstance(google, str) else google.url
    made = GttsVoice(url=url, clock=clock or Clock(), **settings)  # type: ignore[arg-type]
    made.load()
    return made


def say(voice: GttsVoice, text: str = TEXT, language: str = "en", speed: float = 1.0) -> float:
    """Seconds of speech."""
    return sum(len(piece.pcm) for piece in voice.speak(SpeakRequest(text, language, speed))) / VOICE_RATE


def test_a_sentence_is_asked_for_and_heard(google: Google) -> None:
    assert 1.0 < say(voice(google)) < 5.0
    assert google.asked == [("en", TEXT)]


def test_an_answer_in_chunks_is_heard(google: Google) -> None:
    google.mode = "chunked"
    assert 1.0 < say(voice(google)) < 5.0


def test_it_says_who_gets_the_text() -> None:
    assert voice("https://translate.google.com").load().off_machine == "Google"
    assert receiver("http://gateway.example:8080") == "Google's voice service at gateway.example"


def test_a_sentence_said_before_is_not_asked_for_again(google: Google) -> None:
    speaker = voice(google)
    assert say(speaker) == say(speaker)
    assert len(google.asked) == 1
    say(speaker, language="es")
    assert len(google.asked) == 2


def test_long_sentences_are_asked_for_in_parts_that_google_takes(google: Google) -> None:
    text = "This sentence goes on for longer than Google likes, because " + ", ".join(
        f"it has {number} things to tell" for number in range(12)
    )
    say(voice(google), text)
    assert len(google.asked) > 2
    assert all(len(part) <= 100 for _, part in google.asked)
    assert "".join(part for _, part in google.asked).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("429", "fewer requests"),
        ("500", "status 500"),
        ("403", "status 403"),
        ("redirect", "no speech"),
        ("no speech", "no speech"),
        ("cut off", "does not answer|no speech|could not be read"),
        ("garbage", "no sound|damaged"),
        ("not utf-8", "could not be read"),
        ("huge", "could not be read|does not answer"),
        ("an hour", "60 s"),
    ],
)
def test_a_bad_answer_is_an_error_that_says_what_is_wrong_and_quotes_nothing(
    google: Google, mode: str, words: str
) -> None:
    google.mode = mode
    with pytest.raises(EngineFailed, match=words) as error:
        say(voice(google))
    assert "morning" not in str(error.value)
    assert len(google.asked) == 1, "it is not tried again"


def test_nobody_listening_is_an_error_at_once(google: Google) -> None:
    with pytest.raises(EngineFailed, match="does not answer"):
        say(voice(google.refusing_url))


@pytest.mark.parametrize("mode", ["silent", "drip"])
def test_an_answer_that_takes_too_long_is_given_up(
    google: Google, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CONNECT_S", 0.3)
    monkeypatch.setattr(engine, "READ_S", 0.5)
    google.mode = mode
    started = time.monotonic()
    with pytest.raises(EngineFailed, match="too slow"):
        say(voice(google))
    assert time.monotonic() - started < 20, "a server may drip for ever"


def test_after_three_failures_nothing_is_asked_for_ten_seconds_then_one_text_tries(google: Google) -> None:
    clock = Clock()
    speaker = voice(google, clock)
    google.mode = "500"
    for _ in range(3):
        with pytest.raises(EngineFailed, match="500"):
            say(speaker)
    for clock.now in (100.1, 105.0, 109.9):
        with pytest.raises(EngineFailed, match="left alone"):
            say(speaker)
    assert len(google.asked) == 3
    clock.now = 110.0
    with pytest.raises(EngineFailed, match="500"):
        say(speaker)
    google.mode = "ok"
    with pytest.raises(EngineFailed, match="left alone for 10 s"):
        say(speaker)
    clock.now = 120.0
    assert say(speaker) > 1.0
    assert say(speaker, "And again.") > 0.3


def test_what_is_in_the_cache_is_heard_while_google_is_away(google: Google) -> None:
    speaker = voice(google)
    say(speaker)
    google.mode = "500"
    for number in range(4):
        with pytest.raises(EngineFailed):
            say(speaker, f"Number {number}.")
    assert say(speaker) > 1.0


def test_google_is_not_asked_more_often_than_it_may_be(google: Google) -> None:
    clock = Clock()
    speaker = voice(google, clock, requests_a_second=1.0, at_once=2.0)
    say(speaker, "One.")
    say(speaker, "Two.")
    for _ in range(4):  # which is no failure of Google's
        with pytest.raises(EngineFailed, match="as often as it may be"):
            say(speaker, "Three.")
    clock.now += 1.0
    assert say(speaker, "Three.") > 0.2


def test_clips_on_disk_outlive_the_engine_and_are_named_after_nothing_that_was_said(
    google: Google, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    say(voice(google, cache_dir=str(folder)))
    (clip,) = folder.iterdir()
    assert "morning" not in clip.name
    assert folder.stat().st_mode & 0o077 == 0
    assert clip.stat().st_mode & 0o077 == 0
    say(voice(google, cache_dir=str(folder)))
    assert len(google.asked) == 1


def test_a_damaged_clip_is_asked_for_again(google: Google, tmp_path: Path) -> None:
    say(voice(google, cache_dir=str(tmp_path)))
    (clip,) = tmp_path.iterdir()
    clip.write_bytes(b"damaged")
    assert say(voice(google, cache_dir=str(tmp_path))) > 1.0
    assert len(google.asked) == 2
    assert clip.stat().st_size > 1000


def test_a_folder_that_cannot_be_written_only_means_no_cache(google: Google, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert say(voice(google, cache_dir=str(tmp_path / "file" / "clips"))) > 1.0


def test_faster_speech_is_shorter_by_as_much(google: Google) -> None:
    speaker = voice(google)
    assert say(speaker, speed=1.25) / say(speaker) == pytest.approx(1 / 1.25, abs=0.03)
    assert len(google.asked) == 1


def test_its_speech_is_as_loud_as_other_voices(google: Google) -> None:
    speaker = voice(google)
    texts = (TEXT, "The next train to the coast leaves at noon.", "We are glad that so many have come today.")
    sound = np.concatenate([piece.pcm for text in texts for piece in speaker.speak(SpeakRequest(text, "en"))])
    assert voicing.loudness(sound) == pytest.approx(voicing.TARGET_LUFS, abs=1.0)


def test_languages_have_googles_names_and_the_variant_that_was_asked_for(google: Google) -> None:
    known = ("en", "pt", "pt-PT", "iw", "jw", "zh-CN", "zh-TW", "zh", "fr", "fr-CA", "yue")
    codes = google_codes(known, "en")
    assert codes == {
        "en": "en", "pt": "pt", "he": "iw", "jv": "jw", "zh": "zh-CN", "fr": "fr", "yue": "yue"
    }  # fmt: skip
    assert google_codes(known, "pt_PT")["pt"] == "pt-PT"
    say(voice(google, language="zh-TW"), "你好", "zh")
    assert google.asked[0][0] == "zh-TW"
