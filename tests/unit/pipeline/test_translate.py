from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media_server.events import Heard
from media_server.pipeline.translate import LiveCaption


def heard(text: str, committed: int, *, final: bool = False) -> Heard:
    return Heard("u1", 1, text, committed, "en", 0, 900, final=final)


def test_only_committed_text_is_translated_and_each_text_once() -> None:
    line = LiveCaption("u1", "ab", "es")
    assert line.to_translate(heard("Good morn", 0)) == ""
    assert line.to_translate(heard("Good morning eve", 4)) == "Good"
    assert line.to_translate(heard("Good morning every", 4)) == ""
    assert line.to_translate(heard("Good morning everyone", 12)) == "Good morning"


def test_a_caption_keeps_the_translation_there_is_and_revisions_grow() -> None:
    line = LiveCaption("u1", "ab", "es")
    first = line.heard(heard("Good morn", 4))
    second = line.translated("Bueno", 0, 10.0)
    third = line.heard(heard("Good morning", 4))
    assert second is not None
    assert (first.revision, second.revision, third.revision) == (1, 2, 3)
    assert third.translation == "Bueno"


def test_a_wording_changes_at_most_twice_a_second_but_may_grow_at_any_time() -> None:
    line = LiveCaption("u1", "ab", "es")
    line.translated("Bueno", 0, 10.0)
    assert line.translated("Buenos días", 0, 10.1) is not None  # longer, same beginning
    assert line.translated("Buen día a todos", 0, 10.2) is not None  # the first change of wording
    assert line.translated("Buenos días a todos", 0, 10.3) is None  # too soon after it
    assert line.translated("Buenos días a todos", 0, 10.8) is not None
    assert line.translated("Buenos días a todos", 0, 20.0) is None  # nothing new


def test_a_wording_held_back_is_shown_when_it_is_due() -> None:
    line = LiveCaption("u1", "ab", "es")
    line.translated("Bueno", 0, 10.0)
    line.translated("Buen día", 0, 10.1)
    assert line.translated("Buenas tardes", 0, 10.3) is None
    assert line.due(10.5) is None
    late = line.due(10.7)
    assert late is not None
    assert late.translation == "Buenas tardes"
    assert line.due(20.0) is None


def test_a_translation_that_comes_after_the_final_changes_nothing() -> None:
    line = LiveCaption("u1", "ab", "es")
    line.translated("Bueno", 0, 10.0)
    line.translated("Malo", 0, 10.1)
    line.translated("Peor", 0, 10.2)
    line.final(heard("Good.", 5, final=True), "Bien.", "")
    assert line.translated("Tarde", 0, 20.0) is None
    assert line.due(20.0) is None


STEPS = st.lists(st.tuples(st.sampled_from(["", "a", "ab", "abc", "b", "ba", "c"]), st.integers(0, 400)))


@given(steps=STEPS)
def test_no_second_has_more_than_two_changes_of_wording_whatever_the_translator_says(
    steps: list[tuple[str, int]],
) -> None:
    line, now_ms, shown, changes, revision = LiveCaption("u1", "ab", "es"), 0, "", [], 0
    for text, later_ms in steps:
        now_ms += later_ms
        for caption in (line.due(now_ms / 1000), line.translated(text, 0, now_ms / 1000)):
            if caption is None:
                continue
            assert caption.revision > revision
            revision = caption.revision
            if not caption.translation.startswith(shown):
                changes.append(now_ms)
            shown = caption.translation
    assert all(third - first >= 1000 for first, third in zip(changes, changes[2:], strict=False))
    last = line.due(now_ms / 1000 + 1)
    assert (last.translation if last is not None else shown) == (steps[-1][0] if steps else "")


def test_the_final_says_everything() -> None:
    line = LiveCaption("u1", "ab", "es")
    line.heard(heard("Good", 0))
    final = line.final(heard("Good morning.", 13, final=True), "Buenos días.", "")
    assert (final.final, final.text, final.translation) == (True, "Good morning.", "Buenos días.")
    assert (final.committed, final.translation_committed) == (13, 12)
