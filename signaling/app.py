"""The aiohttp application: one middleware for errors, access and headers; one handler an endpoint."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web

from media_server import metrics as metrics_module
from media_server.clock import wall
from media_server.errors import BadRequest, NotFound, PeerError, TooLarge
from media_server.ice import ice_servers
from media_server.languages import language_code, target_code
from media_server.rooms.hub import Hub
from media_server.rtc.calls import Calls
from signaling import openai_api, sessions
from signaling.auth import authorize
from signaling.description import describe
from signaling.door import Door
from signaling.headers import dress
from signaling.health import health, languages
from signaling.keys import CALLS, DESCRIPTION, DOOR, ENTRANCES, HUB, WEB, Entrance
from signaling.requests import address_of, first, flag_of, query_flag, query_text, read_json, text_of

logger = logging.getLogger(__name__)

MAX_BODY = 64 * 1024  # an offer is some 2 to 8 KiB; the SDP in it may have 32 KiB
PUBLIC = ("/", "/health", "/favicon.ico", "/static/", "/openapi.json")
"""Open without a key: the page, its files and the description hold no secrets; health says less to strangers."""

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def error_response(
    request: web.Request, status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    """The JSON body of every refusal: ``{"error": {"code", "message"}}``, on OpenAI's paths with what it adds."""
    if request.path.startswith(openai_api.PREFIX):
        body = openai_api.openai_error(status, code, message)
    else:
        body = {"error": {"code": code, "message": message}}
    return web.json_response(body, status=status, headers=headers)


def refusal(request: web.Request, error: PeerError) -> web.Response:
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else None
    return error_response(request, error.status, error.code, error.message, headers)


