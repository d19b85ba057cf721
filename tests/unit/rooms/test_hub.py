"""Who is let in, who is kept for a while, and how everybody leaves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import cast

import numpy as np
import pytest

from media_server import captions, config
from media_server.engines.base import Pcm
from media_server.engines.fleet import Fleet
from media_server.errors import BadRequest, NotFound, Overloaded, TooManyRequests
from media_server.events import RoomEvent, Speaking, Spoken
from media_server.metrics import Metrics
from media_server.rooms.hub import CONNECT_S, PENDING_PER_ADDRESS, Hub
from media_server.rooms.session import Session
from tests.unit.rooms.fakes import FakeFleet, heard


class Line:
    """A connection that keeps what is sent on it."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.played = 0
        self.muted: bool | None = None
        self.was_replaced = False

    def set_muted(self, muted: bool) -> None:
        self.muted = muted

    def tell(self, event: RoomEvent) -> None:
        self.texts.append(captions.encode(event))

    def send_text(self, text: str) -> None:
        self.texts.append(text)

    def play(self, spoken: Spoken, speaker: str) -> None:
        self.played += len(spoken.pcm)

    def replaced(self) -> None:
        self.was_replaced = True

    def push_frame(self, pcm: Pcm) -> None:
        self.played += len(pcm)

    def of(self, kind: str) -> list[dict[str, object]]:
        return [message for message in map(json.loads, self.texts) if message["type"] == kind]


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def hub(fleet: FakeFleet, time: Time) -> AsyncIterator[Hub]:
    made = Hub(config.load({"MAX_SESSIONS": "2", "RESUME_SECS": "30"}), cast(Fleet, fleet), Metrics(), time)
    yield made
    await made.stop()


def test_a_full_server_refuses_with_a_time_to_come_back(hub: Hub) -> None:
    hub.open(source=None, target=None, room=None)
    hub.open(source=None, target=None, room=None)
    with pytest.raises(Overloaded) as caught:
        hub.open(source=None, target=None, room=None)
    assert (caught.value.status, caught.value.code) == (503, "SERVER_FULL")
    assert caught.value.retry_after_s


def test_nobody_is_let_in_while_those_inside_would_suffer(hub: Hub, fleet: FakeFleet) -> None:
    fleet.wait_s = 0.5
    refusal = hub.refusal()
    assert refusal is not None
    assert refusal.code == "ENGINES_BUSY"
    fleet.wait_s = 0.0
    hub.loop_lag_s = 0.5
    refusal = hub.refusal()
    assert refusal is not None
    assert refusal.code == "LOOP_BUSY"
    hub.loop_lag_s = 0.0
    assert hub.refusal() is None


async def test_who_never_connects_gives_the_place_to_somebody_who_comes_later(hub: Hub, time: Time) -> None:
    idle = hub.open(source=None, target=None, room=None)
    hub.open(source=None, target=None, room=None).attach(Line())
    with pytest.raises(Overloaded):  # there was no time to connect yet
        hub.open(source=None, target=None, room=None)
    time.now += CONNECT_S + 1
    newcomer = hub.open(source=None, target=None, room=None)
    for _ in range(5):
        await _turn()
    assert newcomer in list(hub)
    with pytest.raises(NotFound):
        hub.find(idle.id)
    newcomer.attach(Line())
    time.now += CONNECT_S + 1
    with pytest.raises(Overloaded):  # both are connected
        hub.open(source=None, target=None, room=None)


async def test_one_address_cannot_begin_any_number_of_calls(fleet: FakeFleet, time: Time) -> None:
    hub = Hub(config.load({"MAX_SESSIONS": "100"}), cast(Fleet, fleet), Metrics(), time)
    sessions = [
        hub.open(source=None, target=None, room=None, address="192.0.2.1") for _ in range(PENDING_PER_ADDRESS)
    ]
    with pytest.raises(TooManyRequests) as caught:
        hub.open(source=None, target=None, room=None, address="192.0.2.1")
    assert caught.value.retry_after_s
    hub.open(source=None, target=None, room=None, address="192.0.2.2")
    sessions[0].attach(Line())
    hub.open(source=None, target=None, room=None, address="192.0.2.1")
    await hub.stop()


