"""A transcript in the formats of OpenAI's transcription API. Pure."""

from __future__ import annotations

import json
from typing import Any

from media_server.names import language_name
from media_server.uploads.transcribe import Transcript

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")


def render(transcript: Transcript, form: str, task: str) -> tuple[str, str]:
    """(text, media type) of one of ``FORMATS``; ``task`` is "transcribe" or "translate"."""
    match form:
        case "text":
            return f"{transcript.text}\n", "text/plain"
        case "srt":
            return _subtitles(transcript, ",", numbered=True), "text/plain"
        case "vtt":
            return f"WEBVTT\n\n{_subtitles(transcript, '.', numbered=False)}", "text/vtt"
        case "verbose_json":
            return json.dumps(_verbose(transcript, task), ensure_ascii=False), "application/json"
        case _:
            return json.dumps({"text": transcript.text}, ensure_ascii=False), "application/json"


def _verbose(transcript: Transcript, task: str) -> dict[str, Any]:
    """Keys that the recognizer here has no value for are there with a neutral one: clients ask for them."""
    return {
        "task": task,
        "language": language_name(transcript.language).lower(),
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
        "segments": [
            {
                "id": number,
                "seek": 0,
                "start": round(line.start_s, 3),
                "end": round(line.end_s, 3),
                "text": line.text,
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": line.avg_logprob,
                "compression_ratio": 1.0,
                "no_speech_prob": line.no_speech_prob,
            }
            for number, line in enumerate(transcript.lines)
        ],
    }


def _subtitles(transcript: Transcript, point: str, *, numbered: bool) -> str:
    blocks = []
    for number, line in enumerate(transcript.lines, 1):
        head = f"{number}\n" if numbered else ""
        # An arrow inside a text would be read as times (WebVTT, section 4.1).
        text = line.text.replace("-->", "->")
        blocks.append(f"{head}{_time(line.start_s, point)} --> {_time(line.end_s, point)}\n{text}\n")
    return "\n".join(blocks)


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
