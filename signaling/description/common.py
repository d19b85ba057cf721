"""What the areas of the description share: schemas, errors, and short ways to write an operation down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

type Json = dict[str, Any]

LANGUAGE = r"^[A-Za-z]{2,3}([-_][A-Za-z0-9_-]*)?$"
SOURCE_LANGUAGE = r"^([A-Za-z]{2,3}|[Aa][Uu][Tt][Oo])([-_][A-Za-z0-9_-]*)?$"
"""As ``media_server.languages.language_code`` reads them: the region is allowed and left out."""
TEXT_LIMIT = 128  # room names and session ids, characters

ROOM_QUERY: Json = {
    "name": "room",
    "in": "query",
    "description": "The room to enter; it wins over `roomId`. Without one the call is private.",
    "schema": {"type": "string", "maxLength": TEXT_LIMIT},
    "example": "standup",
}
SESSION_QUERY: Json = {
    "name": "session",
    "in": "query",
    "description": "The id of a session made before.",
    "schema": {"type": "string", "maxLength": TEXT_LIMIT},
}

SCHEMAS: Json = {
    "Error": {
        "type": "object",
        "description": "Every refusal: a code for programs and words for people.",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$", "example": "INVALID_JSON"},
                    "message": {"type": "string", "minLength": 1},
                },
            }
        },
    },
    "SourceLanguage": {
        "description": "The language spoken, ISO 639, with or without a region; `auto` finds it out. One that the "
        "recognizer does not understand is refused (`/languages` lists them).",
        "anyOf": [
            {"type": "string", "pattern": SOURCE_LANGUAGE, "maxLength": 35},
            {"type": "string", "maxLength": 0},
            {"type": "null"},
        ],
        "example": "auto",
    },
    "TargetLanguage": {
        "description": "The language heard and read, ISO 639, with or without a region.",
        "anyOf": [
            {"type": "string", "pattern": LANGUAGE, "maxLength": 35},
            {"type": "string", "maxLength": 0},
            {"type": "null"},
        ],
        "example": "es",
    },
    "RoomId": {
        "description": "The room to enter. None: a private one.",
        "type": ["string", "null"],
        "maxLength": TEXT_LIMIT,
        "example": "standup",
    },
}

_WORDS = {
    400: "The request does not say what is needed; the message says what is wrong.",
    401: "This server needs a key.",
    403: "Pages of this origin may not use this server.",
    404: "There is no such thing here (any more).",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is of a kind that is not understood here.",
    429: "Too many requests from this address.",
    503: "Those inside would suffer, or the server is about to stop; `Retry-After` says when to come again.",
}


def ref(name: str) -> Json:
    """A reference to a schema of the description."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_body(schema: Json, **examples: object) -> Json:
    """The ``content`` of a JSON body."""
    content: Json = {"schema": schema}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": content}


def errors(*statuses: int) -> Json:
    """The ``responses`` for refusals with these statuses."""
    responses: Json = {}
    for status in statuses:
        response: Json = {"description": _WORDS[status], "content": json_body(ref("Error"))}
        if status in {429, 503}:
            response["headers"] = {
                "Retry-After": {
                    "description": "Seconds",
                    "schema": {"type": "string", "pattern": "^[0-9]+$"},
                }
            }
        responses[str(status)] = response
    return responses


def operation(
    tag: str,
    name: str,
    summary: str,
    responses: Mapping[str, Json],
    *,
    description: str = "",
    parameters: tuple[Json, ...] = (),
    body: Json | None = None,
    body_required: bool = True,
    public: bool = False,
) -> Json:
    """One operation. ``public``: needs no key even where the server has some."""
    made: Json = {"tags": [tag], "operationId": name, "summary": summary}
    if description:
        made["description"] = description
    if parameters:
        made["parameters"] = list(parameters)
    if body is not None:
        made["requestBody"] = {"required": body_required, "content": body}
    made["responses"] = {**responses, **({} if public else errors(401, 403))}
    if public:
        made["security"] = []
    return made
