"""OpenAI's own client, unchanged, against the running server; and one server as the engines of another."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import urllib.request
import wave
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import numpy as np
import openai
import pytest

from benchmarks import scoring
from media_server.audio import containers
from media_server.engines.base import Pcm
from tests.support.caller import Caller, recording
from tests.support.models import spoken
from tests.support.server import ROOT, Server

JFK = ROOT / "tests/data/jfk.wav"
SAID = (
    "And so my fellow Americans, ask not what your country can do for you, "
    "ask what you can do for your country."
)
FORM = "multipart/form-data; boundary=x"
SENTENCE = "The train to the coast leaves at seven in the evening."


def wav(pcm: Pcm, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm.astype("<i2").tobytes())
    return file.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(API_KEYS="sk-own", ALLOWED_ORIGINS="https://app.example") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-own", base_url=f"{server.url}/v1", max_retries=0, timeout=120) as client:
        yield client


def errors(said: str, text: str) -> float:
    return scoring.errors(said, text).rate


def test_a_recording_becomes_text_in_every_format(client: openai.OpenAI) -> None:
    ask = client.audio.transcriptions.create
    assert errors(SAID, ask(model="whisper-1", file=JFK, language="en").text) <= 0.1
    verbose = ask(model="whisper-1", file=JFK, response_format="verbose_json")
    assert verbose.language == "english"
    assert verbose.duration == pytest.approx(11.0, abs=0.1)
    assert verbose.segments
    assert all(0 <= one.start <= one.end <= 11.1 and one.avg_logprob < 0 for one in verbose.segments)
    assert "-->" in str(ask(model="whisper-1", file=JFK, response_format="srt"))
    assert str(ask(model="whisper-1", file=JFK, response_format="vtt")).startswith("WEBVTT")
    assert errors(SAID, str(ask(model="whisper-1", file=JFK, response_format="text"))) <= 0.1


def test_speech_between_silences_is_all_there_and_nothing_is_invented_in_them(client: openai.OpenAI) -> None:
    speech = containers.decode(JFK.read_bytes(), 16_000, 60)
    silence = np.random.default_rng(7).normal(0, 8, 16_000 * 6).astype(np.int16)
    whole = np.concatenate([silence, speech, silence, speech, speech, silence, speech, silence])
    text = client.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", wav(whole)), language="en"
    ).text
    assert errors(" ".join([SAID] * 4), text) <= 0.1


def test_a_text_becomes_sound_in_every_format_and_is_heard_as_said(client: openai.OpenAI) -> None:
    for form in ("mp3", "wav", "opus", "flac", "aac", "pcm"):
        sound = client.audio.speech.create(model="tts-1", voice="alloy", input=SENTENCE, response_format=form)
        data = sound.read()
        pcm = np.frombuffer(data, "<i2") if form == "pcm" else containers.decode(data, 24_000, 60)
        assert 2.0 < len(pcm) / 24_000 < 6.0, form
    text = client.audio.transcriptions.create(
        model="whisper-1", file=("a.aac", data if form != "pcm" else wav(pcm, 24_000))
    ).text
    assert errors(SENTENCE, text) <= 0.2
    slow = client.audio.speech.create(
        model="tts-1", voice="en", input=SENTENCE, response_format="wav", speed=0.5
    )
    assert len(containers.decode(slow.read(), 24_000, 60)) > 1.7 * len(pcm)


def test_a_voice_is_chosen_by_its_language(client: openai.OpenAI) -> None:
    ask = client.audio.speech.create
    assert ask(model="tts-1", voice="es", input="Buenos días.", response_format="mp3").read()
    assert ask(model="tts-1", voice="en_US-joe-medium", input="Hello.").read()
    assert ask(model="tts-1", voice="nova", input="Hola.", extra_body={"language": "es"}).read()
    with pytest.raises(openai.BadRequestError, match="No voice speaks xx"):
        ask(model="tts-1", voice="nova", input="Hello.", extra_body={"language": "xx"})


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the client's own, about its endpoint
def test_foreign_speech_becomes_english(client: openai.OpenAI) -> None:
    sound = client.audio.speech.create(
        model="tts-1", voice="es", input="Buenos días. Me gusta el café.", response_format="wav"
    ).read()
    result = client.audio.translations.create(
        model="whisper-1", file=("a.wav", sound), response_format="verbose_json"
    )
    assert result.language == "spanish"
    assert "coffee" in result.text.lower() or "good" in result.text.lower()


def test_models_are_listed(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "faster-whisper-base-int8" in names
    assert "piper-en_US-joe-medium" in names
    assert client.models.retrieve(names[0]).id == names[0]
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.models.retrieve("gpt-99")


def test_who_has_no_key_gets_openais_error_and_the_page_of_another_origin_none_of_it(server: Server) -> None:
    with (
        openai.OpenAI(api_key="wrong", base_url=f"{server.url}/v1", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        stranger.models.list()
    assert caught.value.type == "authentication_error"
    assert caught.value.code == "UNAUTHORIZED"
    for origin, status in (("https://app.example", 200), ("https://evil.example", 403)):
        answer = server.fetch("GET", "/v1/models", Authorization="Bearer sk-own", Origin=origin)
        assert answer[0] == status
    body = json.dumps({"input": "Hello.", "voice": "en"}).encode()
    request = urllib.request.Request(
        f"{server.url}/v1/audio/speech",
        body,
        {"Authorization": "Bearer sk-own", "Origin": "https://app.example"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"file": ("a.wav", b"no sound")}, "damaged, or of no format"),
        ({"file": ("a.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")}, "damaged, or of no format"),
        ({"file": JFK, "response_format": "xml"}, "response_format should be one of"),
        ({"file": JFK, "language": "xx"}, "xx is not recognized here"),
        ({"file": JFK, "language": "english please"}, "language should be a language code"),
        ({"file": JFK, "timestamp_granularities": ["word"], "response_format": "verbose_json"}, "only segments"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_words(
    client: openai.OpenAI, fields: dict[str, object], words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        client.audio.transcriptions.create(model="whisper-1", **fields)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", FORM, 400),
        (b"--x\r\n", FORM, 400),
        (b"--x\r\n\r\n\r\n--x--\r\n", FORM, 400),
        (b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\na\r\n--x--\r\n', FORM, 400),
        (b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n", FORM, 400),
        (b"x", "multipart/form-data", 400),
        (b"{}", "application/json", 415),
    ],
)  # fmt: skip
def test_a_form_that_is_none_is_refused(server: Server, body: bytes, kind: str, status: int) -> None:
    answer = server.fetch(
        "POST", "/v1/audio/transcriptions", body, Content_Type=kind, Authorization="Bearer sk-own"
    )
    assert answer[0] == status
    assert answer[1]["error"]["message"]
    assert answer[1]["error"]["type"] == "invalid_request_error"


def test_a_file_that_is_too_large_is_refused_before_all_of_it_has_come(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-own\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 60000000\r\n\r\n"
        )
        answer = connection.recv(4096)
    assert b" 413 " in answer.splitlines()[0]
    assert b"larger than 25 MB" in answer


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    with Server(CONSENT_REQUIRED="1", MAX_UPLOADS="1", ASR_MODEL_SIZE="tiny.en") as running:
        yield running


def agreeing(server: Server) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="x", base_url=f"{server.url}/v1", max_retries=0, default_headers={"X-Consent": "granted"}
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110  # what is polled sets no event
        await asyncio.sleep(0.05)


async def refused(client: openai.AsyncOpenAI) -> openai.RateLimitError | None:
    try:
        await client.audio.speech.create(model="m", voice="en", input="Hello.")
    except openai.RateLimitError as error:
        return error
    return None


async def test_recordings_are_taken_with_consent_where_the_server_asks_for_it(strict: Server) -> None:
    async with openai.AsyncOpenAI(api_key="x", base_url=f"{strict.url}/v1", max_retries=0) as client:
        ask = client.audio.transcriptions.create
        with pytest.raises(openai.PermissionDeniedError, match="X-Consent"):
            await ask(model="m", file=JFK)
        agreed = await ask(model="m", file=JFK, extra_headers={"X-Consent": "granted"})
        assert errors(SAID, agreed.text) <= 0.2
        assert (await ask(model="m", file=JFK, extra_body={"consent": "true"})).text
    assert "fellow" not in strict.log


async def test_more_than_the_server_takes_at_a_time_are_told_when_to_come_again(strict: Server) -> None:
    async with agreeing(strict) as client, asyncio.timeout(60):

        async def welcome() -> bool:
            return await refused(client) is None

        _, holder = await asyncio.open_connection("127.0.0.1", strict.port)
        holder.write(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
        error: openai.RateLimitError | None = None
        while error is None:
            error = await refused(client)
        assert int(error.response.headers["Retry-After"]) > 0
        assert error.type == "rate_limit_error"
        holder.transport.abort()  # who goes away gives the place back
        await until(welcome)


async def test_a_recording_whose_sender_goes_away_is_recognized_no_further(strict: Server) -> None:
    long = np.tile(spoken(SENTENCE).pcm, 70)

    async def requests(outcome: str) -> float:
        return await strict.metric("lai_engine_requests_total", stage="recognize", outcome=outcome)

    async with agreeing(strict) as client, asyncio.timeout(120):
        done = await requests("ok")

        async def begun() -> bool:
            return await requests("ok") > done

        async def welcome() -> bool:
            return await refused(client) is None

        file = ("a.wav", wav(long))
        gone = asyncio.create_task(client.audio.transcriptions.create(model="m", file=file, language="en"))
        await until(begun)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await until(welcome)
        assert await requests("ok") < done + 6  # it has eight windows and more


@pytest.mark.timeout(180)
async def test_one_server_hears_and_speaks_for_another(tmp_path: Path) -> None:
    with Server(API_KEYS="sk-inner", MAX_UPLOADS="8") as inner:
        environ = {
            "ASR_PROVIDER": "openai",
            "TTS_PROVIDER": "openai",
            "OPENAI_BASE_URL": f"{inner.url}/v1",
            "OPENAI_API_KEY": "sk-inner",
            "OPENAI_ASR_MODEL": "whisper-1",
            "OPENAI_TTS_VOICE": "{language}",
            "OPENAI_TIMEOUT_SECS": "10",
            "MODELS_DIR": str(tmp_path),  # nothing of its own to hear with
        }
        with Server(ready=False, **environ) as outer:
            async with Caller(outer, sourceLang="en", targetLang="es") as caller:
                caller.microphone.say(recording("jfk.wav"))
                await caller.microphone.done.wait()

                def said() -> str:
                    return " ".join(final["text"] for final in caller.finals)

                await caller.until(
                    lambda: "do for your country" in said() and caller.heard_seconds() > 1.0, timeout_s=60
                )
                assert errors(SAID, said()) <= 0.3
                assert any(final["translation"] for final in caller.finals)
            _, health = await outer.get("/health")
            engines = {(one["stage"], one["name"]): one for one in health["engines"]}
            assert engines["recognize", "openai"]["state"] == "ready"
            assert engines["recognize", "openai"]["reason"] == "ASR_PROVIDER asks for it: 127.0.0.1"
            assert engines["speak", "openai"]["offMachine"] is None
            _, metrics = await inner.get("/metrics", Authorization="Bearer sk-inner")
            for stage in ("recognize", "speak"):
                assert re.search(
                    rf'lai_engine_requests_total{{.*outcome="ok",stage="{stage}"}} [1-9]', metrics
                )
            assert "sk-inner" not in outer.log + inner.log + json.dumps(health)


async def test_a_call_goes_before_a_recording_that_is_sent_in() -> None:
    speech = containers.decode(JFK.read_bytes(), 16_000, 60)
    long = wav(np.tile(speech, 45))  # eight minutes
    with Server() as server:
        async with (
            aiohttp.ClientSession() as http,
            Caller(server, sourceLang="en", targetLang="en") as caller,
        ):
            form = aiohttp.FormData({"model": "whisper-1", "language": "en"})
            form.add_field("file", io.BytesIO(long), filename="long.wav", content_type="audio/wav")
            upload = asyncio.create_task(http.post(f"{server.url}/v1/audio/transcriptions", data=form))
            await asyncio.sleep(3)  # decoded, and its windows wait
            caller.microphone.say(recording("jfk.wav"))
            await caller.microphone.done.wait()
            await caller.until(lambda: "your country" in " ".join(f["text"] for f in caller.finals)[-40:])
            assert not upload.done()
            assert not caller.of("lost")
            assert errors(SAID, " ".join(final["text"] for final in caller.finals)) <= 0.1
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
