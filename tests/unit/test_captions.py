"""The codec of captions and control messages."""

from __future__ import annotations

import json

import pytest

from media_server import captions
from media_server.captions import Configure, Consent, Loopback, Mute, Terms
from media_server.errors import BadRequest
from media_server.events import Caption, Goodbye, Lost, Speaking, Status
from media_server.glossary import EMPTY, Glossary, Term

CAPTION = Caption("u1", "ab", 3, False, "Hello wor", "en", "Hola", "es", 5, 0, 100, 900)


def test_a_partial_says_how_much_of_it_stays() -> None:
    message = json.loads(captions.encode(CAPTION))
    assert message == {
        "type": "partial", "text": "Hello wor", "lang": "en", "translation": "Hola", "target_lang": "es",
        "id": "u1", "speaker": "ab", "start_ms": 100, "end_ms": 900, "revision": 3,
        "committed": 5, "translation_committed": 0,
    }  # fmt: skip


def test_a_final_has_a_confidence_and_a_note_where_there_is_one() -> None:
    final = Caption("u1", "ab", 4, True, "Hi", "en", "", "xx", 2, 0, 0, 5, confidence=0.9, note="No way.")
    message = json.loads(captions.encode(final))
    assert message["type"] == "final"
    assert message["confidence"] == 0.9
    assert message["note"] == "No way."


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Speaking("ab", True, 5), "speaking"),
        (Lost("u1", 0, 5, "Lost."), "lost"),
        (Status("recognize", "x", "warning", "Stopped."), "status"),
        (Goodbye("Restarting.", 3), "goodbye"),
    ],
)
def test_every_event_has_its_type(event: Speaking | Lost | Status | Goodbye, kind: str) -> None:
    assert json.loads(captions.encode(event))["type"] == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"config","sourceLang":"en-US","targetLang":"ES"}', Configure("en", "es")),
        ('{"type":"config","sourceLang":"auto"}', Configure("auto", None)),
        ('{"type":"config","more":1}', Configure(None, None)),
        ('{"type":"config","glossary":["Aoife"]}', Configure(None, None, Glossary((Term("Aoife"),)))),
        ('{"type":"glossary","terms":["Aoife"]}', Terms(Glossary((Term("Aoife"),)))),
        ('{"type":"glossary","terms":[]}', Terms(EMPTY)),
        ('{"type":"mute","muted":true}', Mute(True)),
        ('{"type":"loopback","on":false}', Loopback(False)),
        ('{"type":"consent","granted":true}', Consent(True)),
    ],
)
def test_control_messages_are_understood(text: str, message: captions.Control) -> None:
    assert captions.decode(text) == message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "INVALID_JSON"),
        ("[1]", "INVALID_JSON"),
        ("[" * 5000, "INVALID_JSON"),
        ('{"type":"dance"}', "UNKNOWN_TYPE"),
        ('{"type":["mute"]}', "UNKNOWN_TYPE"),
        ("{}", "UNKNOWN_TYPE"),
        ('{"type":"mute"}', "INVALID_MESSAGE"),
        ('{"type":"mute","muted":1}', "INVALID_MESSAGE"),
        ('{"type":"config","targetLang":5}', "INVALID_LANGUAGE"),
        ('{"type":"config","targetLang":"<script>"}', "INVALID_LANGUAGE"),
        ('{"type":"config","glossary":"Aoife"}', "INVALID_GLOSSARY"),
        ('{"type":"glossary"}', "INVALID_GLOSSARY"),
        ('{"type":"mute","x":"' + "x" * 20_000 + '"}', "TOO_LARGE"),
    ],
)
def test_a_bad_message_has_a_code_and_words(text: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        captions.decode(text)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")
