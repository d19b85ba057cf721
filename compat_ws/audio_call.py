"""One client of ``/ws/audio``: what it sends, what its session tells it. Knows no socket.

The dialect is chosen by what comes first (``config``: browser, ``start``: JSON, binary: legacy) and says how speech
goes back. Until then the client is in a room of its own, where nothing is said. Time is an argument.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Literal

from compat_ws import messages
from compat_ws.clips import Clip, Clips
from compat_ws.messages import Chunk, Configure, Consent, Heartbeat, HistoryRequest, PcmStream
from compat_ws.sending import Outbox
from media_server.clock import wall
from media_server.engines.base import Pcm
from media_server.errors import BadRequest
from media_server.events import Caption, Goodbye, Lost, RoomEvent, Spoken, Status
from media_server.rooms.channel import NOT_SPOKEN, SKIPPED
from media_server.rooms.hub import DEFAULT_ROOM, Hub
from media_server.rooms.session import Session

NO_AUDIO_S = 3.0
PAUSE_S = 1.0  # no audio for this long, beside the usual distance of chunks, ends what is being said
SLICE_S = 0.1  # a long message is heard in pieces, so that others are heard in between
BURST_S = 5.0  # of sound may come at once; more is taken at FASTEST times its speed
FASTEST = 4.0
CHUNKS = 4_096  # whose numbers are remembered: a minute and more
SHOWN = 512  # utterances whose final is remembered, so that it is sent once: more than may wait for a voice
NOTES_SAID = 64  # in one call
NO_SEQ = 0  # of speech that interprets somebody whose sound has no chunk numbers

type Dialect = Literal["browser", "json", "legacy"]

NOTES = {SKIPPED: "SPEECH_SKIPPED", NOT_SPOKEN: "NOT_SPOKEN"}
"""Codes of the notes in captions; any other note says why there is no translation."""


class AudioCall:
    """The line of a session. ``calls``: all of them by speaker, where a JSON client's chunk numbers are asked for."""

    def __init__(
        self,
        hub: Hub,
        session: Session,
        clips: Clips,
        outbox: Outbox,
        calls: dict[str, AudioCall],
        *,
        room: str | None,
        on_replaced: Callable[[], None],
        now: float,
    ) -> None:
        self.session = session
        self.dialect: Dialect | None = None
        self._hub = hub
        self._clips = clips
        self._outbox = outbox
        self._calls = calls
        self._url_room = room
        self._on_replaced = on_replaced
        self._entered = not session.room.private
        self._rate = messages.DEFAULT_RATE
        self._pcm = PcmStream()
        self._chunks: deque[tuple[int, int]] = deque(maxlen=CHUNKS)
        self._finals: OrderedDict[str, None] = OrderedDict()
        self._partial = ("", "", "")
        self._said: set[str] = set()
        self._credit_s = BURST_S
        self._credit_at = now
        self._active_at = now
        self._audio_at: float | None = None
        self._chunk_s = 0.0
        self._speaking = False
        self._waits_since: float | None = None
        calls[session.speaker] = self

    def close(self) -> None:
        """The connection is gone."""
        self._clips.leave(self)
        if self._calls.get(self.session.speaker) is self:
            del self._calls[self.session.speaker]

    # -- what the client sends ----------------------------------------------------------------------------------

    async def on_text(self, text: str, now: float) -> None:
        """A text message; a bad one is answered with an error."""
        self._active_at = now
        try:
            message = messages.load(text)
            match messages.kind(message):
                case "config":
                    self._choose("browser")
                case "start" | "audio_chunk":
                    self._choose("json")
            parsed = messages.parse(message)
            if isinstance(parsed, Configure):
                self._hub.check_source(parsed.source)
        except BadRequest as error:
            self._error(error.code, error.message)
            return
        match parsed:
            case Configure():
                await self._configure(parsed, now)
            case Chunk(pcm, seq, rate):
                await self._audio(pcm, rate or self._rate, now, seq)
            case Heartbeat(ts_ms):
                self._outbox.text(messages.pong(ts_ms))
            case HistoryRequest():
                room = None if self._entered else self._url_room or DEFAULT_ROOM
                items = self._hub.history(self.session, room).items(self.session.target, wall())
                self._outbox.text(messages.history(items))
            case Consent(granted):
                self._consent(granted)
                self._outbox.text(messages.ACK)

    async def on_binary(self, data: bytes, now: float) -> None:
        """Bare PCM16 at the rate of the last ``config`` or ``start``."""
        self._active_at = now
        self._choose("legacy")
        try:
            pcm, dropped = self._pcm.push(data)
        except BadRequest as error:
            self._error(error.code, error.message)
            return
        if dropped:
            self._error(
                "ODD_BYTES", "A message ended within a sample and the rest did not come: a byte was dropped."
            )
        await self._audio(pcm, self._rate, now, None)

    def _choose(self, dialect: Dialect) -> None:
        if self.dialect is None:
            self.dialect = dialect

    async def _configure(self, message: Configure, now: float) -> None:
        if message.rate is not None:
            self._rate = message.rate
        if message.consent is not None:
            self._consent(message.consent)
        if message.source is not None or message.target is not None:
            self.session.set_languages(message.source, message.target)
        await self._enter(message.room)
        self._outbox.text(messages.ACK)
        if self._audio_at is None:
            self._waits_since = now

    async def _enter(self, room: str | None) -> None:
        """Into the room that is named, at first into the default one. The URL's room wins: proxies route by it."""
        room = self._url_room or room
        if room is not None or not self._entered:
            await self._hub.move(self.session, room or DEFAULT_ROOM)
        self._entered = True

    def _consent(self, granted: bool) -> None:
        self.session.set_consent(granted)
        if not granted:
            self._clips.forget(self.session.speaker)

    async def _audio(self, pcm: Pcm, rate: int, now: float, seq: int | None) -> None:
        if not len(pcm):
            return
        if not self._entered:
            await self._enter(None)
        if not self._hub.fleet.recognizers:
            self._once("ASR_UNAVAILABLE", self._no_recognizer())
        session = self.session
        step = max(1, int(rate * SLICE_S))
        self._chunk_s = len(pcm) / rate
        for start in range(0, len(pcm), step):
            if start:
                await asyncio.sleep(self._wait_s(now))
            if session.line is not self:
                return
            piece = pcm[start : start + step]
            self._credit_s -= len(piece) / rate
            session.on_audio(piece, rate)
        self._audio_at = self._active_at = self._hub.clock()
        self._speaking = True
        if seq is not None:
            self._chunks.append((session.interpreter.position_ms, seq))
        if (wait_s := self._wait_s(now)) > 0:
            await asyncio.sleep(wait_s)

    def _wait_s(self, _: float) -> float:
        """How long the next piece has to wait: 0 for a microphone, more for a file that is sent at once."""
        now = self._hub.clock()
        earned = (now - self._credit_at) * FASTEST
        self._credit_s, self._credit_at = min(BURST_S, self._credit_s + earned), now
        return max(0.0, -self._credit_s / FASTEST)

    def _no_recognizer(self) -> str:
        missing = next((one for one in self._hub.fleet.missing() if one.stage == "recognize"), None)
        return missing.message if missing is not None else "No recognizer is installed on this server."

    # -- time ---------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """To be called a few times a second."""
        if self._audio_at is None:
            if self._waits_since is not None and now - self._waits_since >= NO_AUDIO_S:
                self._waits_since = None
                self._once_warning("NO_AUDIO", "No audio has come yet: is the microphone on and allowed?")
        elif self._speaking and now - self._audio_at > PAUSE_S + 1.5 * self._chunk_s:
            self._speaking = False
            self.session.interpreter.flush()

    def idle_s(self, now: float) -> float:
        """How long nothing has moved in either direction."""
        return now - self._active_at

    # -- line of the session ------------------------------------------------------------------------------------

    def tell(self, event: RoomEvent) -> None:
        match event:
            case Caption(final=True):
                self._final(event)
            case Caption():
                self._show_partial(event)
            case Lost():
                if event.speaker == self.session.speaker:
                    self._error(event.code, event.message)
            case Status(level="error"):
                self._error("ENGINE_FAILED", event.message)
            case Status(level="warning"):
                self._outbox.text(messages.warning("ENGINE_RESTARTING", event.message))
            case Goodbye():
                self._outbox.text(messages.warning("SERVER_RESTARTING", event.message))

    def send_text(self, text: str) -> None:
        self._outbox.text(text)

    def play(self, spoken: Spoken, speaker: str) -> None:
        self._clips.play(spoken, speaker, self, whole=self.dialect == "legacy")

    def push_frame(self, pcm: Pcm) -> None:
        """The loopback, which these dialects do not have."""

    def set_muted(self, muted: bool) -> None:
        """Nothing here depends on it."""

    def replaced(self) -> None:
        self._on_replaced()

    # -- what goes out ------------------------------------------------------------------------------------------

    def on_clip(self, clip: Clip) -> None:
        """A clip of speech, in this dialect's form."""
        self._active_at = self._hub.clock()
        if self.dialect != "json":
            self._outbox.audio(clip.mp3, clip.seconds)
            return
        speaker = self._calls.get(clip.speaker)
        seq = speaker.seq_at(clip.end_ms) if speaker is not None else NO_SEQ
        self._outbox.audio(messages.tts_audio(clip.mp3, seq), clip.seconds)

    def seq_at(self, end_ms: int) -> int:
        """The number of the chunk in which an utterance ended."""
        if not self._chunks:
            return NO_SEQ
        return next((seq for until_ms, seq in self._chunks if until_ms >= end_ms), self._chunks[-1][1])

    def _final(self, caption: Caption) -> None:
        self._active_at = self._hub.clock()
        if caption.id not in self._finals:
            self._finals[caption.id] = None
            while len(self._finals) > SHOWN:
                self._finals.popitem(last=False)
            self._outbox.text(messages.final(caption))
        if caption.note:
            self._once_warning(NOTES.get(caption.note, "NO_TRANSLATION"), caption.note)

    def _show_partial(self, caption: Caption) -> None:
        shown = (caption.id, caption.text, caption.translation)
        if shown != self._partial and caption.id not in self._finals:
            self._partial = shown
            self._active_at = self._hub.clock()
            self._outbox.text(messages.partial(caption), partial=True)

    def _error(self, code: str, message: str) -> None:
        self._outbox.text(messages.error(code, message))

    def _once(self, code: str, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._error(code, message)

    def _once_warning(self, code: str, message: str) -> None:
        """A note is said once in a call: older clients show each in front of everything else."""
        if message not in self._said and len(self._said) < NOTES_SAID:
            self._said.add(message)
            self._outbox.text(messages.warning(code, message))