async def test_a_language_that_nobody_here_understands_is_refused_in_words(hub: Hub) -> None:
    with pytest.raises(BadRequest, match="xx") as caught:
        hub.open(source="xx", target=None, room=None)
    assert caught.value.code == "INVALID_LANGUAGE"
    session = hub.open(source="en", target="es", room=None)
    line = Line()
    session.attach(line)
    session.on_text('{"type":"config","sourceLang":"xx"}')
    assert [message["code"] for message in line.of("error")] == ["INVALID_LANGUAGE"]
    assert session.source == "en"


async def test_people_who_speak_keep_others_out_and_people_who_listen_do_not(
    fleet: FakeFleet, time: Time
) -> None:
    settings = config.load({"MAX_SESSIONS": "8", "MAX_SPEECH_LOAD": "0.6"})
    metrics = Metrics()
    hub = Hub(settings, cast(Fleet, fleet), metrics, time)
    people = [hub.open(source="en", target="es", room=room) for room in (None, None, None, "hall", "hall")]

    def says(*speakers: int) -> None:
        time.now += 30
        for number, session in enumerate(people):
            session.on_speaking(Speaking(session.speaker, number in speakers, 0))
        hub.look()

    says()
    time.now += 30
    hub.look()
    assert (hub.speakers, hub.refusal()) == (0, None)
    says(0)
    time.now += 30
    hub.look()
    assert (hub.speakers, hub.refusal()) == (1, None)
    people[1].on_speaking(Speaking(people[1].speaker, True, 0))
    hub.look()
    refusal = hub.refusal()
    assert refusal is not None
    assert (refusal.code, hub.speakers) == ("ENGINES_BUSY", 2)
    assert metrics.registry.get_sample_value("lai_speakers") == 2
    load = metrics.registry.get_sample_value("lai_speech_load")
    assert load is not None
    assert load <= 0.6 < load * 1.5, "a third would be too many"
    assert hub.refusal("another hall") is not None
    assert hub.refusal("hall") is None, "who joins people takes turns with them"
    await hub.end(people[1], "left")
    hub.look()
    assert hub.refusal() is None
    fleet.cost = 0.1  # a model that needs less
    people[1:2] = [hub.open(source="en", target="es", room=None)]
    says(0, 1, 2)
    time.now += 30
    hub.look()
    assert (hub.speakers, hub.refusal()) == (3, None)
    fleet.workers = 0
    people[2].on_speaking(Speaking(people[2].speaker, True, 0))
    hub.look()
    assert hub.refusal() is None, "nothing is heard here, so nobody is in anybody's way"
    await hub.stop()


async def test_a_rush_is_not_let_in_before_the_first_is_heard_and_people_who_only_come_are(
    fleet: FakeFleet, time: Time
) -> None:
    settings = config.load({"MAX_SESSIONS": "8", "MAX_SPEECH_LOAD": "0.6"})
    hub = Hub(settings, cast(Fleet, fleet), Metrics(), time)

    def comes(room: str | None = None) -> Session:
        session = hub.open(source="en", target="es", room=room)
        session.attach(Line())
        session.was_connected = True
        hub.look()
        return session

    first = comes()
    for _ in range(3):
        comes()
    assert hub.refusal() is None, "nobody speaks: all may come"
    time.now += 5
    first.on_speaking(Speaking(first.speaker, True, 0))
    hub.look()
    comes()
    refusal = hub.refusal()
    assert refusal is not None, "one speaks, and one who has just come may be about to"
    assert refusal.code == "ENGINES_BUSY"
    time.now += 5
    hub.look()
    assert hub.refusal() is None, "that one only listens"
    comes("hall")
    for _ in range(2):
        assert hub.refusal("hall") is None
        comes("hall")
    refusal = hub.refusal()
    assert refusal is not None
    assert refusal.code == "SERVER_FULL"
    await hub.stop()


async def test_a_session_that_lost_its_network_is_kept_and_then_let_go(hub: Hub, time: Time) -> None:
    session = hub.open(source="en", target="es", room=None)
    line = Line()
    session.attach(line)
    session.detach(line)
    time.now += 29
    await hub.sweep()
    assert hub.find(session.id) is session
    time.now += 2
    await hub.sweep()
    with pytest.raises(NotFound):
        hub.find(session.id)


