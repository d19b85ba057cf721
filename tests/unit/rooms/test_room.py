"""A room and its language channels: who gets which captions and which voice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from media_server.engines.fleet import Fleet
from media_server.events import Anticipated
from media_server.glossary import parse
from media_server.metrics import Metrics
from media_server.rooms.channel import NOT_SPOKEN
from media_server.rooms.room import Room
from tests.unit.rooms.fakes import FakeFleet, Listener, heard

NOW = 100.0


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet()


def make_room(fleet: FakeFleet, *, private: bool, limit_s: float = 12.0) -> Room:
    return Room("r", cast(Fleet, fleet), Metrics(), lambda: NOW, private=private, speech_limit_s=limit_s)


@pytest.fixture
async def alone(fleet: FakeFleet) -> AsyncIterator[tuple[Room, Listener]]:
    room = make_room(fleet, private=True)
    member = Listener("a", "es")
    room.join(member)
    yield room, member
    await room.stop()


async def test_in_a_private_room_the_speaker_hears_the_interpretation(alone: tuple[Room, Listener]) -> None:
    room, member = alone
    room.heard("a", heard("good morning"), NOW)
    await member.until(lambda: member.clips() == 1)
    assert [(c.text, c.translation, c.target_lang) for c in member.finals] == [
        ("good morning", "GOOD MORNING/es", "es")
    ]
    assert sum(len(spoken.pcm) for spoken in member.sound) == 2 * 4800


async def test_everyone_gets_captions_and_others_hear_in_their_own_language(fleet: FakeFleet) -> None:
    room = make_room(fleet, private=False)
    speaker, spanish, portuguese = Listener("a", "en"), Listener("b", "es"), Listener("c", "pt")
    for member in (speaker, spanish, portuguese):
        room.join(member)
    room.heard("a", heard("good morning"), NOW)
    await spanish.until(lambda: spanish.clips() == 1)
    await portuguese.until(lambda: portuguese.clips() == 1)
    await speaker.until(lambda: speaker.finals)
    assert speaker.finals[0].translation == ""  # the same language: captions only
    assert speaker.sound == []
    assert spanish.finals[0].translation == "GOOD MORNING/es"
    assert portuguese.finals[0].translation == "GOOD MORNING/ES/pt"
    await room.stop()


async def test_work_is_per_language_and_not_per_listener(fleet: FakeFleet) -> None:
    room = make_room(fleet, private=False)
    listeners = [Listener(f"l{number}", "es") for number in range(5)]
    for member in (Listener("a", "es"), *listeners):
        room.join(member)
    room.heard("a", heard("good morning"), NOW)
    for listener in listeners:
        await listener.until(lambda listener=listener: listener.clips() == 1)
    assert fleet.translated == ["good morning"]
    assert len(fleet.spoken) == 1
    await room.stop()


async def test_an_anticipated_ending_is_translated_and_spoken_once(
    alone: tuple[Room, Listener], fleet: FakeFleet
) -> None:
    room, member = alone
    room.anticipated("a", Anticipated(heard("good morning")))
    room.heard("a", heard("good morning"), NOW)
    await member.until(lambda: member.clips() == 1)
    assert fleet.translated == ["good morning"]
    assert len(fleet.spoken) == 1


async def test_an_ending_that_did_not_come_leaves_no_trace(
    alone: tuple[Room, Listener], fleet: FakeFleet
) -> None:
    room, member = alone
    room.anticipated("a", Anticipated(heard("good")))
    room.anticipated("a", Anticipated(heard("good morning")))
    room.heard("a", heard("good morning everyone"), NOW)
    await member.until(lambda: member.clips() == 1)
    assert [caption.text for caption in member.finals] == ["good morning everyone"]
    assert sum(len(spoken.pcm) for spoken in member.sound) == 3 * 4800


async def test_the_committed_part_of_a_partial_is_translated(alone: tuple[Room, Listener]) -> None:
    room, member = alone
    room.heard("a", heard("good morn", final=False, committed=4), NOW)
    await member.until(lambda: member.captions[-1].translation)
    assert member.captions[-1].translation == "GOOD/es"
    assert not member.captions[-1].final


async def test_where_the_recognizer_translates_its_words_are_taken(fleet: FakeFleet) -> None:
    room = make_room(fleet, private=True)
    member = Listener("a", "es")
    room.join(member)
    room.heard("a", heard("bonjour", language="fr", english="hello"), NOW)
    await member.until(lambda: member.finals)
    assert member.finals[0].translation == "HELLO/es"
    await room.stop()


async def test_without_a_way_the_caption_says_so(alone: tuple[Room, Listener]) -> None:
    room, member = alone
    room.heard("a", heard("привет", language="ru"), NOW)
    await member.until(lambda: member.finals)
    assert member.finals[0].translation == ""
    assert "no translation from ru to es" in member.finals[0].note
    assert member.sound == []


async def test_a_translator_that_fails_costs_the_translation_and_not_the_caption(
    alone: tuple[Room, Listener], fleet: FakeFleet
) -> None:
    room, member = alone
    fleet.broken.add("translate")
    room.heard("a", heard("good morning"), NOW)
    await member.until(lambda: member.finals)
    assert (member.finals[0].text, member.finals[0].note) == ("good morning", "The translation failed.")
    fleet.broken.clear()
    room.heard("a", heard("again", "u2"), NOW)
    await member.until(lambda: member.clips() == 1)
    assert member.finals[1].translation == "AGAIN/es"


async def test_a_voice_that_fails_is_said_in_the_caption(
    alone: tuple[Room, Listener], fleet: FakeFleet
) -> None:
    room, member = alone
    fleet.broken.add("speak")
    room.heard("a", heard("good morning"), NOW)
    await member.until(lambda: member.finals and member.finals[-1].note)
    assert member.finals[-1].note == NOT_SPOKEN
    assert member.finals[-1].revision > member.finals[0].revision


async def test_finals_keep_their_order_and_those_that_wait_are_spoken_as_one(
    alone: tuple[Room, Listener], fleet: FakeFleet
) -> None:
    room, member = alone
    fleet.hold.clear()
    for number in range(5):
        room.heard("a", heard(f"text {number}", f"u{number}"), NOW)
    fleet.hold.set()
    await member.until(lambda: len(member.lags) == 5 and member.sound[-1].last)
    assert [caption.text for caption in member.finals] == [f"text {number}" for number in range(5)]
    assert " ".join(request.text for request in fleet.spoken) == " ".join(
        f"TEXT {number}/es" for number in range(5)
    )
    assert len(fleet.spoken) < 5
    assert [lag.utterance for lag in member.lags] == [f"u{number}" for number in range(5)]


async def test_withdrawn_consent_drops_what_waits_and_what_is_being_worked_on(
    alone: tuple[Room, Listener], fleet: FakeFleet
) -> None:
    room, member = alone
    fleet.hold.clear()
    room.heard("a", heard("first"), NOW)
    for _ in range(10):  # the first is with the translator
        await asyncio.sleep(0)
    room.heard("a", heard("secret", "u2"), NOW)
    room.forget("a")
    fleet.hold.set()
    room.heard("a", heard("later", "u3"), NOW)
    await member.until(lambda: member.clips() == 1)
    assert [caption.text for caption in member.finals] == ["later"]
    assert [request.text for request in fleet.spoken] == ["LATER/es"]


async def test_a_channel_ends_when_nobody_wants_its_language(fleet: FakeFleet) -> None:
    room = make_room(fleet, private=False)
    speaker, spanish = Listener("a", "en"), Listener("b", "es")
    room.join(speaker)
    room.join(spanish)
    room.heard("a", heard("good morning"), NOW)
    await spanish.until(lambda: spanish.clips() == 1)
    await room.leave(spanish)
    room.heard("a", heard("more", "u2"), NOW)
    await speaker.until(lambda: len(speaker.finals) == 2)
    assert fleet.translated == ["good morning"]
    await room.stop()


async def test_a_partial_translation_that_is_late_changes_nothing_after_the_final(
    alone: tuple[Room, Listener], fleet: FakeFleet
) -> None:
    room, member = alone
    fleet.hold.clear()
    room.heard("a", heard("good", final=False, committed=4), NOW)
    await member.until(lambda: member.captions)
    room.heard("a", heard("good morning"), NOW)
    fleet.hold.set()
    await member.until(lambda: member.clips() == 1)
    assert [caption.translation for caption in member.captions] == ["", "GOOD MORNING/es"]
    assert member.captions[-1].final


async def test_partials_are_translated_under_their_owner_and_finals_are_nobodys(
    alone: tuple[Room, Listener], fleet: FakeFleet
) -> None:
    room, member = alone
    room.heard("a", heard("good", final=False, committed=4), NOW)
    await member.until(lambda: any(caption.translation for caption in member.captions))
    room.heard("a", heard("good morning"), NOW)
    await member.until(lambda: member.finals)
    assert fleet.owners == ["a>es", None]


async def test_the_speakers_terms_go_with_every_text_and_are_put_back_where_the_recognizer_lost_them(
    fleet: FakeFleet,
) -> None:
    room = make_room(fleet, private=False)
    speaker, english, spanish = Listener("a", "fr"), Listener("b", "en"), Listener("c", "es")
    speaker.glossary = parse(["Aoife"])
    for member in (speaker, english, spanish):
        room.join(member)
    room.heard("a", heard("Aoife parle", language="fr", english="She speaks."), NOW)
    await english.until(lambda: english.finals)
    assert english.finals[0].translation == "She speaks. (Aoife)"
    room.heard("a", heard("Aoife speaks", "u2"), NOW)
    await spanish.until(lambda: len(spanish.finals) == 2)
    assert fleet.glossaries[-1] == speaker.glossary
    await room.stop()