@web.middleware
async def through_the_door(request: web.Request, handler: Handler) -> web.StreamResponse:
    with request.app[DOOR].request(request):
        return await handler(request)


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Access, errors as JSON, headers. Nothing a client sends ends as a stack trace to it."""
    hub = request.app[HUB]
    try:
        refused = request.match_info.http_exception
        if request.method == "OPTIONS" and isinstance(refused, web.HTTPMethodNotAllowed):
            allowed = ", ".join(sorted({*refused.allowed_methods, "OPTIONS"}))
            response: web.StreamResponse = web.Response(status=204, headers={"Allow": allowed})
        else:
            if not _public(request.path):
                authorize(request, hub.settings)
            response = await handler(request)
    except PeerError as error:
        if request.path == "/offer":
            hub.metrics.offers_refused.labels(error.code).inc()
        response = refusal(request, error)
    except web.HTTPRequestEntityTooLarge:
        response = refusal(request, TooLarge("The request is too large."))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = error_response(
            request,
            error.status,
            error.reason.upper().replace(" ", "_"),
            f"{error.reason}.",
            {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None,
        )
    except ConnectionError:
        if request.transport is not None and not request.transport.is_closing():
            raise
        response = web.Response(status=400)  # nobody is there to read it
    except Exception:  # the last line of defence: the client gets JSON, the log gets the trace
        logger.exception("request failed", extra={"method": request.method})
        response = error_response(request, 500, "INTERNAL", "Something went wrong on the server.")
    dress(request, response)
    return response


def _public(path: str) -> bool:
    return any(
        path == public or (len(public) > 1 and public[-1] == "/" and path.startswith(public))
        for public in PUBLIC
    )


async def offer(request: web.Request) -> web.Response:
    """``POST /offer``: an SDP offer for an answer. PROTOCOLS, section 5."""
    calls = request.app[CALLS]
    message = await read_json(request)
    if message.get("type") != "offer":
        raise BadRequest('type should be "offer".', code="INVALID_MESSAGE")
    if not isinstance(sdp := message.get("sdp"), str) or not sdp:
        raise BadRequest("sdp should be the text of an offer.", code="INVALID_SDP")
    call = await calls.answer(
        sdp,
        address=address_of(request, calls.hub.settings),
        source=language_code(message.get("sourceLang"), "sourceLang"),
        target=target_code(message.get("targetLang"), "targetLang"),
        room=first(query_text(request, "room"), text_of(message, "roomId")),
        session_id=first(text_of(message, "sessionId"), query_text(request, "session")),
        consent=flag_of(message, "consent"),
    )
    session = call.session
    return web.json_response(
        {
            "sdp": call.answer_sdp,
            "type": "answer",
            "sessionId": session.id,
            "speaker": session.speaker,
            "sourceLang": session.source,
            "targetLang": session.target,
            "roomId": None if session.room.private else session.room.name,
            "engines": {host.spec.kind: host.spec.name for host in reversed(calls.hub.fleet.hosts)},
        }
    )


async def get_ice_servers(request: web.Request) -> web.Response:
    return web.json_response({"iceServers": ice_servers(request.app[HUB].settings, wall())})


async def get_languages(request: web.Request) -> web.Response:
    return web.json_response(languages(request.app[HUB]))


async def get_health(request: web.Request) -> web.Response:
    """200 as long as the process serves; ``ready`` says whether a call would be taken. ``?ready=1``: 503 if not."""
    hub, calls = request.app[HUB], request.app[CALLS]
    wants_ready = query_flag(request, "ready")
    body = health(hub, calls.denoiser)
    entrances = request.app[ENTRANCES]
    body["endpoints"] = {entrance.path: entrance.health() for entrance in entrances}
    body["messages"] += [notice for entrance in entrances for notice in entrance.notices()]
    try:
        authorize(request, hub.settings)
    except PeerError:
        body = {key: body[key] for key in ("status", "ready", "draining", "version", "consentRequired")}
    status = 503 if wants_ready and not body["ready"] else 200
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})


async def get_metrics(request: web.Request) -> web.Response:
    hub = request.app[HUB]
    if not hub.settings.enable_metrics:
        raise NotFound("Metrics are switched off (ENABLE_METRICS=0).")
    return web.Response(body=hub.metrics.exposition(), headers={"Content-Type": metrics_module.CONTENT_TYPE})


async def get_description(request: web.Request) -> web.Response:
    return web.json_response(request.app[DESCRIPTION], headers={"Cache-Control": "no-cache"})


async def page(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(request.app[WEB] / "index.html", headers={"Cache-Control": "no-cache"})


async def page_file(request: web.Request) -> web.StreamResponse:
    """A file of the page; they are asked for again on every visit (no hash is in their names), 304 when unchanged."""
    folder = request.app[WEB].resolve()
    try:
        path = (folder / request.match_info["file"]).resolve()
    except (OSError, ValueError):  # a name that no file can have
        path = folder
    if not path.is_relative_to(folder) or not path.is_file():
        raise NotFound("There is no such file.")
    return web.FileResponse(path, headers={"Cache-Control": "no-cache"})


async def favicon(request: web.Request) -> web.StreamResponse:
    path = request.app[WEB] / "favicon.svg"
    if not path.is_file():
        raise NotFound("There is no icon.")
    return web.FileResponse(path)


def make_app(
    hub: Hub,
    calls: Calls,
    web_folder: Path,
    door: Door | None = None,
    entrances: Sequence[Entrance] = (),
) -> web.Application:
    """The application; its start-up and clean-up start and stop the hub, the engines and the calls.

    ``door`` is told what its connections are doing; it is opened and closed by whoever made it.
    """
    app = web.Application(client_max_size=MAX_BODY, middlewares=[through_the_door, edge])
    app[DOOR] = door or Door.of(hub.settings, hub.metrics)
    app[HUB], app[CALLS], app[WEB], app[ENTRANCES] = hub, calls, web_folder, entrances
    app[DESCRIPTION] = describe(hub.settings)
    app.router.add_get("/", page)
    app.router.add_get("/favicon.ico", favicon)
    app.router.add_get("/static/{file:.+}", page_file)
    app.router.add_post("/offer", offer)
    app.router.add_get("/ice-servers", get_ice_servers)
    app.router.add_get("/languages", get_languages)
    app.router.add_get("/health", get_health)
    app.router.add_get("/metrics", get_metrics)
    app.router.add_get("/openapi.json", get_description)
    sessions.add_routes(app)
    openai_api.add_routes(app)
    app.cleanup_ctx.append(_lifetime)
    for entrance in entrances:
        entrance.add_to(app, lambda request: address_of(request, hub.settings))
    return app


async def _lifetime(app: web.Application) -> AsyncIterator[None]:
    hub, calls = app[HUB], app[CALLS]
    await hub.fleet.start()
    await hub.start()
    yield
    await calls.stop()
    await hub.stop()
    await hub.fleet.stop()
