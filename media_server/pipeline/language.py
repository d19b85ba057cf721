"""Which language a speaker speaks: given, or detected, locked and unlocked."""

from __future__ import annotations

CONFIDENT = 0.8
CONFIDENT_VOICE_MS = 900  # a "Yes." names no language
UNLOCK_AFTER = 2


class LanguageLock:
    """Locks after one confident utterance; goes over to another language after two confident ones in it."""

    def __init__(self, given: str | None) -> None:
        self.given = given
        self._locked: str | None = None
        self._other: str | None = None
        self._others = 0

    @property
    def language(self) -> str | None:
        """What to recognize in; None as long as it is to be detected."""
        return self.given or self._locked

    @property
    def detects(self) -> bool:
        """Whether finished utterances should say what they sound like."""
        return self.given is None

    def heard(self, language: str, probability: float, voice_ms: int) -> None:
        """A finished utterance sounded like ``language``."""
        if self.given is not None or probability < CONFIDENT or voice_ms < CONFIDENT_VOICE_MS:
            return
        if self._locked is None or language == self._locked:
            self._locked = language
            self._other, self._others = None, 0
            return
        self._others = self._others + 1 if language == self._other else 1
        self._other = language
        if self._others >= UNLOCK_AFTER:
            self._locked = language
            self._other, self._others = None, 0
