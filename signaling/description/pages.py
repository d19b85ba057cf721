"""The call page and its files."""

from __future__ import annotations

from signaling.description.common import Json, errors, operation

_NOT_MODIFIED: Json = {"description": "Unchanged since the visit that `If-Modified-Since` names."}

PATHS: Json = {
    "/": {
        "get": operation(
            "page",
            "page",
            "The call page",
            {"200": {"description": "HTML", "content": {"text/html": {}}}, "304": _NOT_MODIFIED},
            description="`?room=NAME` puts everyone who opens it into one room; `?token=KEY` where keys are needed.",
            public=True,
        )
    },
    "/static/{file}": {
        "get": operation(
            "page",
            "pageFile",
            "A file of the page",
            {
                "200": {"description": "The file", "content": {"*/*": {}}},
                "304": _NOT_MODIFIED,
                **errors(403, 404),
            },
            parameters=(
                {
                    "name": "file",
                    "in": "path",
                    "required": True,
                    "description": "Its path, which may have several parts.",
                    "schema": {"type": "string", "minLength": 1},
                    "example": "favicon.svg",
                },
            ),
            public=True,
        )
    },
    "/favicon.ico": {
        "get": operation(
            "page",
            "icon",
            "The page's icon",
            {
                "200": {"description": "The icon", "content": {"image/svg+xml": {}}},
                "304": _NOT_MODIFIED,
                **errors(404),
            },
            public=True,
        )
    },
}