async def test_finals_that_were_missed_are_given_when_the_page_is_back(hub: Hub) -> None:
    session = hub.open(source="en", target="es", room=None)
    first, second = Line(), Line()
    session.attach(first)
    session.detach(first)
    session.room.heard(session.speaker, heard("good morning", final=False), 0.0)
    session.room.heard(session.speaker, heard("good morning"), 0.0)
    for _ in range(50):
        await _turn()
    session.attach(second)
    session.greet()
    assert [message["text"] for message in second.of("final")] == ["good morning"]
    assert second.of("partial") == []
    assert second.of("status")


async def test_an_older_connection_that_ends_late_does_not_take_the_newer_one_down(hub: Hub) -> None:
    session = hub.open(source="en", target="es", room=None)
    old, new = Line(), Line()
    session.attach(old)
    session.attach(new)
    assert not session.detach(old)
    assert session.line is new


async def test_a_mute_is_known_to_the_connection_and_to_the_next_one(hub: Hub) -> None:
    session = hub.open(source="en", target="es", room=None)
    first, second = Line(), Line()
    session.attach(first)
    before = first.muted
    session.on_text('{"type":"mute","muted":true}')
    session.attach(second)
    assert (before, first.muted, second.muted) == (False, True, True)


async def test_draining_tells_everybody_and_ends_when_they_have_gone(hub: Hub) -> None:
    session = hub.open(source="en", target="es", room=None)
    line = Line()
    session.attach(line)
    session.detach(line)
    await hub.drain()
    with pytest.raises(Overloaded) as caught:
        hub.open(source=None, target=None, room=None)
    assert caught.value.code == "DRAINING"


async def test_the_log_of_a_call_has_counts_and_no_words(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "media_server")
    session = hub.open(source="en", target="es", room="board meeting")
    line = Line()
    session.attach(line)
    session.on_audio(np.zeros(960, np.int16))
    session.room.heard(session.speaker, heard("good morning"), 0.0)
    await hub.end(session, "left")
    (record,) = [record for record in caplog.records if record.message == "call ended"]
    assert record.__dict__["reason"] == "left"
    shown = json.dumps({key: str(value) for key, value in record.__dict__.items()})
    assert "morning" not in shown
    assert session.id not in shown
    assert "board" not in shown


async def test_the_recognizer_translates_only_what_has_no_better_way(
    hub: Hub, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str | None, frozenset[str]]] = []
    session = hub.open(source="auto", target="es", room=None)
    monkeypatch.setattr(
        session.interpreter, "configure", lambda language, english, prompt: asked.append((language, english))
    )
    session.set_languages("auto", "es")
    session.set_languages("en", "es")
    session.set_languages("fr", "en")
    session.set_languages("fr", "fr")
    none: frozenset[str] = frozenset()
    assert asked == [(None, frozenset({"fr"})), ("en", none), ("fr", frozenset({"fr"})), ("fr", none)]


async def test_people_in_one_room_share_it_and_a_private_call_shares_nothing(hub: Hub) -> None:
    first = hub.open(source="en", target="es", room="r")
    second = hub.open(source="es", target="en", room="r")
    assert first.room is second.room
    await hub.end(second, "left")
    alone = hub.open(source="en", target="es", room=None)
    assert alone.room is not first.room
    assert alone.room.private


async def _turn() -> None:
    """Lets the loop's ready tasks run once."""
    await asyncio.sleep(0)


async def test_a_speakers_names_are_used_beside_the_servers_and_a_bad_list_changes_nothing(
    fleet: FakeFleet, time: Time
) -> None:
    hub = Hub(config.load({"GLOSSARY": "Cork, Aoife"}), cast(Fleet, fleet), Metrics(), time)
    session = hub.open(source="en", target="es", room=None)
    line = Line()
    session.attach(line)
    assert session.glossary.prompt() == "Cork, Aoife"
    session.on_text('{"type":"glossary","terms":["aoife",{"term":"Niamh","translation":{"es":"Niev"}}]}')
    assert session.glossary.prompt() == "aoife, Niamh, Cork"
    session.on_text('{"type":"glossary","terms":[5]}')
    assert session.glossary.prompt() == "aoife, Niamh, Cork"
    session.on_text('{"type":"config","targetLang":"fr","glossary":[]}')
    assert (session.target, session.glossary.prompt()) == ("fr", "Cork, Aoife")
    assert len(line.of("ack")) == 2
    assert [message["code"] for message in line.of("error")] == ["INVALID_GLOSSARY"]
    await hub.stop()
