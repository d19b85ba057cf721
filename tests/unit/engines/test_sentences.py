"""Texts cut into sentences, in any script, and made fit for a voice."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_server.engines.sentences import clause_cut, clean, sentences, speakable, what_follows


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ('He said "Yes." Then he left.', ['He said "Yes."', "Then he left."]),
        ("Dr. Smith met J. F. Kennedy, e.g. in May.", ["Dr. Smith met J. F. Kennedy, e.g. in May."]),
        ("It costs 3.50 or 1.200,00 today.", ["It costs 3.50 or 1.200,00 today."]),
        ("Well... maybe. Wait… What?", ["Well... maybe.", "Wait…", "What?"]),
        ("So do I. He did.", ["So do I.", "He did."]),
        ("See example.org/a.b for it. Now.", ["See example.org/a.b for it.", "Now."]),
        ("¿Qué? ¡Sí! El Sr. García vino.", ["¿Qué?", "¡Sí!", "El Sr. García vino."]),
        ("你好。今天好吗？很好！", ["你好。", "今天好吗？", "很好！"]),
        ("「はい。」と言った。次。", ["「はい。」", "と言った。", "次。"]),
        ("नमस्ते। आप कैसे हैं? ठीक।", ["नमस्ते।", "आप कैसे हैं?", "ठीक।"]),
        ("مرحبا؟ نعم. لا۔", ["مرحبا؟", "نعم.", "لا۔"]),
        ("one\ntwo\r\n\nthree", ["one", "two", "three"]),
        ("no end", ["no end"]),
        ("...", ["..."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences_end_where_readers_end_them(text: str, parts: list[str]) -> None:
    assert list(sentences(text)) == parts


@given(st.text(max_size=300), st.integers(5, 60))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, longest: int) -> None:
    parts = list(sentences(text, longest))
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part and part == part.strip() and len(part) <= longest for part in parts)


def test_a_long_sentence_is_cut_at_a_clause_then_at_a_space() -> None:
    assert list(sentences("one two three, four five six seven", 20)) == [
        "one two three,",
        "four five six seven",
    ]
    assert list(sentences("one two three four", 9)) == ["one two", "three", "four"]
    assert list(sentences("abcdefghij", 4)) == ["abcd", "efgh", "ij"]


def test_a_clause_is_cut_only_inside_the_bounds() -> None:
    text = "Yes, my fellow Americans, ask not"
    assert text[: clause_cut(text, 10, 40)] == "Yes, my fellow Americans, "
    assert clause_cut(text, 30, 40) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  hello \x00 there\u200b ", "hello there"),
        ("ok 👍🏽 👨‍👩‍👧", "ok \u200d \u200d"),
        ("👍", ""),
        ("...", ""),
        ("—", ""),
        ("5 %", "5 %"),
        ("a\r\nb", "a\nb"),
        ("\ud800", ""),
        ("क्‍ष", "क्‍ष"),
    ],
)
def test_a_voice_gets_what_can_be_said(text: str, said: str) -> None:
    assert speakable(text) == said


@given(st.text(max_size=100))
def test_a_clean_text_is_composed_and_has_no_controls(text: str) -> None:
    cleaned = clean(text)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert all(c == "\n" or unicodedata.category(c) != "Cc" for c in cleaned)
    cleaned.encode()


def test_what_follows_is_what_the_sentences_said_leave_over() -> None:
    text = "One. 😀 Two, at last.\nTwo. Three!"
    whole = list(sentences(speakable(text)))
    for count in range(len(whole) + 1):
        assert list(sentences(what_follows(text, whole[:count]))) == whole[count:]
    assert what_follows("One. Two.", ["Something else."]) == "One. Two."
