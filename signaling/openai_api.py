"""OpenAI's audio API over the engines of this server, so that its clients, and other servers like this, can use it.

Recordings are decoded apart from everything else and recognized window by window behind live calls; texts are spoken
behind live texts. ``MAX_UPLOADS`` are worked on at a time, more are refused with ``Retry-After``. Names of models are
taken as they come: what runs here is the server's choice (``GET /v1/models`` names it).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from aiohttp import web

from media_server.audio.encode import MEDIA_TYPES, Encoder
from media_server.engines.base import VOICE_RATE, SpeakRequest, Speech
from media_server.engines.fleet import Fleet
from media_server.errors import (
    BadRequest,
    EngineError,
    Forbidden,
    NotFound,
    Overloaded,
    TooManyRequests,
)
from media_server.languages import language_code
from media_server.uploads.decoder import decode
from media_server.uploads.render import FORMATS, render
from media_server.uploads.transcribe import Transcript, transcribe
from signaling.forms import Form, read_form
from signaling.headers import dress
from signaling.keys import HUB, UPLOADS
from signaling.requests import read_json

PREFIX = "/v1/"
MAX_FILE = 25 << 20
FORM_S = 120.0  # 25 MB at 1.7 Mbit/s
MAX_INPUT = 4096  # characters
MAX_PROMPT = 2000  # characters; the recognizer reads the first names and terms of it
RETRY_S = 5
SPEED = (0.25, 4.0)

_VOICE = re.compile(r"([a-z]{2,3})(?:[-_][A-Za-z0-9]+)*")


class Uploads:
    """How many are worked on, and what ends with the server."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[web.StreamResponse]] = set()
        self._held = 0
        self._closed = False

    @contextmanager
    def place(self) -> Iterator[None]:
        if self._held >= self._most:
            raise TooManyRequests("Too many recordings and texts are being worked on.", retry_after_s=RETRY_S)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def run(
        self, request: web.Request, work: Coroutine[Any, Any, web.StreamResponse]
    ) -> web.StreamResponse:
        """The work's answer. It ends when the client goes away or the server stops."""
        if self._closed:
            work.close()
            raise _stopping()
        task = asyncio.create_task(work, name="upload")
        self._tasks.add(task)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=0.5)
                if request.transport is None or request.transport.is_closing():
                    task.cancel()
        finally:
            task.cancel()  # changes nothing where it is done
            await asyncio.wait({task})
            self._tasks.discard(task)
        if task.cancelled():
            if self._closed:
                raise _stopping()
            return web.Response(status=499)  # nobody reads it
        return task.result()

    async def close(self) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()


def _stopping() -> Overloaded:
    return Overloaded("The server is about to stop.", code="DRAINING", retry_after_s=RETRY_S)


def openai_error(status: int, code: str, message: str) -> dict[str, Any]:
    """The body of a refusal as OpenAI's clients read it, with this server's own codes."""
    kinds = {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
    }
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


