"""One person's session: a microphone, a place in a room, and whatever connection they have at the moment.

The session outlives its connection: when a network is lost, the page comes back behind the same session id, and the
finals it missed are given to it then. It knows no protocol: a ``Line`` is what a connection looks like from here.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from typing import Protocol

from media_server import captions
from media_server.captions import Configure, Consent, Loopback, Mute, Terms
from media_server.clock import Clock
from media_server.config import AUTO, Settings
from media_server.engines.base import VOICE_RATE, Pcm
from media_server.engines.fleet import Fleet
from media_server.errors import BadRequest
from media_server.events import Anticipated, Caption, Heard, Lost, RoomEvent, Speaking, Spoken, Status
from media_server.glossary import Glossary, from_setting
from media_server.metrics import Metrics
from media_server.pipeline.denoise import Denoiser, make_denoiser
from media_server.pipeline.hear import Hearing, HearSettings
from media_server.pipeline.interpreter import Interpreter
from media_server.privacy.consent import ConsentGate
from media_server.rooms.room import Room

MISSED = 200  # finals kept for a page that is away: more than 30 s hold, a bound all the same


class Line(Protocol):
    """A connection that captions and speech go out on. Its methods never block."""

    def tell(self, event: RoomEvent) -> None:
        """A caption or other news, to be sent in the words of this connection's protocol."""
        ...

    def send_text(self, text: str) -> None:
        """JSON text that is the same in every protocol: an error, an ``ack``."""
        ...

    def play(self, spoken: Spoken, speaker: str) -> None:
        """Speech of the interpretation of ``speaker``."""
        ...

    def push_frame(self, pcm: Pcm) -> None:
        """Sound to be heard now (the loopback), int16 mono 48 kHz."""
        ...

    def set_muted(self, muted: bool) -> None:
        """The speaker has muted the microphone: its silence is no sign of a lost network."""
        ...

    def replaced(self) -> None:
        """Another connection of the same session has taken this one's place: it ends."""
        ...


