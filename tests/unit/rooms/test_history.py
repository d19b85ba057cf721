"""The finals of a room: kept for a time, given in the language of who asks, taken back with consent."""

from __future__ import annotations

from media_server.events import Caption
from media_server.rooms.history import MAX_ENTRIES, History


def final(number: int, *, target: str = "es", speaker: str = "a") -> Caption:
    text = f"text {number}"
    return Caption(
        f"{speaker}-{number}", speaker, 1, True, text, "en", f"{text} {target}", target, 6, 6, 0, 900
    )


def test_finals_are_given_oldest_first_in_the_language_of_who_asks() -> None:
    history = History(1800)
    for number in range(3):
        for target in ("es", "fr") if number != 1 else ("es",):
            history.add(final(number, target=target), 100.0 + number)
    assert [(at, one.translation) for at, one in history.items("fr", 110)] == [
        (100.0, "text 0 fr"), (101.0, "text 1 es"), (102.0, "text 2 fr"),
    ]  # fmt: skip


def test_what_is_too_old_or_too_much_goes() -> None:
    history = History(10)
    history.add(final(0), 100)
    history.add(final(1), 105)
    assert [one.text for _, one in history.items("es", 111)] == ["text 1"]
    for number in range(MAX_ENTRIES + 5):
        history.add(final(number), 120)
    assert len(history) == MAX_ENTRIES
    never = History(0)
    never.add(final(0), 100)
    assert len(never) == 0


def test_a_speaker_who_withdraws_takes_every_word_back() -> None:
    history = History(1800)
    history.add(final(0, speaker="a"), 100)
    history.add(final(0, speaker="b"), 100)
    history.forget("a")
    assert [one.speaker for _, one in history.items("es", 101)] == ["b"]