type Work = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _limited(work: Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]) -> Work:
    """A handler whose work takes one of the places, and whose engines' faults are said to the client."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.app[HUB].draining:
            raise _stopping()
        uploads = request.app[UPLOADS]
        with uploads.place():
            try:
                return await uploads.run(request, work(request))
            except EngineError as error:
                words = f"{str(error)[:1].upper()}{str(error)[1:]}."
                raise Overloaded(words, code="ENGINE_FAILED", retry_after_s=RETRY_S) from None

    return handler


# -- recordings -------------------------------------------------------------------------------------------------------


async def _transcriptions(request: web.Request) -> web.StreamResponse:
    return await _recognized(request, english=False)


async def _translations(request: web.Request) -> web.StreamResponse:
    return await _recognized(request, english=True)


async def _recognized(request: web.Request, *, english: bool) -> web.Response:
    hub = request.app[HUB]
    form = await read_form(request, MAX_FILE, FORM_S)
    if hub.settings.consent_required and not _agreed(request, form):
        raise Forbidden(
            "Recordings are taken with consent only: send the header X-Consent: granted when everybody who speaks "
            "in it has agreed.",
            code="CONSENT_REQUIRED",
        )
    shape = form.text("response_format", "json")
    if shape not in FORMATS:
        raise BadRequest(f"response_format should be one of {', '.join(FORMATS)}.", code="INVALID_FORM")
    if form.text("stream").lower() not in {"", "false", "0"}:
        raise BadRequest("stream: a transcript comes as a whole here.", code="INVALID_FORM")
    if "word" in [value.strip() for value in form.fields.get("timestamp_granularities[]", [])]:
        raise BadRequest("timestamp_granularities: only segments have times here.", code="INVALID_FORM")
    prompt = form.text("prompt")[:MAX_PROMPT]
    language = None if english else language_code(form.text("language"), "language")
    if language == "auto":
        language = None
    fleet = hub.fleet
    if not fleet.can_hear:
        raise Overloaded("No recognizer is ready.", code="ENGINE_FAILED", retry_after_s=RETRY_S)
    if language is not None and language not in fleet.heard_languages():
        raise BadRequest(f"{language} is not recognized here.", code="INVALID_LANGUAGE")
    sound = await decode(form.file)
    transcript: Transcript = await transcribe(
        fleet, sound, language=language, english=english, prompt=prompt, calls=lambda: len(hub) > 0
    )
    text, media_type = render(transcript, shape, "translate" if english else "transcribe")
    return web.Response(text=text, content_type=media_type)


def _agreed(request: web.Request, form: Form) -> bool:
    return request.headers.get("X-Consent", "").lower() == "granted" or form.text("consent").lower() in {
        "1",
        "true",
        "granted",
    }


# -- speech -----------------------------------------------------------------------------------------------------------


async def _speech(request: web.Request) -> web.StreamResponse:
    message = await read_json(request)
    text = message.get("input")
    if not isinstance(text, str) or not 0 < len(text) <= MAX_INPUT:
        raise BadRequest(f"input should be a text of 1 to {MAX_INPUT} characters.", code="INVALID_MESSAGE")
    form = message.get("response_format", "mp3")
    if not isinstance(form, str) or form not in MEDIA_TYPES:
        raise BadRequest(
            f"response_format should be one of {', '.join(MEDIA_TYPES)}.", code="INVALID_MESSAGE"
        )
    if message.get("stream_format", "audio") != "audio":
        raise BadRequest("stream_format: speech comes as sound here.", code="INVALID_MESSAGE")
    fleet = request.app[HUB].fleet
    language = _language(message, fleet, request.app[HUB].settings.default_tgt_lang)
    encoder = Encoder(form, VOICE_RATE, _speed(message))
    try:
        async with aclosing(fleet.speak(SpeakRequest(text, language, live=False))) as pieces:
            first = await anext(pieces, None)
            if first is None:
                raise BadRequest("There is nothing to say in this text.", code="INVALID_MESSAGE")
            return await _sent(request, encoder, form, first, pieces)
    finally:
        encoder.close()


async def _sent(
    request: web.Request, encoder: Encoder, form: str, first: Speech, others: AsyncIterator[Speech]
) -> web.StreamResponse:
    """Piece by piece; a voice that fails in mid-text breaks the connection, since the status has been said."""
    response = web.StreamResponse(headers={"Content-Type": MEDIA_TYPES[form]})
    dress(request, response)
    try:
        if data := await asyncio.to_thread(encoder.push, first.pcm):
            await response.prepare(request)
            await response.write(data)
        async for piece in others:
            if data := await asyncio.to_thread(encoder.push, piece.pcm):
                await response.prepare(request)
                await response.write(data)
    except EngineError:
        if not response.prepared:
            raise
        if request.transport is not None:
            request.transport.abort()
        return response
    rest = await asyncio.to_thread(encoder.end)
    if not response.prepared:
        response.content_length = len(rest)
        await response.prepare(request)
    await response.write(rest)
    await response.write_eof()
    return response


def _language(message: dict[str, Any], fleet: Fleet, default: str) -> str:
    """What to speak: ``language`` (an addition of ours), or that of a voice called "es" or "es_ES-davefx-medium"."""
    given = language_code(message.get("language"), "language")
    voice = message.get("voice")
    if voice is not None and (not isinstance(voice, str) or len(voice) > 128):
        raise BadRequest("voice should be a name.", code="INVALID_MESSAGE")
    if given is None and voice and (named := _VOICE.fullmatch(voice)) and fleet.voice_of(named[1]):
        given = named[1]
    language = given or default
    if fleet.voice_of(language) is None:
        raise BadRequest(f"No voice speaks {language} here.", code="INVALID_LANGUAGE")
    return language


def _speed(message: dict[str, Any]) -> float:
    speed = message.get("speed", 1.0)
    low, high = SPEED
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not low <= speed <= high:
        raise BadRequest(f"speed should be a number from {low:g} to {high:g}.", code="INVALID_MESSAGE")
    return float(speed)


# -- models -----------------------------------------------------------------------------------------------------------


def _models(fleet: Fleet) -> list[dict[str, Any]]:
    """One entry for each model that is loaded, best first."""
    found: dict[str, dict[str, Any]] = {}
    for host in (*fleet.recognizers, *fleet.voices):
        if (known := host.capabilities) is not None and host.state == "ready":
            for model in known.model.split(", "):
                name = f"{known.name}-{model}".replace(" ", "-").replace("/", "-")
                found.setdefault(name, {"id": name, "object": "model", "created": 0, "owned_by": known.name})
    return list(found.values())


async def _list_models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": _models(request.app[HUB].fleet)})


async def _one_model(request: web.Request) -> web.Response:
    for model in _models(request.app[HUB].fleet):
        if model["id"] == request.match_info["model"]:
            return web.json_response(model)
    raise NotFound("There is no such model here; requests may name any.", code="MODEL_NOT_FOUND")


def add_routes(app: web.Application) -> None:
    uploads = app[UPLOADS] = Uploads(app[HUB].settings.max_uploads)
    app.router.add_post("/v1/audio/transcriptions", _limited(_transcriptions))
    app.router.add_post("/v1/audio/translations", _limited(_translations))
    app.router.add_post("/v1/audio/speech", _limited(_speech))
    app.router.add_get("/v1/models", _list_models)
    app.router.add_get("/v1/models/{model}", _one_model)

    async def close(_: web.Application) -> None:
        await uploads.close()

    app.on_shutdown.append(close)
