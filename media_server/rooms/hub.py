"""All sessions and rooms of this process: admission, resuming, idling out, draining.

One timer serves everything that depends on time. Admission asks whether those inside would suffer: too many calls,
more people speaking than the recognizers can follow (``rooms.admission``), finals that wait too long for them, an
event loop that runs late.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Iterator

from media_server.clock import Clock, monotonic, wall
from media_server.config import AUTO, Settings
from media_server.engines.fleet import Fleet
from media_server.errors import BadRequest, NotFound, Overloaded, TooManyRequests
from media_server.events import Goodbye, Status
from media_server.metrics import Metrics
from media_server.rooms.admission import NEW_S, RECENT_S, USUAL_COST, SpeechLoad, speakers_of_room, takes_more
from media_server.rooms.history import History
from media_server.rooms.room import Room
from media_server.rooms.session import Session
from media_server.tasks import TaskOwner

logger = logging.getLogger(__name__)

TICK_S = 0.25
FULL_RETRY_S = 10  # a call ends every so often; the page counts down and tries again
BUSY_RETRY_S = 3  # overload passes in seconds
DRAIN_RETRY_S = 2  # another pod may be there at once, and a restart takes a second or two
CREATED_HOLD_S = 60.0  # a session that was created and never connected
CONNECT_S = 4.0  # a good network needs less; a session without a connection gives its place up after that
PENDING_PER_ADDRESS = (
    16  # sessions without a connection yet; a room full of people behind one address is fewer
)
DEFAULT_ROOM = "default"  # where the older clients meet that name no room
MAX_HISTORIES = 256  # rooms whose finals are kept; beyond that those that were left first are forgotten


class Hub:
    """Owns rooms and sessions. ``start`` and ``stop`` frame its life; ``drain`` ends it gently."""

    def __init__(self, settings: Settings, fleet: Fleet, metrics: Metrics, clock: Clock = monotonic) -> None:
        self.settings = settings
        self.fleet = fleet
        self.metrics = metrics
        self.clock = clock
        self.draining = False
        self.loop_lag_s = 0.0
        self.recognizers = 0
        """How many windows are decoded at a time; 0 where nothing is heard."""
        self._load = SpeechLoad()
        self.ended = 0
        """Sessions so far that have ended."""
        self._sessions: dict[str, Session] = {}
        self._rooms: dict[str, Room] = {}
        self._histories: OrderedDict[str, History] = OrderedDict()
        self._drained = asyncio.Event()
        self._tasks = TaskOwner("hub")
        fleet.listen(self._engine_news)

    async def start(self) -> None:
        self._tasks.start(self._tick(), "tick")

    async def stop(self) -> None:
        await self._tasks.stop()
        for session in list(self._sessions.values()):
            await self.end(session, "server stopped")

    # -- looking ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    @property
    def speakers(self) -> int:
        """People who speak, those of a room who take turns counting as one, as of the last look."""
        return self._load.speakers

    def find(self, session_id: str) -> Session:
        """The session of that id; NotFound when there is none (any more)."""
        session = self._sessions.get(session_id)
        if session is None:
            raise NotFound("There is no such session (any more).", code="SESSION_NOT_FOUND")
        return session

    def refusal(self, room: str | None = None) -> Overloaded | None:
        """Why a new call (into ``room``; None: a private one) cannot be taken now; None when it can."""
        if self.draining:
            return Overloaded(
                "The server is restarting. Please try again in a moment.",
                code="DRAINING",
                retry_after_s=DRAIN_RETRY_S,
            )
        if len(self._sessions) >= self.settings.max_sessions and self._displaceable() is None:
            return Overloaded("The server is full.", code="SERVER_FULL", retry_after_s=FULL_RETRY_S)
        if self.fleet.final_wait_s() * 1000 > self.settings.max_queue_wait_ms:
            return Overloaded("The server is busy.", code="ENGINES_BUSY", retry_after_s=BUSY_RETRY_S)
        if self.recognizers and not takes_more(
            self._load.speakers,
            self._coming(room),
            self._load.cost,
            self.recognizers,
            self.settings.max_speech_load,
        ):
            return Overloaded(
                "The server is busy: as many people speak as it can follow.",
                code="ENGINES_BUSY",
                retry_after_s=BUSY_RETRY_S,
            )
        if self.loop_lag_s * 1000 > self.settings.max_loop_lag_ms:
            return Overloaded("The server is busy.", code="LOOP_BUSY", retry_after_s=BUSY_RETRY_S)
        return None

    # -- coming and going ---------------------------------------------------------------------------------------

    def _displaceable(self) -> Session | None:
        """The oldest session that has had the time to connect and has not: who comes now may have its place."""
        latest = self.clock() - CONNECT_S
        waiting = (session for session in self if not session.was_connected and session.started_s < latest)
        return min(waiting, key=lambda session: session.started_s, default=None)

    def check_source(self, language: str | None) -> None:
        """Raises BadRequest for a language that no recognizer here understands; None and `auto` pass."""
        heard = self.fleet.heard_languages()
        if language in {None, AUTO} or not heard or language in heard:
            return
        raise BadRequest(
            f"Speech in {language} is not understood by the recognizer that runs here.",
            code="INVALID_LANGUAGE",
        )

    def open(self, *, source: str | None, target: str | None, room: str | None, address: str = "") -> Session:
        """A new session in ``room`` (None: a private one), for somebody at ``address``.

        Raises Overloaded, TooManyRequests, or BadRequest for a language that is not understood here.
        """
        if (refusal := self.refusal(room)) is not None:
            raise refusal
        self.check_source(source)
        pending = sum(not session.was_connected and session.address == address for session in self)
        if address and pending >= PENDING_PER_ADDRESS:
            raise TooManyRequests(
                "Too many calls from this address were begun and not connected.",
                code="HALF_OPEN",
                retry_after_s=round(CONNECT_S),
            )
        if len(self._sessions) >= self.settings.max_sessions and (idle := self._displaceable()) is not None:
            self._tasks.start(
                self.end(idle, "displaced"), "displace"
            )  # gone from the table at its first step
        settings = self.settings
        session = Session(
            settings,
            self.fleet,
            self._room(room),
            self.metrics,
            self.clock,
            source=source or settings.default_src_lang,
            target=target or settings.default_tgt_lang,
            on_languages=self._languages_changed,
            check_source=self.check_source,
        )
        session.address = address
        session.lost_at_s = self.clock() + CREATED_HOLD_S - settings.resume_secs
        self._sessions[session.id] = session
        self.metrics.sessions_active.set(len(self._sessions))
        self._languages_changed(session)
        return session

    def _coming(self, room: str | None) -> int:
        """How many more may begin to speak when somebody comes into ``room``.

        Who joins people takes turns with them. Somebody who has just come has not said yet whether they will speak;
        they count while somebody speaks already, so that a rush of people is not let in before the first is heard.
        """
        room = self._shared(room)
        if room is not None and room in self._rooms and len(self._rooms[room]):
            return 0
        if not self._load.speakers:
            return 1
        since = self.clock() - NEW_S
        new = (s for s in self if s.was_connected and s.started_s > since and not s.has_spoken)
        return 1 + sum(len(session.room) == 1 for session in new)

    async def move(self, session: Session, room: str | None) -> None:
        """Into the room of that name (None: a private one). Nothing happens where the session is in it."""
        left = session.room
        name = self._shared(room)
        if left.name == name or (name is None and left.private):
            return
        await session.move(self._room(name))
        await self._close_empty(left)
        self._languages_changed(session)

    def history(self, session: Session, room: str | None = None) -> History:
        """The finals of the session's room, or of another one."""
        name = self._shared(room)
        if name is None:
            return session.room.history
        return self._rooms[name].history if name in self._rooms else self._history(name)

    def _shared(self, name: str | None) -> str | None:
        """The name of a room that people may share; None for a private one."""
        return None if name == DEFAULT_ROOM and not self.settings.share_default_room else name

    def _history(self, name: str | None) -> History:
        """A shared room's history outlives the moments in which nobody is in it: a page that is loaded anew."""
        retention_s = self.settings.history_retention_secs
        if name is None:
            return History(retention_s)
        history = self._histories.setdefault(name, History(retention_s))
        self._histories.move_to_end(name)
        while len(self._histories) > MAX_HISTORIES:
            self._histories.popitem(last=False)
        return history

    async def _close_empty(self, room: Room) -> None:
        if not len(room) and self._rooms.get(room.name) is room:
            del self._rooms[room.name]
            if not room.private:
                self._history(room.name)  # counts as used now
            await room.stop()

    def _room(self, name: str | None) -> Room:
        name = self._shared(name)
        key = name or f"private-{secrets.token_hex(8)}"
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = Room(
                key,
                self.fleet,
                self.metrics,
                self.clock,
                private=name is None,
                speech_limit_s=self.settings.speech_queue_secs,
                history=self._history(name),
            )
        return room

    async def end(self, session: Session, reason: str) -> None:
        """Ends the session for good; one line in the log. Idempotent."""
        if self._sessions.pop(session.id, None) is None:
            return
        await session.stop()
        await self._close_empty(session.room)
        self.ended += 1
        counts = session.interpreter.counts
        self.metrics.sessions_active.set(len(self._sessions))
        self.metrics.calls.labels(reason).inc()
        if not session.was_connected:
            return
        logger.info(
            "call ended",
            extra={
                "reason": reason,
                "duration_s": round(self.clock() - session.started_s, 1),
                "audio_s": round(counts.audio_s, 1),
                "finals": counts.finals,
                "lost": counts.lost,
                "echoes": counts.echoes,
                "resumes": session.resumes,
            },
        )

    def _languages_changed(self, session: Session) -> None:
        source = "en" if session.source == AUTO else session.source
        for target in {member.target for member in session.room} - {source}:
            self._tasks.start(self.fleet.warm(source, target), "warm")
        for member in session.room:
            if isinstance(member, Session):
                member.refresh()

    def _engine_news(self, status: Status) -> None:
        self.metrics.engine_state.labels(status.stage, status.engine).set(
            1
            if any(host.state == "ready" and host.spec.name == status.engine for host in self.fleet.hosts)
            else 0
        )
        for session in self:
            session.status(status)
            session.refresh()

    # -- time ---------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + TICK_S
        while True:
            await asyncio.sleep(due - loop.time())
            late = max(0.0, loop.time() - due)
            due = loop.time() + TICK_S
            self.loop_lag_s = max(late, self.loop_lag_s * 0.7)  # a second of memory
            self.metrics.loop_lag.observe(late * 1000)
            self.look()
            await self.sweep()

    def look(self) -> None:
        """Counts those who speak, and what that costs the recognizers."""
        now = self.clock()
        worked_s, self.recognizers = self.fleet.recognizers_work()
        self._load.usual = self.fleet.speaker_cost() or USUAL_COST
        speakers = sum(
            speakers_of_room(
                (member.speaks, member.spoke_within(RECENT_S, now))
                for member in room
                if isinstance(member, Session)
            )
            for room in self._rooms.values()
        )
        self._load.note(now, worked_s, speakers, self.recognizers)
        self.metrics.speakers.set(speakers)
        self.metrics.speech_load.set(speakers * self._load.cost / max(1, self.recognizers))

    async def sweep(self) -> None:
        """Ends sessions whose people have been away for too long."""
        now = self.clock()
        for session in self:
            away_s = now - session.lost_at_s if session.lost_at_s is not None else 0.0
            if session.line is None and away_s > self.settings.resume_secs:
                await self.end(session, "lost")
        self._expire_histories()
        self._check_drained()

    def _expire_histories(self) -> None:
        """Words that are too old go although nobody asks for them."""
        now = wall()
        for name, history in list(self._histories.items()):
            history.expire(now)
            if not len(history) and name not in self._rooms:
                del self._histories[name]

    async def drain(self) -> None:
        """No new calls; running ones are told, and may go on for ``DRAIN_SECS``. Returns when none is left."""
        self.draining = True
        for session in self:
            session.tell(Goodbye("The server is restarting; the call comes back by itself.", DRAIN_RETRY_S))
        self._check_drained()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_secs):
                await self._drained.wait()

    def _check_drained(self) -> None:
        if self.draining and not any(session.line is not None for session in self):
            self._drained.set()