class Session:
    """See the module. Not thread-safe: lives on the event loop."""

    def __init__(
        self,
        settings: Settings,
        fleet: Fleet,
        room: Room,
        metrics: Metrics,
        clock: Clock,
        *,
        source: str,
        target: str,
        on_languages: Callable[[Session], None] = lambda session: None,
        check_source: Callable[[str | None], None] = lambda language: None,
    ) -> None:
        self.id = secrets.token_urlsafe(24)  # 192 random bits; never logged
        self.speaker = secrets.token_hex(4)
        self.source = source
        self.target = target
        self._own_terms = from_setting(settings.glossary)
        self.glossary = self._own_terms
        """The names and terms of this speaker, the server's own behind them."""
        self.room = room
        self.started_s = clock()
        self.lost_at_s: float | None = None
        self.consent = ConsentGate(required=settings.consent_required)
        self.hears_itself = False
        self.captions = 0
        self._talking = False
        self._spoke_at_s: float | None = None
        self.resumes = 0
        self.was_connected = False
        self.address = ""
        """Where the request for this session came from; never logged."""
        self.line: Line | None = None
        self._fleet = fleet
        self._clock = clock
        self._on_languages = on_languages
        self._check_source = check_source
        self._missed: deque[RoomEvent] = deque(maxlen=MISSED)
        self._asked_consent = False
        self._has_spoken = False
        self._greeted = False
        self._play_until_s = 0.0

        def denoiser() -> Denoiser:
            return make_denoiser(
                settings.enable_rnnoise, settings.noise_gate_threshold, settings.noise_gate_attenuation
            )

        hear = HearSettings(
            partial_ms=settings.asr_partial_ms,
            ahead_ms=settings.asr_ahead_ms,
            hangover_min_ms=settings.asr_hangover_min_ms,
            hangover_max_ms=settings.asr_hangover_max_ms,
        )
        hearing = Hearing(
            hear,
            speaker=self.speaker,
            language=self._language,
            has_turn=bool(fleet.turns),
        )
        self.interpreter = Interpreter(
            self.speaker,
            hearing,
            fleet,
            self,
            consent=self.consent,
            denoiser=denoiser,
            hear_denoised=settings.asr_hear_denoised,
            metrics=metrics,
            clock=clock,
        )
        room.join(self)

    # -- languages ----------------------------------------------------------------------------------------------

    @property
    def _language(self) -> str | None:
        return None if self.source == AUTO else self.source

    def _english_from(self) -> frozenset[str]:
        """The languages that somebody in the room is best given by way of the recognizer's own English."""
        targets = {member.target for member in self.room} | {self.target}
        sources = self._fleet.heard_languages() if self.source == AUTO else (self.source,)
        found = set()
        for source in sources:
            for target in targets:
                routes = self._fleet.routes.find(source, target)
                if routes and routes[0].steps and routes[0].steps[0].from_speech:
                    found.add(source)
        return frozenset(found)

    def set_languages(self, source: str | None, target: str | None) -> None:
        """From the next utterance on."""
        self.source = source or self.source
        self.target = target or self.target
        self._on_languages(self)

    def set_glossary(self, glossary: Glossary) -> None:
        """From the next utterance on, in place of the one before."""
        self.glossary = glossary.joined(self._own_terms)
        self.refresh()

    def refresh(self) -> None:
        """Somebody's languages or the engines have changed: asks the recognizer for what is needed now."""
        self.interpreter.configure(self._language, self._english_from(), self.glossary.prompt())

    async def move(self, room: Room) -> None:
        """Into another room. What is being said is dropped: it was meant for those in the room that is left."""
        self.interpreter.forget()
        left, self.room = self.room, room
        room.join(self)
        await left.leave(self)

    # -- the connection -----------------------------------------------------------------------------------------

    def attach(self, line: Line, *, connected: bool = True) -> None:
        """A connection is there (again). ``connected`` False: it is on its way, ``confirm`` says when it works."""
        away_s = self._clock() - self.lost_at_s if self.lost_at_s is not None else 0.0
        if self.was_connected and away_s > 0:
            self.resumes += 1
            self.interpreter.skip(round(away_s * 1000))
        self.lost_at_s = None
        previous, self.line = self.line, line
        line.set_muted(self.interpreter.muted)
        if previous is not None:
            previous.replaced()
        if connected:
            self.confirm()

    def confirm(self) -> None:
        """The connection works: the session holds its place from now on, also through a lost network."""
        self.was_connected = True

    def detach(self, line: Line) -> bool:
        """The connection is gone; False when another one has taken its place before."""
        if self.line is not line:
            return False
        self.line = None
        self.interpreter.on_clean = None
        self.lost_at_s = self._clock()
        self.interpreter.flush()
        return True

    def greet(self) -> None:
        """Text can be sent now: how the engines are, and the finals that were missed."""
        for status in self._fleet.statuses():
            self.tell(status)
        while self._missed and self.line is not None:
            self.line.tell(self._missed.popleft())
        self._greeted = True
        if not self.consent.open:
            self._ask_consent()

    async def stop(self) -> None:
        await self.interpreter.stop()
        await self.room.leave(self)

    # -- what the client sends ----------------------------------------------------------------------------------

    def on_audio(self, pcm: Pcm, rate: int = VOICE_RATE) -> None:
        self._has_spoken = True
        if not self.consent.open:
            self._ask_consent()
        self.interpreter.feed(pcm, rate)

    def _ask_consent(self) -> None:
        """Says once that nothing is taken; kept until it can be said."""
        if self._has_spoken and self._greeted and not self._asked_consent:
            self._asked_consent = True
            self._send(captions.error("CONSENT_REQUIRED", "Nothing is heard before you agree to it."))

    def on_text(self, text: str) -> None:
        """A control message; a bad one gets an error and never ends the call."""
        try:
            message = captions.decode(text)
            if isinstance(message, Configure):
                self._check_source(message.source)
        except BadRequest as error:
            self._send(captions.error(error.code, error.message))
            return
        match message:
            case Configure(source, target, glossary):
                if glossary is not None:
                    self.set_glossary(glossary)
                self.set_languages(source, target)
            case Terms(glossary):
                self.set_glossary(glossary)
            case Mute(muted):
                self.interpreter.mute(muted)
                if self.line is not None:
                    self.line.set_muted(muted)
            case Loopback(on):
                self.interpreter.on_clean = self._loop_back if on else None
            case Consent(granted):
                self.set_consent(granted)
        self._send(captions.ACK)

    def set_consent(self, granted: bool) -> None:
        """Opens or shuts the entrance. Shutting drops at once what was taken and is not shown yet."""
        self.consent.say(granted)
        if not granted:
            self._asked_consent = True
            self._talking = False
            self.interpreter.forget()
            self.room.forget(self.speaker)
            self._missed.clear()

    @property
    def has_spoken(self) -> bool:
        """Was this person's voice heard at all?"""
        return self._spoke_at_s is not None

    @property
    def speaks(self) -> bool:
        """Now."""
        return self._talking

    def spoke_within(self, seconds: float, now: float) -> bool:
        """Was this person's voice heard in the last seconds?"""
        return self._spoke_at_s is not None and now - self._spoke_at_s <= seconds

    def _loop_back(self, pcm: Pcm) -> None:
        if self.line is not None:
            self.line.push_frame(pcm)

    # -- what the interpreter hears (Listener) ------------------------------------------------------------------

    def on_speaking(self, event: Speaking) -> None:
        self._talking = event.on
        self._spoke_at_s = self._clock()
        self.room.speaking(event)

    def on_heard(self, heard: Heard, ended_at_s: float) -> None:
        self.room.heard(self.speaker, heard, ended_at_s)

    def on_anticipated(self, event: Anticipated) -> None:
        self.room.anticipated(self.speaker, event)

    def on_lost(self, event: Lost) -> None:
        self.room.lost(event)

    # -- what the room gives (Member) ---------------------------------------------------------------------------

    def tell(self, event: RoomEvent) -> None:
        if isinstance(event, Caption) and event.final:
            self.captions += 1
        if self.line is None:
            if isinstance(event, Lost) or (isinstance(event, Caption) and event.final):
                self._missed.append(event)
            return
        self.line.tell(event)

    @property
    def queued_s(self) -> float:
        return max(0.0, self._play_until_s - self._clock())

    def hear(self, spoken: Spoken, speaker: str) -> None:
        if self.line is None:
            return
        from_s = max(self._clock(), self._play_until_s)
        self._play_until_s = from_s + len(spoken.pcm) / VOICE_RATE
        self.interpreter.said(spoken.text, from_s, self._play_until_s)
        self.line.play(spoken, speaker)

    def status(self, status: Status) -> None:
        """News of an engine."""
        if self.line is not None:
            self.tell(status)

    def _send(self, text: str) -> None:
        if self.line is not None:
            self.line.send_text(text)
