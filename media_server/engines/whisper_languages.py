"""The languages of Whisper under their ISO codes, and how well speech in them becomes English text."""

from __future__ import annotations

from media_server.engines.base import Pair

_TO_WHISPER = {"jv": "jw", "nb": "no", "fil": "tl", "iw": "he", "in": "id"}
_FROM_WHISPER = {"jw": "jv"}

_GOOD = frozenset({"es", "fr", "pt", "it", "de", "ca", "gl"})
_FAIR = frozenset(
    {"ar", "bg", "cs", "da", "el", "hi", "hr", "id", "ja", "ko", "nl", "no", "pl", "ro", "ru", "sk", "sv"}
    | {"tr", "uk", "vi", "zh"}
)
GOOD_QUALITY, FAIR_QUALITY, ROUGH_QUALITY = 75, 50, 40
"""On the scale of ``Pair.quality``, judged on the `base` size; larger ones are better at all of them."""


def to_whisper(language: str) -> str:
    """Whisper's own code of a language."""
    return _TO_WHISPER.get(language, language)


def from_whisper(code: str) -> str:
    """The ISO code of one of Whisper's, also where it comes as a token ("<|en|>")."""
    bare = code.strip("<|>")
    return _FROM_WHISPER.get(bare, bare)


def pairs_into_english(languages: tuple[str, ...]) -> tuple[Pair, ...]:
    def quality(language: str) -> int:
        if language in _GOOD:
            return GOOD_QUALITY
        return FAIR_QUALITY if language in _FAIR else ROUGH_QUALITY

    return tuple(Pair(language, "en", quality(language)) for language in languages if language != "en")
