"""The lock on a detected language."""

from __future__ import annotations

from media_server.pipeline.language import LanguageLock


def test_a_given_language_is_never_left() -> None:
    lock = LanguageLock("en")
    for _ in range(5):
        lock.heard("es", 0.99, 3000)
    assert (lock.language, lock.detects) == ("en", False)


def test_one_confident_utterance_locks() -> None:
    lock = LanguageLock(None)
    lock.heard("es", 0.5, 3000)
    assert (lock.language, lock.detects) == (None, True)
    lock.heard("es", 0.95, 3000)
    assert lock.language == "es"


def test_a_short_answer_locks_nothing() -> None:
    lock = LanguageLock(None)
    lock.heard("nl", 0.99, 300)
    assert lock.language is None


def test_two_confident_utterances_in_another_language_unlock() -> None:
    lock = LanguageLock(None)
    lock.heard("es", 0.95, 3000)
    lock.heard("en", 0.95, 3000)
    assert lock.language == "es"
    lock.heard("en", 0.95, 3000)
    assert lock.language == "en"


def test_utterances_in_different_other_languages_do_not_add_up() -> None:
    lock = LanguageLock(None)
    for language in ("es", "en", "fr", "en", "es", "en"):
        lock.heard(language, 0.95, 3000)
    assert lock.language == "es"
