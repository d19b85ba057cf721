"""A room: who is in it, and one language channel per speaker and language in use.

Work is per (speaker, language), never per listener. Fan-out awaits nobody: a member takes or drops what it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol

from media_server.clock import Clock
from media_server.clock import wall as real_time
from media_server.engines.fleet import Fleet
from media_server.events import Anticipated, Caption, Heard, Lag, Lost, RoomEvent, Speaking, Spoken
from media_server.glossary import EMPTY, Glossary
from media_server.metrics import Metrics
from media_server.rooms.channel import Channel
from media_server.rooms.history import History


class Member(Protocol):
    """Somebody in a room. ``tell`` and ``hear`` never block and never raise."""

    speaker: str
    """The id that others see of this member in captions; no name and no secret."""
    target: str
    """The language this member reads and hears."""
    glossary: Glossary
    """Names and terms in what this member says."""
    hears_itself: bool
    """Whether this member hears the interpretation of its own words in a room of several, too."""

    @property
    def queued_s(self) -> float:
        """Seconds of interpretation that this member has been given and not heard yet."""
        ...

    def tell(self, event: RoomEvent) -> None: ...

    def hear(self, spoken: Spoken, speaker: str) -> None: ...


class Room:
    """Members and their channels. A private room has one member, who hears the interpretation of what it says."""

    def __init__(
        self,
        name: str,
        fleet: Fleet,
        metrics: Metrics,
        clock: Clock,
        *,
        private: bool,
        speech_limit_s: float,
        history: History | None = None,
        wall: Clock = real_time,
    ) -> None:
        self.name = name
        self.private = private
        self.history = history if history is not None else History(0)
        self._wall = wall
        self._fleet = fleet
        self._metrics = metrics
        self._clock = clock
        self._speech_limit_s = speech_limit_s
        self._members: dict[str, Member] = {}
        self._channels: dict[tuple[str, str], Channel] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def join(self, member: Member) -> None:
        self._members[member.speaker] = member

    async def leave(self, member: Member) -> None:
        """Takes the member out and ends its channels, and those that nobody else listens to."""
        if self._members.pop(member.speaker, None) is not None:
            await self.settle()

    async def settle(self) -> None:
        """Ends channels whose speaker has gone or whose language nobody wants any more."""
        wanted = {member.target for member in self._members.values()}
        idle = [key for key in self._channels if key[0] not in self._members or key[1] not in wanted]
        await asyncio.gather(*(self._channels.pop(key).stop() for key in idle))

    async def stop(self) -> None:
        self._members.clear()
        await self.settle()

    # -- what speakers say --------------------------------------------------------------------------------------

    def speaking(self, event: Speaking) -> None:
        for member in self:
            member.tell(event)

    def lost(self, event: Lost) -> None:
        for member in self:
            member.tell(event)

    def heard(self, speaker: str, heard: Heard, ended_at_s: float) -> None:
        for channel in self._channels_of(speaker):
            channel.heard(heard, ended_at_s)

    def anticipated(self, speaker: str, event: Anticipated) -> None:
        for channel in self._channels_of(speaker):
            channel.anticipated(event)

    def forget(self, speaker: str) -> None:
        """Consent was withdrawn: what the speaker said and is not shown yet is dropped, and what is kept of it."""
        self.history.forget(speaker)
        for (owner, _), channel in self._channels.items():
            if owner == speaker:
                channel.forget()

    def _listeners(self, speaker: str) -> Iterator[Member]:
        """Who hears ``speaker`` interpreted: everybody else, and the speaker in a private room or by its own wish."""
        for member in self:
            if member.speaker != speaker or self.private or member.hears_itself:
                yield member

    def _channels_of(self, speaker: str) -> list[Channel]:
        channels = []
        for target in dict.fromkeys(member.target for member in self):
            channel = self._channels.get((speaker, target))
            if channel is None:
                channel = self._channels[speaker, target] = self._open(speaker, target)
            channels.append(channel)
        return channels

    def _open(self, speaker: str, target: str) -> Channel:
        def listeners() -> list[Member]:
            return [member for member in self._listeners(speaker) if member.target == target]

        def publish(event: Caption | Lag | Spoken) -> None:
            if isinstance(event, Spoken):
                for member in listeners():
                    member.hear(event, speaker)
                return
            if isinstance(event, Lag):
                for member in listeners():
                    member.tell(event)
                return
            if event.final:
                self.history.add(event, self._wall())
            for member in self:
                if member.target == target:
                    member.tell(event)

        def queued_s() -> float:
            return max((member.queued_s for member in listeners()), default=0.0)

        def glossary() -> Glossary:
            member = self._members.get(speaker)
            return member.glossary if member is not None else EMPTY

        return Channel(
            speaker,
            target,
            self._fleet,
            self._metrics,
            self._clock,
            publish,
            speech_limit_s=self._speech_limit_s,
            glossary=glossary,
            wants_voice=lambda: bool(listeners()),
            queued_s=queued_s,
        )
