"""``POST /session/create`` and ``GET /session/status``: sessions apart from their connections."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from media_server.errors import BadRequest
from media_server.languages import language_code, target_code
from media_server.rooms.hub import Hub
from media_server.rooms.session import Session
from signaling.keys import HUB
from signaling.requests import address_of, first, flag_of, query_text, read_json, text_of


def add_routes(app: web.Application) -> None:
    app.router.add_post("/session/create", create)
    app.router.add_get("/session/status", status)


async def create(request: web.Request) -> web.Response:
    """A session whose id is then given as ``?session=`` or ``sessionId`` to whatever connects."""
    hub = request.app[HUB]
    message = await read_json(request) if request.can_read_body else {}
    source = language_code(message.get("sourceLang"), "sourceLang")
    target = target_code(message.get("targetLang"), "targetLang")
    room = first(query_text(request, "room"), text_of(message, "roomId"))
    consent = flag_of(message, "consent")
    session = hub.open(source=source, target=target, room=room, address=address_of(request, hub.settings))
    if consent is not None:
        session.set_consent(consent)
    return web.json_response(describe(session, hub), status=201, headers={"Cache-Control": "no-store"})


async def status(request: web.Request) -> web.Response:
    hub = request.app[HUB]
    session_id = query_text(request, "session")
    if session_id is None:
        raise BadRequest("Say which session: /session/status?session=ID.", code="SESSION_MISSING")
    return web.json_response(describe(hub.find(session_id), hub), headers={"Cache-Control": "no-store"})


def describe(session: Session, hub: Hub) -> dict[str, Any]:
    """What a session's owner may know of it."""
    now = hub.clock()
    connected = session.line is not None
    left_s = None
    if not connected and session.lost_at_s is not None:
        left_s = max(0.0, session.lost_at_s + hub.settings.resume_secs - now)
    return {
        "sessionId": session.id,
        "speaker": session.speaker,
        "sourceLang": session.source,
        "targetLang": session.target,
        "roomId": None if session.room.private else session.room.name,
        "state": "connected" if connected else "away" if session.was_connected else "created",
        "connected": connected,
        "consentGiven": session.consent.open,
        "expiresInSecs": None if left_s is None else round(left_s, 1),
        "ageSecs": round(now - session.started_s, 1),
        "finals": session.captions,
        "resumes": session.resumes,
    }
