"""What the server says of itself: health, languages, ICE servers, metrics, this description."""

from __future__ import annotations

from signaling.description.common import Json, errors, json_body, operation, ref

_NAMED: Json = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["code", "name"],
        "properties": {"code": {"type": "string"}, "name": {"type": "string"}},
    },
}

SCHEMAS: Json = {
    "Engine": {
        "type": "object",
        "required": [
            "stage",
            "name",
            "model",
            "state",
            "reason",
            "fetch",
            "offMachine",
            "version",
            "licence",
        ],
        "properties": {
            "stage": {"type": "string", "example": "recognize"},
            "name": {"type": "string"},
            "model": {"type": "string"},
            "state": {"type": "string", "example": "ready"},
            "reason": {"type": "string", "description": "Why this one runs, or why none does"},
            "fetch": {"type": ["string", "null"], "description": "The command that fetches what is missing"},
            "offMachine": {
                "type": ["string", "boolean", "null"],
                "description": "Whether speech or text leaves this machine, and where to",
            },
            "version": {"type": "string"},
            "licence": {"type": "string"},
        },
    },
    "Health": {
        "type": "object",
        "description": "Strangers, where keys are needed, get the required part only.",
        "required": ["status", "ready", "draining", "version", "consentRequired"],
        "properties": {
            "status": {"const": "ok"},
            "ready": {"type": "boolean", "description": "Whether a call would be taken now"},
            "draining": {"type": "boolean"},
            "version": {"type": "string"},
            "consentRequired": {"type": "boolean"},
            "sessions": {
                "type": "object",
                "required": ["active", "max"],
                "properties": {"active": {"type": "integer"}, "max": {"type": "integer"}},
            },
            "loopLagMs": {"type": "number"},
            "engines": {"type": "array", "items": ref("Engine")},
            "endpoints": {
                "type": "object",
                "description": "What other entrances say of themselves, by path",
                "additionalProperties": {"type": "object"},
            },
            "messages": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["level", "text"],
                    "properties": {
                        "level": {"enum": ["info", "warning", "error"]},
                        "text": {"type": "string"},
                    },
                },
            },
        },
    },
    "Languages": {
        "type": "object",
        "required": ["sources", "targets", "pairs", "defaults"],
        "properties": {
            "sources": _NAMED,
            "targets": _NAMED,
            "pairs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["source", "target", "by", "steps", "quality", "voice", "note"],
                    "properties": {
                        "source": {"type": "string"},
                        "target": {"type": "string"},
                        "by": {"type": "string", "description": "The engines on the way"},
                        "steps": {"type": "integer"},
                        "quality": {"type": ["number", "string"]},
                        "voice": {
                            "type": ["string", "null"],
                            "description": "Who speaks; null: captions only",
                        },
                        "note": {"type": "string"},
                    },
                },
            },
            "defaults": {
                "type": "object",
                "required": ["source", "target"],
                "properties": {"source": {"type": "string"}, "target": {"type": "string"}},
            },
        },
    },
    "IceServers": {
        "type": "object",
        "required": ["iceServers"],
        "properties": {
            "iceServers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["urls"],
                    "properties": {
                        "urls": {"type": "array", "items": {"type": "string"}},
                        "username": {"type": "string", "description": "`<unix expiry>:<user>`"},
                        "credential": {"type": "string"},
                    },
                },
            }
        },
    },
}

PATHS: Json = {
    "/health": {
        "get": operation(
            "server",
            "health",
            "How the server is",
            {
                "200": {"description": "It serves", "content": json_body(ref("Health"))},
                "503": {
                    "description": "Asked with `ready=1`: it serves, but a call would not be taken now.",
                    "content": json_body(ref("Health")),
                },
                **errors(400),
            },
            parameters=(
                {
                    "name": "ready",
                    "in": "query",
                    "description": "1: answer 503 while a call would not be taken.",
                    "schema": {"enum": ["0", "1", "false", "true", ""]},
                },
            ),
            public=True,
        )
    },
    "/languages": {
        "get": operation(
            "server",
            "languages",
            "The pairs of languages that work here, and by what",
            {"200": {"description": "The pairs", "content": json_body(ref("Languages"))}},
        )
    },
    "/ice-servers": {
        "get": operation(
            "server",
            "iceServers",
            "STUN and TURN servers for RTCPeerConnection",
            {
                "200": {
                    "description": "With credentials that last for TURN_TTL_SECS",
                    "content": json_body(ref("IceServers")),
                }
            },
        )
    },
    "/metrics": {
        "get": operation(
            "server",
            "metrics",
            "Prometheus metrics",
            {
                "200": {
                    "description": "The text format of Prometheus",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                },
                **errors(404),
            },
        )
    },
    "/openapi.json": {
        "get": operation(
            "server",
            "openapi",
            "This description",
            {"200": {"description": "OpenAPI 3.1", "content": json_body({"type": "object"})}},
            public=True,
        )
    },
}
