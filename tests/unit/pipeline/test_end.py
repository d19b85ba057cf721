"""How long a silence is waited out, by how the utterance sounds and reads."""

from __future__ import annotations

import pytest

from media_server.pipeline.end import DANGLING, EndRule, Reading, reading

RULE = EndRule(300, 1000)
WHOLE = "He has worked as a nurse for years."


def wait(
    text: str = WHOLE, language: str = "en", turn: float | None = 0.95, surplus: float = 0.05, ms: int = 2500
) -> int:
    return RULE.hangover_ms(text, language, turn, surplus, ms)


def test_what_sounds_and_reads_finished_gets_the_shortest_wait() -> None:
    assert wait() == 300


def test_what_neither_sounds_nor_reads_finished_gets_the_longest() -> None:
    assert wait("He has worked as a", turn=0.02, surplus=-0.2) == 1000


def test_one_of_the_two_gets_something_between() -> None:
    assert 300 < wait(surplus=-0.05, turn=0.95) < 1000
    assert 300 < wait(turn=0.02, surplus=0.05) <= 1000


def test_a_full_stop_alone_never_shortens_the_wait() -> None:
    assert wait(turn=0.02, surplus=-0.15) == 1000


def test_the_wait_falls_steadily_as_evidence_grows() -> None:
    waits = [wait(turn=turn, surplus=-0.05) for turn in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)]
    assert waits == sorted(waits, reverse=True)
    assert all(300 <= value <= 1000 for value in waits)
    waits = [wait(surplus=surplus) for surplus in (-0.3, -0.2, -0.1, -0.05, 0.0, 0.1)]
    assert waits == sorted(waits, reverse=True)


def test_words_that_cannot_end_a_sentence_lengthen_the_wait() -> None:
    for text, language in (
        ("We should send the parcels to the.", "en"),
        ("Mañana vamos a la.", "es"),
        ("Je voudrais parler avec.", "fr"),
        ("Eu gostaria de falar com.", "pt"),
        ("Vorrei parlare con.", "it"),
        ("Ich möchte sprechen mit.", "de"),
    ):
        assert reading(text, language) is Reading.DANGLING
        assert wait(text, language) >= 900


def test_without_a_turn_detector_a_sure_text_still_ends_early() -> None:
    assert wait(turn=None, surplus=0.1) < 700
    assert wait(turn=None, surplus=-0.2) == 1000


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Yes.", "en"),
        ("No!", "en"),
        ("Thank you very much.", "en"),
        ("Ja.", "de"),
        ("Merci", "fr"),
    ],
)
def test_short_answers_end_early_however_they_sound(text: str, language: str) -> None:
    assert reading(text, language) is Reading.ANSWER
    assert wait(text, language, turn=0.01, surplus=-0.5, ms=300) <= 450


def test_a_short_piece_that_is_no_answer_waits() -> None:
    assert wait("Could you please?", turn=0.96, surplus=-0.1, ms=700) > 800


def test_nothing_to_read_waits_longest() -> None:
    assert wait("") == 1000
    assert wait("...") == 1000


def test_an_ellipsis_or_a_missing_full_stop_reads_open() -> None:
    assert reading("I would rather wait until...", "de") is Reading.OPEN
    assert reading("bread and butter", "en") is Reading.OPEN
    assert reading("Do you know where they are?", "en") is Reading.OPEN
    assert reading("これは本です。", "ja") is Reading.FINISHED


def test_an_unknown_language_has_no_words_that_dangle() -> None:
    assert "xx" not in DANGLING
    assert reading("the a of.", "xx") is Reading.FINISHED
