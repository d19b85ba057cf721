"""A server for the page whose every word a test decides: the wire of a real one, without engines.

It serves the page's own files with the real headers and answers offers with a real peer connection, so that the page
cannot tell it from a server. That both speak the same wire is held by the tests that run the page against the server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack

from signaling.headers import HEADERS

WEB = Path(__file__).resolve().parents[2] / "web"

LANGUAGES: dict[str, Any] = {
    "sources": [
        {"code": code, "name": name}
        for code, name in (
            ("ar", "Arabic"),
            ("en", "English"),
            ("fr", "French"),
            ("hi", "Hindi"),
            ("es", "Spanish"),
        )
    ],
    "targets": [
        {"code": code, "name": name}
        for code, name in (("ar", "Arabic"), ("en", "English"), ("fr", "French"), ("es", "Spanish"))
    ],
    "pairs": [
        {"source": source, "target": target, "by": by, "steps": steps, "voice": voice, "note": ""}
        for source, target, by, steps, voice in (
            ("en", "es", "Apertium", 1, "espeak-ng"),
            ("es", "en", "Apertium", 1, "Piper"),
            ("en", "fr", "Apertium", 2, "espeak-ng"),
            ("fr", "en", "Whisper", 1, "Piper"),
            ("ar", "en", "Whisper", 1, "Piper"),
            ("hi", "en", "Whisper", 1, "Piper"),
            ("en", "ar", "Marian", 1, "espeak-ng"),
        )
    ],
    "defaults": {"source": "auto", "target": "en"},
}


def engine(stage: str, name: str, model: str = "", state: str = "ready", **more: Any) -> dict[str, Any]:
    """One entry of ``engines`` in ``/health``."""
    entry = {"stage": stage, "name": name, "model": model, "state": state, "reason": "", "fetch": None}
    return entry | {"offMachine": None} | more


def healthy() -> dict[str, Any]:
    """``/health`` of a server on which everything runs."""
    return {
        "status": "ok",
        "ready": True,
        "draining": False,
        "version": "0.1.0",
        "consentRequired": False,
        "sessions": {"active": 1, "max": 16},
        "engines": [
            engine("recognize", "faster-whisper", "base int8", reason="the best that is installed"),
            engine("translate", "Apertium", "en-es", reason="the only one installed for these languages"),
            engine("speak", "espeak-ng", reason="no Piper voice for this language"),
            engine("denoise", "rnnoise", reason="int8 weights of its own library"),
            engine("turn", "Smart Turn", "v3.2"),
        ],
        "messages": [],
    }


class ScriptedServer:
    """Owned by a fixture: ``start`` before the test, ``stop`` after it. Everything else is for the test to say."""

    def __init__(self) -> None:
        self.health = healthy()
        self.languages = LANGUAGES
        self.refusals: list[web.Response] = []
        """Answers to the next offers instead of a call; the first one first."""
        self.key: str | None = None
        """When set, everything but the page itself asks for this bearer key."""
        self.offers: list[dict[str, Any]] = []
        self.queries: list[dict[str, str]] = []
        self.messages: list[dict[str, Any]] = []
        """Control messages from the page, oldest first."""
        self.resumes = True
        self.silent = False
        """No pong any more: what a page sees of a network that is gone."""
        self.rewrite: Callable[[dict[str, str]], Awaitable[None]] | None = None
        """Changes an answer before it is sent."""
        self.track: Callable[[], MediaStreamTrack] = AudioStreamTrack
        self.url = ""
        self._calls: list[RTCPeerConnection] = []
        self._channel: RTCDataChannel | None = None
        self._sessions = 0
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_static("/static", WEB)
        app.router.add_get("/health", self._health)
        app.router.add_get("/languages", self._languages)
        app.router.add_get("/ice-servers", self._ice_servers)
        app.router.add_post("/offer", self._offer)
        app.on_response_prepare.append(_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "0.0.0.0", port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://localhost:{port}/"

    async def stop(self) -> None:
        await self.hang_up()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def hang_up(self) -> None:
        """Ends all calls without a word."""
        calls, self._calls = self._calls, []
        self._channel = None
        await asyncio.gather(*(asyncio.wait_for(call.close(), 5) for call in calls))

    def say(self, kind: str, **fields: Any) -> None:
        """Sends one message of PROTOCOLS.md, section 5, to the page."""
        assert self._channel is not None, "the page has no data channel"
        self._channel.send(json.dumps({"type": kind} | fields))

    def partial(self, utterance: str, text: str, translation: str = "", **fields: Any) -> None:
        self.say("partial", **_caption(utterance, text, translation, fields))

    def final(self, utterance: str, text: str, translation: str = "", **fields: Any) -> None:
        self.say("final", **_caption(utterance, text, translation, fields))

    @property
    def connected(self) -> bool:
        return self._channel is not None and self._channel.readyState == "open"

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(WEB / "index.html")

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.key is None or request.headers.get("Authorization") == f"Bearer {self.key}":
            return None
        return refusal(401, "UNAUTHORIZED", "A key is needed.")

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response(self.health)

    async def _languages(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response(self.languages)

    async def _ice_servers(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"iceServers": []})

    async def _offer(self, request: web.Request) -> web.Response:
        offer = await request.json()
        self.offers.append(offer)
        self.queries.append(dict(request.query))
        if (refused := self._refused(request)) is not None:
            return refused
        if self.refusals:
            return self.refusals.pop(0)
        call = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._calls.append(call)
        call.on("datachannel", self._on_channel)
        await call.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        call.addTrack(self.track())
        await call.setLocalDescription(await call.createAnswer())
        session = offer.get("sessionId")
        if not (session and self.resumes):
            self._sessions += 1
            session = f"session-{self._sessions}"
        answer = {"sdp": call.localDescription.sdp, "type": "answer", "sessionId": session}
        if self.rewrite is not None:
            await self.rewrite(answer)
        return web.json_response(answer | {"sourceLang": "auto", "targetLang": "en", "roomId": None})

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel

        def receive(text: str) -> None:
            if self.silent:
                return
            if text.startswith("ping "):
                channel.send(f"pong {text[5:]}")
                return
            message = json.loads(text)
            self.messages.append(message)
            if message["type"] == "config":
                channel.send('{"type":"ack"}')

        channel.on("message", receive)


def refusal(status: int, code: str, message: str, retry_after_s: int | None = None) -> web.Response:
    """An error as the server's edge words it."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return web.json_response({"error": {"code": code, "message": message}}, status=status, headers=headers)


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _caption(utterance: str, text: str, translation: str, fields: dict[str, Any]) -> dict[str, Any]:
    caption: dict[str, Any] = {
        "id": utterance,
        "speaker": "a1",
        "text": text,
        "lang": "en",
        "translation": translation,
        "target_lang": "es",
        "start_ms": 1000,
        "end_ms": 2000,
        "revision": 1,
    }
    return caption | fields
