"""A server on 127.0.0.1 that plays Google Translate's endpoint for speech, well and badly.

It speaks the request of gTTS (a form with nested JSON) and the answer that gTTS reads. What it says is real speech,
by espeak-ng, as MP3, so that loudness and length can be tested.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

import av
import numpy as np

from media_server.audio.frames import Pcm
from media_server.engines.base import VOICE_RATE
from tests.support.espeak_says import espeak
from tests.support.server import free_port

MP3_RATE = 24_000


class Google:
    """``mode`` says how the next requests are answered: see ``_Handler.do_POST``. ``asked`` holds (code, text)."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.asked: list[tuple[str, str]] = []
        self.gone = threading.Event()
        """Set at the end: answers that go on and on stop."""

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def refusing_url(self) -> str:
        """Where nobody listens."""
        return f"http://127.0.0.1:{free_port()}"


class _Handler(BaseHTTPRequestHandler):
    owner: Google

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        (((_, parameters, _, _),),) = json.loads(parse_qs(body)["f.req"][0])
        text, code, _, _ = json.loads(parameters)
        self.owner.asked.append((code, text))
        mode = self.owner.mode
        if mode == "ok once":
            self.owner.mode = "500"
        try:
            self._answer(mode, code, text)
        except OSError:
            pass  # the client has had enough

    def _answer(self, mode: str, code: str, text: str) -> None:
        match mode:
            case "429" | "500" | "403":
                self.send_error(int(mode))
            case "silent":  # accepts and says nothing
                self.owner.gone.wait(30)
            case "drip":  # a byte now and then, for ever
                self.send_response(200)
                self.end_headers()
                while not self.owner.gone.wait(0.2):
                    self.wfile.write(b" ")
                    self.wfile.flush()
            case "huge":
                self.send_response(200)
                self.end_headers()
                for _ in range(200):
                    self.wfile.write(b"x" * 100_000)
            case "redirect":
                self.send_response(302)
                self.send_header("Location", self.owner.url + "/elsewhere")
                self.end_headers()
            case "chunked":  # as Google sends it
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                body = _envelope(say(text, code))
                for start in range(0, len(body), 1000):
                    piece = body[start : start + 1000]
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")
            case "cut off":  # the connection breaks in the middle
                body = _envelope(say(text, code))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
            case "no speech":
                self._send(b'[["wrb.fr","jQ1olc","[]",null,null,null,"generic"]]')
            case "garbage":
                self._send(_envelope(b"this is no MP3" * 100))
            case "not utf-8":
                self._send(b"jQ1olc \xff\xfe\xfa")
            case "an hour":
                self._send(_envelope(mp3(np.zeros(MP3_RATE * 90, np.int16))))
            case _:
                self._send(_envelope(say(text, code)))

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def _envelope(clip: bytes) -> bytes:
    """What Google's batchexecute answers: a line of JSON in which the clip is quoted JSON."""
    quoted = json.dumps([base64.b64encode(clip).decode()])
    row = json.dumps([["wrb.fr", "jQ1olc", quoted, None, None, None, "generic"]], separators=(",", ":"))
    return b")]}'\n\n" + row.encode() + b"\n"


def say(text: str, code: str) -> bytes:
    """The text in real speech, as MP3; half as loud as voices of this project, as Google's is."""
    language = {"iw": "he", "jw": "jv", "zh-cn": "zh", "zh-tw": "zh", "tl": "en"}.get(
        code.lower(), code.split("-", maxsplit=1)[0]
    )
    sound = espeak(text, language)
    return mp3((sound[:: VOICE_RATE // MP3_RATE] // 2).astype(np.int16))


def mp3(pcm: Pcm) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as container:
        stream: Any = container.add_stream("libmp3lame", rate=MP3_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = MP3_RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return out.getvalue()
