"""The engines of an OpenAI-compatible server against a real HTTP server, in order and in every kind of disorder."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from media_server.engines import voicing
from media_server.engines.base import VOICE_RATE, RecognizeRequest, SpeakRequest, TranslateRequest
from media_server.engines.openai_asr import TOLD_PROBABILITY, UNKNOWN_LOGPROB, OpenAiRecognizer
from media_server.engines.openai_http import OpenAiServer
from media_server.engines.openai_mt import OpenAiTranslator
from media_server.engines.openai_tts import OpenAiVoice
from media_server.engines.withdrawal import Withdrawal, working_for
from media_server.errors import EngineFailed
from tests.support import openai_server as acts
from tests.support.openai_server import FakeOpenAi, says, sends

KEY = "sk-Test0-very-secret"
TEXT = {"text": " Hello there. ", "language": "english"}
WINDOW = np.zeros(16_000, np.int16)


@pytest.fixture
def server() -> Iterator[FakeOpenAi]:
    with FakeOpenAi(says(TEXT)) as server:
        yield server


def recognizer(server: FakeOpenAi, model: str = "whisper-1", timeout_s: float = 5.0) -> OpenAiRecognizer:
    return server.keep(OpenAiRecognizer(model, server.url, timeout_s, api_key=KEY, organization="org-1"))


def hear(engine: OpenAiRecognizer, language: str | None = "en") -> str:
    request = RecognizeRequest(WINDOW, language, final=True)
    return engine.recognize([request])[0].transcript.text


def chat(text: str, ended: str = "stop") -> acts.Act:
    return says({"choices": [{"message": {"content": text}, "finish_reason": ended}]})


def translate(engine: OpenAiTranslator, text: str) -> str:
    return engine.translate(TranslateRequest((text,), "en", "es")).texts[0]


# -- every engine's way to the server -------------------------------------------------------------------------------


def test_a_window_goes_out_as_a_wav_form_with_the_key_and_one_connection_serves_all(
    server: FakeOpenAi,
) -> None:
    engine = recognizer(server)
    assert [hear(engine) for _ in range(3)] == ["Hello there."] * 3
    asked = server.asked[0]
    assert asked.path == "/v1/audio/transcriptions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.headers["OpenAI-Organization"] == "org-1"
    assert asked.headers["X-Consent"] is None
    for part in (
        b'name="model"\r\n\r\nwhisper-1',
        b'name="language"\r\n\r\nen',
        b'filename="speech.wav"',
        b"RIFF",
    ):
        assert part in asked.body
    assert len(server.peers) == 1


def test_consent_that_everybody_gave_here_is_passed_on(server: FakeOpenAi) -> None:
    server.keep(OpenAiRecognizer("m", server.url, consent=True)).recognize([RecognizeRequest(WINDOW, "en")])
    assert server.asked[0].headers["X-Consent"] == "granted"


def test_a_connection_that_the_server_closed_in_between_costs_nothing(server: FakeOpenAi) -> None:
    server.acts.append(acts.closes)
    engine = recognizer(server)
    assert hear(engine) == "closing"
    assert hear(engine) == "Hello there."


@pytest.mark.parametrize("act", [acts.never, acts.drips, acts.drips_body])
def test_a_slow_server_costs_its_time_limit_and_no_more(server: FakeOpenAi, act: acts.Act) -> None:
    server.acts.append(act)
    engine = recognizer(server, timeout_s=0.5)
    started = time.monotonic()
    with pytest.raises(EngineFailed, match=r"did not answer within 0\.5 s"):
        hear(engine)
    assert time.monotonic() - started < 20  # the server itself would go on for a minute
    assert hear(engine) == "Hello there."


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_server_is_asked_again(server: FakeOpenAi, status: int) -> None:
    server.acts += [acts.fails(status), acts.fails(status)]
    assert hear(recognizer(server)) == "Hello there."
    assert len(server.asked) == 3


def test_the_pause_is_the_one_that_the_server_asks_for(server: FakeOpenAi) -> None:
    server.acts.append(acts.fails(429, Retry_After="1"))
    started = time.monotonic()
    assert hear(recognizer(server)) == "Hello there."
    assert time.monotonic() - started >= 1.0


def test_a_pause_that_goes_beyond_the_time_limit_is_not_waited_for(server: FakeOpenAi) -> None:
    server.acts.append(acts.fails(429, Retry_After="3600"))
    started = time.monotonic()
    with pytest.raises(EngineFailed, match=r"too often \(429, server_error\)"):
        hear(recognizer(server, timeout_s=30.0))
    assert time.monotonic() - started < 25
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (acts.fails(401), "does not accept OPENAI_API_KEY"),
        (acts.fails(404), "check OPENAI_BASE_URL and the model's name"),
        (acts.fails(400), r"does not accept the request \(400"),
        (sends(b"", "text/plain", 307, Location="http://127.0.0.1:9/elsewhere"), "not followed"),
        (sends(b"<html>", "text/html"), "answered with text/html"),
        (sends(b"{", "application/json"), "no JSON object"),
        (sends(b"[" * 100_000, "application/json"), "no JSON object"),
        (says({"words": "?"}), "holds no text"),
        (says({"text": "x" * 5000}), "longer than 4000"),
        (sends(b"{}", "application/json", Content_Encoding="gzip"), "packed"),
        (acts.breaks, "broke before its answer was complete"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_an_error_in_words_without_speech_or_key(
    server: FakeOpenAi, act: acts.Act, words: str
) -> None:
    server.usual = act
    with pytest.raises(EngineFailed, match=words) as caught:
        hear(recognizer(server, "custom"))
    assert KEY not in str(caught.value)
    assert "SPEECH" not in str(caught.value)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("sound", [True, False])
def test_an_answer_without_end_is_refused_while_it_comes(server: FakeOpenAi, told: bool, sound: bool) -> None:
    server.usual = acts.huge("audio/wav" if sound else "application/json", told)
    with pytest.raises(EngineFailed, match=r"more than \d MB"):
        if sound:
            list(server.keep(OpenAiVoice("tts-1", "alloy", server.url)).speak(SpeakRequest("Hello.", "en")))
        else:
            hear(recognizer(server))
    assert server.sent < 20 << 20


def test_three_failures_open_the_breaker_and_then_nothing_is_asked(server: FakeOpenAi) -> None:
    server.usual = says({"no": "text"})
    engine = recognizer(server)
    for _ in range(3):
        with pytest.raises(EngineFailed, match="no text"):
            hear(engine)
    with pytest.raises(EngineFailed, match="left alone for"):
        hear(engine)
    assert len(server.asked) == 3


def test_a_request_that_is_refused_for_its_content_says_nothing_against_the_server(
    server: FakeOpenAi,
) -> None:
    engine = recognizer(server, "custom")
    server.acts += [acts.fails(400)] * 10
    for _ in range(5):
        with pytest.raises(EngineFailed, match="does not accept the request"):
            hear(engine)
    assert hear(engine) == "Hello there."


def test_who_goes_away_ends_the_request_at_once_and_that_is_no_failure(server: FakeOpenAi) -> None:
    server.acts += [acts.never] * 4
    engine = recognizer(server, timeout_s=60.0)
    for number in range(1, 5):
        withdrawal = Withdrawal()
        words: list[str] = []

        def work(withdrawal: Withdrawal = withdrawal, words: list[str] = words) -> None:
            with working_for(withdrawal):
                try:
                    hear(engine)
                except EngineFailed as error:
                    words.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        while len(server.asked) < number:
            time.sleep(0.01)
        withdrawal.withdraw()
        thread.join(30)
        assert words == ["nobody waits for the answer any more"]
    assert hear(engine) == "Hello there."


def test_a_server_that_is_not_there_and_one_without_tls_are_named() -> None:
    with FakeOpenAi(says(TEXT)) as gone:
        pass
    with pytest.raises(EngineFailed, match="nothing listens at 127"):
        hear(OpenAiRecognizer("m", gone.url))
    with pytest.raises(EngineFailed, match="leads to no address"):
        hear(OpenAiRecognizer("m", "http://no-such-host.invalid/v1"))
    with (
        FakeOpenAi(says(TEXT)) as plain,
        pytest.raises(EngineFailed, match="begin with http://"),
    ):
        hear(OpenAiRecognizer("m", plain.url.replace("http:", "https:")))


def test_only_another_machine_counts_as_off_the_machine() -> None:
    assert OpenAiServer().off_machine == "api.openai.com"
    assert OpenAiServer("http://speech.example:8000/v1").off_machine == "speech.example"
    assert OpenAiServer("http://127.0.0.1:8000/v1").off_machine is None
    assert OpenAiServer("http://[::1]:8000/v1").off_machine is None


# -- recognition ----------------------------------------------------------------------------------------------------


def test_times_and_probabilities_are_taken_where_they_are_told(server: FakeOpenAi) -> None:
    segments = [
        {"text": " One", "start": 0.0, "end": 1.0, "avg_logprob": -0.2, "no_speech_prob": 0.1},
        {"text": " two.", "start": 1.0, "end": 1.5, "avg_logprob": -0.8, "no_speech_prob": 0.4},
    ]
    server.usual = says({"text": "One two.", "language": "spanish", "segments": segments})
    result = recognizer(server).recognize([RecognizeRequest(WINDOW, None, final=True)])[0]
    assert [segment.text for segment in result.transcript.segments] == ["One", "two."]
    assert result.transcript.avg_logprob == pytest.approx(-0.4)
    assert result.transcript.no_speech_prob == 0.4
    assert (result.language, result.detected, result.language_probability) == ("es", "es", TOLD_PROBABILITY)
    assert b"verbose_json" in server.asked[0].body


def test_without_probabilities_a_neutral_one_stands(server: FakeOpenAi) -> None:
    result = recognizer(server).recognize([RecognizeRequest(WINDOW, "en")])[0]
    assert result.transcript.avg_logprob == UNKNOWN_LOGPROB
    assert result.transcript.no_speech_prob == 0.0


def test_openais_newer_models_are_asked_for_the_probabilities_of_tokens(server: FakeOpenAi) -> None:
    server.usual = says(
        {"text": "Hi.", "logprobs": [{"token": "Hi", "logprob": -0.1}, {"token": ".", "logprob": -0.3}]}
    )
    engine = recognizer(server, "gpt-4o-mini-transcribe")
    capabilities = engine.load()
    assert (capabilities.detects, capabilities.pairs) == (False, ())
    result = engine.recognize([RecognizeRequest(WINDOW, "en")])[0]
    assert result.transcript.avg_logprob == pytest.approx(-0.2)
    with pytest.raises(EngineFailed, match="choose the language"):
        hear(engine, None)


def test_a_server_that_refuses_the_long_form_is_asked_for_the_short_one_from_then_on(
    server: FakeOpenAi,
) -> None:
    server.acts.append(acts.fails(400))
    engine = recognizer(server)
    assert [hear(engine), hear(engine)] == ["Hello there."] * 2
    assert [b"verbose_json" in asked.body for asked in server.asked] == [True, False, False]


def test_another_language_than_the_given_one_is_reported_and_the_words_stay_in_the_given_one(
    server: FakeOpenAi,
) -> None:
    server.acts += [
        says({"text": "Hola", "language": "spanish"}),
        says({"text": "Ola", "language": "portuguese"}),
    ]
    request = RecognizeRequest(WINDOW, "pt", final=True, detect=True)
    result = recognizer(server).recognize([request])[0]
    assert (result.transcript.text, result.language, result.detected) == ("Ola", "pt", "es")


def test_english_comes_from_the_servers_translations_beside_the_transcript(server: FakeOpenAi) -> None:
    server.usual = lambda exchange: exchange.answer(
        json.dumps({"text": "in english" if "translations" in exchange.path else "en alemán"}).encode()
    )
    request = RecognizeRequest(WINDOW, "de", ("transcript", "english"), final=True)
    engine = recognizer(server)
    assert any(pair.source == "de" for pair in engine.load().pairs)
    result = engine.recognize([request])[0]
    assert result.transcript.text == "en alemán"
    assert result.english is not None
    assert result.english.text == "in english"


# -- translation ----------------------------------------------------------------------------------------------------


def test_a_text_is_translated_under_an_instruction_that_names_both_languages(server: FakeOpenAi) -> None:
    server.usual = chat(' "Buenos días." ')
    engine = server.keep(OpenAiTranslator("gpt-4o-mini", server.url))
    assert any((pair.source, pair.target) == ("hi", "fr") for pair in engine.load().pairs)
    assert translate(engine, "Good morning.") == "Buenos días."
    question = server.asked[0].json()
    assert question["model"] == "gpt-4o-mini"
    assert "English into Spanish" in question["messages"][0]["content"]
    assert question["messages"][1] == {"role": "user", "content": "Good morning."}
    assert engine.translate(TranslateRequest((), "en", "es")).texts == ()


def test_a_model_that_takes_no_temperature_gets_none_from_then_on(server: FakeOpenAi) -> None:
    server.usual = chat("Hola")
    server.acts.append(acts.fails(400))
    engine = server.keep(OpenAiTranslator("o-model", server.url))
    assert [translate(engine, "Hello") for _ in range(2)] == ["Hola"] * 2
    assert ["temperature" in asked.json() for asked in server.asked] == [True, False, False]


def test_what_a_model_thinks_is_not_what_it_says(server: FakeOpenAi) -> None:
    server.usual = chat("<think>\nSpanish for hello?\n</think>\n\nHola")
    assert translate(server.keep(OpenAiTranslator("m", server.url)), "Hello") == "Hola"


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (chat(""), "empty"),
        (chat("Hola", "length"), "cut off"),
        (chat("Hola " * 200), "too long"),
        (says({"choices": []}), "no message"),
        (says({"choices": [{"message": {"content": None}}]}), "no message"),
    ],
)
def test_what_cannot_be_a_translation_is_an_error(server: FakeOpenAi, act: acts.Act, words: str) -> None:
    server.usual = act
    with pytest.raises(EngineFailed, match=words):
        translate(server.keep(OpenAiTranslator("m", server.url)), "Hello")


# -- speech ---------------------------------------------------------------------------------------------------------


def test_a_text_is_spoken_sentence_by_sentence_at_one_loudness(server: FakeOpenAi) -> None:
    server.usual = sends(acts.tone(2.0), "audio/wav")
    engine = server.keep(OpenAiVoice("tts-1", "{language}-voice", server.url))
    pieces = list(engine.speak(SpeakRequest("First one. Second one.", "es", 1.2)))
    assert [piece.text for piece in pieces] == ["First one.", "Second one."]
    assert pieces[0].voice == "es-voice"
    assert voicing.loudness(np.concatenate([piece.pcm for piece in pieces])) == pytest.approx(-20.0, abs=1.5)
    assert server.asked[0].json() == {
        "model": "tts-1", "input": "First one.", "voice": "es-voice", "response_format": "wav", "speed": 1.2,
    }  # fmt: skip
    assert list(engine.speak(SpeakRequest(" ... ", "es"))) == []


def test_bare_samples_are_taken_as_openai_sends_them(server: FakeOpenAi) -> None:
    server.usual = sends(acts.tone(1.0)[44:], "audio/pcm")
    (piece,) = server.keep(OpenAiVoice("m", "v", server.url)).speak(SpeakRequest("Hello.", "en"))
    assert len(piece.pcm) / VOICE_RATE == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (sends(b'{"error": 1}', "application/json"), "in place of sound"),
        (sends(b"no sound at all", "audio/wav"), "not the sound that it says"),
        (sends(b"", "audio/wav"), "not the sound that it says"),
        (sends(b"RIFF" + bytes(200), "audio/wav"), "cannot be used"),
        (sends(b"", "audio/pcm"), "holds no sound"),
        (sends(acts.tone(61.0, 8000), "audio/wav"), "more than 60 s"),
    ],
)
def test_what_is_no_speech_is_an_error(server: FakeOpenAi, act: acts.Act, words: str) -> None:
    server.usual = act
    with pytest.raises(EngineFailed, match=words):
        list(server.keep(OpenAiVoice("m", "v", server.url)).speak(SpeakRequest("Hello.", "en")))
