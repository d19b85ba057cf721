"""Calls over WebRTC, and sessions."""

from __future__ import annotations

from signaling.description.common import ROOM_QUERY, SESSION_QUERY, Json, errors, json_body, operation, ref

EXAMPLE_SDP = "\r\n".join(
    (
        "v=0",
        "o=- 3955300000 3955300000 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 96",
        "c=IN IP4 0.0.0.0",
        "a=sendrecv",
        "a=mid:0",
        "a=rtcp-mux",
        "a=rtpmap:96 opus/48000/2",
        "a=ice-ufrag:kUkP",
        "a=ice-pwd:pPaH4ccw0XyTTrXrZ5zgOk",
        "a=fingerprint:sha-256 " + ":".join(f"{number:02X}" for number in range(0x40, 0x60)),
        "a=setup:actpass",
        "",
    )
)

_SESSION: Json = {
    "sessionId": {
        "type": "string",
        "minLength": 22,
        "description": "`?session=` on `/offer` and on the WebSockets. Whoever has it may take the session over.",
    },
    "speaker": {"type": "string", "description": "The name of this person in captions"},
    "sourceLang": {"type": "string"},
    "targetLang": {"type": "string"},
    "roomId": {"type": ["string", "null"], "description": "None: a private room"},
}

_ASKED: Json = {
    "sourceLang": ref("SourceLanguage"),
    "targetLang": ref("TargetLanguage"),
    "roomId": ref("RoomId"),
    "consent": {
        "type": ["boolean", "null"],
        "description": "Agrees to being heard, where the server asks for consent.",
    },
}

SCHEMAS: Json = {
    "Offer": {
        "type": "object",
        "required": ["sdp", "type"],
        "properties": {
            "sdp": {
                "type": "string",
                "minLength": 1,
                "description": "An SDP offer with one audio section or more (RFC 8829), at most 32 KiB",
            },
            "type": {"const": "offer"},
            "sessionId": {
                "type": ["string", "null"],
                "maxLength": 128,
                "description": "A session to come back to, or made before; an unknown one starts a new session.",
            },
            **_ASKED,
        },
    },
    "Answer": {
        "type": "object",
        "required": ["sdp", "type", *_SESSION, "engines"],
        "properties": {
            "sdp": {"type": "string", "description": "The SDP answer, candidates included"},
            "type": {"const": "answer"},
            **_SESSION,
            "engines": {
                "type": "object",
                "description": "Which engine does what",
                "additionalProperties": {"type": "string"},
            },
        },
    },
    "SessionRequest": {"type": "object", "properties": _ASKED},
    "Session": {
        "type": "object",
        "required": [
            *_SESSION,
            "state",
            "connected",
            "consentGiven",
            "expiresInSecs",
            "ageSecs",
            "finals",
            "resumes",
        ],
        "properties": {
            **_SESSION,
            "state": {
                "enum": ["created", "connected", "away"],
                "description": "`created`: no connection yet; `away`: the connection was lost.",
            },
            "connected": {"type": "boolean"},
            "consentGiven": {
                "type": "boolean",
                "description": "Sound is taken: consent was given, or the server does not ask for it.",
            },
            "expiresInSecs": {
                "type": ["number", "null"],
                "minimum": 0,
                "description": "When the session ends unless a connection comes; null while there is one.",
            },
            "ageSecs": {"type": "number", "minimum": 0},
            "finals": {"type": "integer", "minimum": 0, "description": "Final captions given to it so far"},
            "resumes": {"type": "integer", "minimum": 0, "description": "How often it has come back"},
        },
    },
}

PATHS: Json = {
    "/offer": {
        "post": operation(
            "calls",
            "offer",
            "An SDP offer for an answer: a call over WebRTC",
            {
                "200": {"description": "The call is taken", "content": json_body(ref("Answer"))},
                **errors(400, 408, 413, 415, 429, 503),
            },
            description="Captions and control go over the data channels that the client opens. An offer that is no "
            "SDP, or has no audio, is refused with 400.",
            parameters=(ROOM_QUERY, SESSION_QUERY),
            body=json_body(
                ref("Offer"),
                plain={"sdp": EXAMPLE_SDP, "type": "offer"},
                interpreted={
                    "sdp": EXAMPLE_SDP,
                    "type": "offer",
                    "sourceLang": "en",
                    "targetLang": "es",
                    "roomId": "standup",
                },
            ),
        )
    },
    "/session/create": {
        "post": operation(
            "sessions",
            "createSession",
            "A session before its connection",
            {
                "201": {
                    "description": "It waits for a connection for as long as `expiresInSecs` says.",
                    "content": json_body(ref("Session")),
                    "links": {
                        "status": {
                            "operationId": "sessionStatus",
                            "parameters": {"session": "$response.body#/sessionId"},
                        }
                    },
                },
                **errors(400, 408, 413, 415, 429, 503),
            },
            parameters=(ROOM_QUERY,),
            body=json_body(
                ref("SessionRequest"), defaults={}, spanish={"targetLang": "es", "roomId": "standup"}
            ),
            body_required=False,
        )
    },
    "/session/status": {
        "get": operation(
            "sessions",
            "sessionStatus",
            "How a session is",
            {
                "200": {"description": "The session", "content": json_body(ref("Session"))},
                **errors(400, 404),
            },
            parameters=(
                SESSION_QUERY
                | {"required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 128}},
            ),
        )
    },
}
