"""OpenAI's audio API, as far as this server has it."""

from __future__ import annotations

from signaling.description.common import Json, errors, json_body, operation, ref

_FORMATS = ["json", "text", "srt", "verbose_json", "vtt"]
_SOUNDS = {
    "audio/mpeg": "mp3",
    "audio/ogg": "opus",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/pcm": "pcm",
}

SCHEMAS: Json = {
    "Recording": {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {
                "type": "string",
                "format": "binary",
                "description": "WAV, MP3, Ogg, FLAC, AAC, MP4 or WebM; at most 25 MB and 10 minutes",
            },
            "model": {"type": "string", "description": "Any: what runs is the server's choice"},
            "language": {
                "type": "string",
                "maxLength": 35,
                "description": "The language spoken, ISO 639-1; none or `auto`: found out",
            },
            "prompt": {"type": "string", "description": "Names and terms that occur"},
            "response_format": {"enum": _FORMATS, "default": "json"},
            "consent": {
                "enum": ["true", "granted", "1"],
                "description": "Everybody who speaks in it has agreed; the header `X-Consent: granted` says so, too",
            },
        },
    },
    "Transcript": {
        "type": "object",
        "required": ["text"],
        "properties": {
            "text": {"type": "string"},
            "task": {"enum": ["transcribe", "translate"], "description": "This and the next: `verbose_json`"},
            "language": {"type": "string", "example": "english"},
            "duration": {"type": "number", "description": "Seconds"},
            "segments": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["id", "start", "end", "text", "avg_logprob", "no_speech_prob"],
                    "properties": {
                        "id": {"type": "integer"},
                        "start": {"type": "number"},
                        "end": {"type": "number"},
                        "text": {"type": "string"},
                        "avg_logprob": {"type": "number"},
                        "no_speech_prob": {"type": "number"},
                    },
                },
            },
        },
    },
    "Speech": {
        "type": "object",
        "required": ["input"],
        "properties": {
            "model": {"description": "Any: what runs is the server's choice"},
            "input": {"type": "string", "minLength": 1, "maxLength": 4096},
            "voice": {
                "type": ["string", "null"],
                "maxLength": 128,
                "description": "A language (`es`) or a voice that begins with one (`es_ES-davefx-medium`); others are "
                "taken as no choice",
            },
            "language": {
                "type": ["string", "null"],
                "maxLength": 35,
                "description": "The text's language; it wins over the voice. Neither: DEFAULT_TGT_LANG",
            },
            "response_format": {"enum": list(_SOUNDS.values()), "default": "mp3"},
            "speed": {"type": "number", "minimum": 0.25, "maximum": 4.0, "default": 1.0},
            "stream_format": {"const": "audio"},
        },
        "example": {"model": "tts-1", "input": "Good morning.", "voice": "en", "response_format": "wav"},
    },
    "Model": {
        "type": "object",
        "required": ["id", "object", "created", "owned_by"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
        },
    },
}


def _recording(name: str, summary: str) -> Json:
    return operation(
        "openai",
        name,
        summary,
        {
            "200": {
                "description": "The text, in the form that was asked for",
                "content": {
                    **json_body(ref("Transcript")),
                    "text/plain": {"schema": {"type": "string"}},
                    "text/vtt": {"schema": {"type": "string"}},
                },
            },
            **errors(400, 403, 408, 413, 415, 429, 503),
        },
        description="Recognized behind live calls, window after window. As OpenAI's endpoint of this name.",
        body={"multipart/form-data": {"schema": ref("Recording")}},
    )


PATHS: Json = {
    "/v1/audio/transcriptions": {"post": _recording("transcriptions", "A recording as text")},
    "/v1/audio/translations": {"post": _recording("translations", "A recording as English text")},
    "/v1/audio/speech": {
        "post": operation(
            "openai",
            "speech",
            "A text as sound",
            {
                "200": {
                    "description": "Sound at 24 kHz, sent as it is made (WAV as a whole)",
                    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _SOUNDS},
                },
                **errors(400, 408, 413, 415, 429, 503),
            },
            description="Spoken behind live calls. As OpenAI's endpoint of this name.",
            body=json_body(ref("Speech")),
        )
    },
    "/v1/models": {
        "get": operation(
            "openai",
            "models",
            "The models that are loaded",
            {
                "200": {
                    "description": "Recognizers and voices, best first",
                    "content": json_body(
                        {
                            "type": "object",
                            "required": ["object", "data"],
                            "properties": {
                                "object": {"const": "list"},
                                "data": {"type": "array", "items": ref("Model")},
                            },
                        }
                    ),
                }
            },
        )
    },
    "/v1/models/{model}": {
        "get": operation(
            "openai",
            "model",
            "One of them",
            {"200": {"description": "The model", "content": json_body(ref("Model"))}, **errors(404)},
            parameters=(
                {
                    "name": "model",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1},
                    "example": "faster-whisper-base-int8",
                },
            ),
        )
    },
}
