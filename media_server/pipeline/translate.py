"""Captions of one utterance in one language, growing while somebody speaks. Pure: time is an argument.

The committed part of a partial is translated; the caption carries the newest translation there is. Two wordings that
disagree do not follow each other faster than ``MIN_REWORD_S``: the newest is held back and shown when it is ``due``.
A longer version of the same wording comes at once. Nothing changes after the final.
"""

from __future__ import annotations

from dataclasses import replace

from media_server.events import Caption, Heard

MIN_REWORD_S = 0.5  # at most two changes of wording a second can be read


class LiveCaption:
    """Turns what is heard and what is translated into captions of one target language."""

    def __init__(self, utterance: str, speaker: str, target: str) -> None:
        self._caption = Caption(
            id=utterance,
            speaker=speaker,
            revision=0,
            final=False,
            text="",
            lang="",
            translation="",
            target_lang=target,
            committed=0,
            translation_committed=0,
            start_ms=0,
            end_ms=0,
        )
        self._asked = ""
        self._reworded_s = -1e9
        self._held: tuple[str, int] | None = None

    def heard(self, heard: Heard) -> Caption:
        """The caption for what is heard now, with the translation of what was heard before."""
        return self._next(
            text=heard.text,
            lang=heard.language,
            committed=heard.committed,
            start_ms=heard.start_ms,
            end_ms=heard.end_ms,
            confidence=heard.confidence,
        )

    def to_translate(self, heard: Heard) -> str:
        """The text whose translation should be asked for now; empty when there is nothing new."""
        text = heard.text[: heard.committed].strip()
        if not text or text == self._asked:
            return ""
        self._asked = text
        return text

    def translated(self, text: str, committed: int, now_s: float) -> Caption | None:
        """The caption with a new translation; None when nothing changes or it would flicker."""
        current = self._caption.translation
        self._held = None
        if self._caption.final or text == current:
            return None
        if not text.startswith(current):
            if now_s - self._reworded_s < MIN_REWORD_S:
                self._held = (text, committed)
                return None
            self._reworded_s = now_s
        return self._next(translation=text, translation_committed=committed)

    def due(self, now_s: float) -> Caption | None:
        """The caption with the translation that was held back, if it may be shown now."""
        return self.translated(*self._held, now_s) if self._held is not None else None

    def final(self, heard: Heard, translation: str, note: str) -> Caption:
        """The last caption of the utterance."""
        return self._next(
            final=True,
            text=heard.text,
            lang=heard.language,
            committed=len(heard.text),
            translation=translation,
            translation_committed=len(translation),
            start_ms=heard.start_ms,
            end_ms=heard.end_ms,
            confidence=heard.confidence,
            note=note,
        )

    def _next(self, **changes: object) -> Caption:
        self._caption = replace(self._caption, revision=self._caption.revision + 1, **changes)  # type: ignore[arg-type]
        return self._caption
