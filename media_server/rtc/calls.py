"""Calls: where peer connections and sessions meet. An offer makes both; a later offer may bring a session back."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from aiortc import RTCIceServer

from media_server import captions
from media_server.clock import wall
from media_server.config import Settings
from media_server.engines.base import Pcm
from media_server.errors import PeerError
from media_server.events import RoomEvent, Spoken
from media_server.ice import turn_credentials
from media_server.pipeline.denoise import make_denoiser
from media_server.rooms.hub import Hub
from media_server.rooms.session import Session
from media_server.rtc.peer import Peer, RtcConfig
from media_server.tasks import TaskOwner

logger = logging.getLogger(__name__)

SERVER_TURN_S = 10 * 365 * 86_400  # the server's own TURN name lives as long as the process
LEFT = frozenset({"bye", "closed by peer"})
"""Reasons of ``on_closed`` that mean the person has left: the session is not kept for them to come back."""


@dataclass(frozen=True, slots=True)
class Call:
    session: Session
    answer_sdp: str


class _Connection:
    """One peer connection of a session: the peer's handler, and the session's line."""

    def __init__(self, session: Session, calls: Calls) -> None:
        self._session = session
        self._calls = calls
        self.peer: Peer | None = None

    # -- handler of the peer ------------------------------------------------------------------------------------

    def on_audio(self, pcm: Pcm) -> None:
        if self._session.line is self:
            self._session.on_audio(pcm)

    def on_gap(self, milliseconds: int) -> None:
        if self._session.line is self:
            self._session.interpreter.skip(milliseconds)

    def on_text(self, channel: str, text: str) -> None:
        if self._session.line is self:
            self._session.on_text(text)

    def on_channel_open(self, channel: str) -> None:
        if self._session.line is self:
            self._session.greet()

    def on_connected(self) -> None:
        if self._session.line is self:
            self._calls.connected(self._session)

    def on_played(self, pcm: Pcm, at_s: float) -> None:
        interpreter = self._session.interpreter
        if (
            self._session.line is self and interpreter.on_clean is None
        ):  # a loopback is no echo of its microphone
            interpreter.played(pcm, at_s)

    def on_closed(self, reason: str) -> None:
        self._calls.closed(self, self._session, reason)

    # -- line of the session ------------------------------------------------------------------------------------

    def tell(self, event: RoomEvent) -> None:
        self.send_text(captions.encode(event))

    def send_text(self, text: str) -> None:
        if self.peer is not None:
            self.peer.send_text(text)

    def play(self, spoken: Spoken, speaker: str) -> None:
        if self.peer is None:
            return
        self.peer.speech.play(spoken.pcm, clip=f"{speaker}:{spoken.utterance}", last=spoken.last)
        hub = self._calls.hub
        for ended_at_s in spoken.ended_at_s:
            hub.metrics.e2e.observe(max(0.0, hub.clock() - ended_at_s) * 1000)

    def push_frame(self, pcm: Pcm) -> None:
        if self.peer is not None:
            self.peer.speech.push_frame(pcm)

    def set_muted(self, muted: bool) -> None:
        if self.peer is not None:
            self.peer.muted = muted

    def replaced(self) -> None:
        self._calls.replaced(self)


def _own_ice_servers(settings: Settings) -> tuple[RTCIceServer, ...]:
    """The server's own; TURN first, since aioice uses one of them. Credentials are made anew at each start."""
    servers = []
    for url in sorted(settings.rtc_ice_servers, key=lambda url: not url.startswith("turn")):
        if url.startswith("turn") and settings.turn_secret:
            username, credential = turn_credentials(
                settings.turn_secret, "server", int(wall()) + SERVER_TURN_S
            )
            servers.append(RTCIceServer(url, username, credential))
        else:
            servers.append(RTCIceServer(url))
    return tuple(servers)


class Calls:
    """Answers offers. ``stop`` closes every connection; sessions are the hub's."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        settings = hub.settings
        denoiser = make_denoiser(
            settings.enable_rnnoise, settings.noise_gate_threshold, settings.noise_gate_attenuation
        )
        self.denoiser = (denoiser.name, denoiser.reason)
        denoiser.close()
        self._config = RtcConfig.from_settings(settings, _own_ice_servers(settings))
        self._connections: set[_Connection] = set()
        self._tasks = TaskOwner("calls")

    async def answer(
        self,
        sdp: str,
        *,
        address: str,
        source: str | None,
        target: str | None,
        room: str | None,
        session_id: str | None,
        consent: bool | None,
    ) -> Call:
        """A new call, or a new connection of an old one. Raises PeerError with words for people.

        A session id that is not known (any more) starts a new session: the page goes on either way.
        """
        hub = self.hub
        session = self._find(session_id)
        is_new = session is None
        if session is None:
            session = hub.open(source=source, target=target, room=room, address=address)
        elif hub.draining and (refusal := hub.refusal()) is not None:
            raise refusal
        else:
            hub.check_source(source)
            session.set_languages(source, target)
        if consent is not None:
            session.set_consent(consent)
        connection = _Connection(session, self)
        try:
            connection.peer = await Peer.accept(sdp, connection, self._config, hub.metrics, address=address)
        except BaseException as error:
            if is_new:
                await hub.end(session, "refused" if isinstance(error, PeerError) else "failed")
            raise
        self._connections.add(connection)
        session.hears_itself = False
        session.attach(connection, connected=False)
        return Call(session, connection.peer.answer_sdp)

    def _find(self, session_id: str | None) -> Session | None:
        if not session_id:
            return None
        return next((session for session in self.hub if session.id == session_id), None)

    def connected(self, session: Session) -> None:
        """An answered offer has become a call."""
        logger.info(
            "call resumed" if session.was_connected else "call started",
            extra={"source": session.source, "target": session.target, "sessions": len(self.hub)},
        )
        session.confirm()

    def closed(self, connection: _Connection, session: Session, reason: str) -> None:
        """A connection has ended, whatever ended it. A call that never came to be leaves its place at once."""
        self._connections.discard(connection)
        if not session.detach(connection):
            return
        if not session.was_connected:
            self._tasks.start(self.hub.end(session, "never connected"), "end")
        elif reason in LEFT or self.hub.draining:
            self._tasks.start(self.hub.end(session, "left" if reason in LEFT else "drained"), "end")

    def replaced(self, connection: _Connection) -> None:
        """The session of this connection has another one now."""
        if connection.peer is not None:
            self._tasks.start(connection.peer.close("replaced"), "replace")

    async def stop(self) -> None:
        """Closes every connection. Idempotent."""
        for connection in list(self._connections):
            if connection.peer is not None:
                await connection.peer.close("server stopped")
        await self._tasks.stop()
