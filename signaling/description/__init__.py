"""The OpenAPI description of every HTTP endpoint, served at ``/openapi.json``.

One module an area, each with ``PATHS`` (as OpenAPI's *paths*) and ``SCHEMAS`` (names of its own); ``AREAS`` lists
them. A test asks for every route of the application here, and schemathesis asks the server to do what this says.
"""

from __future__ import annotations

from media_server import __version__
from media_server.config import Settings
from signaling.description import calls, common, openai, pages, server
from signaling.description.common import Json

AREAS = (pages, calls, openai, server)

ABOUT = (
    "A live interpreter: a microphone goes in over WebRTC or a WebSocket, captions and a spoken translation come "
    'back. Refusals are JSON, `{"error": {"code", "message"}}`. Methods that an endpoint does not have get 405 with '
    "`Allow`, paths that do not exist 404."
)


def describe(settings: Settings) -> Json:
    """The description of a server with these settings: without ``API_KEYS`` nothing asks for a key."""
    paths: Json = {}
    schemas: Json = {}
    for area in (common, *AREAS):
        paths |= getattr(area, "PATHS", {})
        schemas |= getattr(area, "SCHEMAS", {})
    described: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Meeting voice language",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if settings.api_keys:
        described["components"]["securitySchemes"] = {
            "header": {"type": "http", "scheme": "bearer", "description": "One of the server's API_KEYS"},
            "query": {
                "type": "apiKey",
                "in": "query",
                "name": "token",
                "description": "The same key, for pages and WebSockets, which cannot set headers",
            },
        }
        described["security"] = [{"header": []}, {"query": []}]
    return described
