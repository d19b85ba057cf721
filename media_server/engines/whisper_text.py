"""What Whisper's answers mean: from tokens to segments, and a guard against answers that run in circles."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence

from media_server.engines.base import Segment

TIME_TOKEN_S = 0.02  # seconds between neighbouring time tokens
TOKENS_ALWAYS = 16  # allowed on top of the rate: time tokens, punctuation, very short windows
TOKENS_PER_S = 8  # fast speech in a language whose words are in the vocabulary has 5
DENSE_TOKENS_PER_S = 24  # in scripts that are written byte by byte
DENSE = frozenset(
    {
        "am",
        "ar",
        "as",
        "bn",
        "bo",
        "el",
        "fa",
        "gu",
        "he",
        "hi",
        "hy",
        "ja",
        "ka",
        "kk",
        "km",
        "kn",
        "ko",
        "lo",
    }
    | {
        "ml",
        "mn",
        "mr",
        "my",
        "ne",
        "pa",
        "ps",
        "sa",
        "sd",
        "si",
        "ta",
        "te",
        "tg",
        "th",
        "ur",
        "yi",
        "yue",
        "zh",
    }
)
SPACELESS = frozenset({"bo", "ja", "km", "lo", "my", "th", "yue", "zh"})  # words are not set apart

COMPRESSION_LIMIT = 2.4
"""Bytes of an answer over its bytes compressed: honest speech of up to 30 s stays under it."""

_REPEATS_OF_BLOCK = {1: 7, 2: 5}  # people do say "no, no, no, no"; longer blocks: three times
_REPEATS_OF_LONG_BLOCK = 3
_SCATTERED_WORDS = 4  # a run of so many words, three times anywhere, is suspicious, too
_SCATTERED_TIMES = 3


def token_budget(seconds: float, language: str) -> int:
    """The most tokens that ``seconds`` of speech can need."""
    rate = DENSE_TOKENS_PER_S if language in DENSE else TOKENS_PER_S
    return int(seconds * rate) + TOKENS_ALWAYS


def segments_of(
    tokens: Sequence[int], first_time_token: int, decode: Callable[[list[int]], str], seconds: float
) -> tuple[Segment, ...]:
    """Splits an answer at its time tokens; times count from the window's start and end at ``seconds``."""
    segments: list[Segment] = []
    start, run = 0.0, list[int]()

    def close(end: float) -> None:
        if text := decode(run).strip():
            segments.append(Segment(text, round(start, 2), round(max(start, end), 2)))
        run.clear()

    for token in tokens:
        if token < first_time_token:
            run.append(token)
            continue
        at = min((token - first_time_token) * TIME_TOKEN_S, seconds)
        close(at)
        start = at
    close(seconds)
    return tuple(segments)


def join(segments: Sequence[Segment], language: str) -> str:
    """The text of an answer."""
    return ("" if language in SPACELESS else " ").join(segment.text for segment in segments)


def units(text: str, language: str) -> list[str]:
    """What repetition is counted in: words without case and punctuation, or characters if ``SPACELESS``."""
    folded = "".join(c if c.isalnum() else " " for c in text.casefold())
    return [c for c in folded if c != " "] if language in SPACELESS else folded.split()


def loop_start(words: Sequence[str]) -> int | None:
    """Where a block of words begins that is said again and again without a break, or None."""
    for size in range(1, len(words) // 2 + 1):
        needed = _REPEATS_OF_BLOCK.get(size, _REPEATS_OF_LONG_BLOCK)
        for start in range(len(words) - size * needed + 1):
            block = words[start : start + size]
            if all(words[start + k * size : start + (k + 1) * size] == block for k in range(1, needed)):
                return start
    return None


def _scattered_loop(words: Sequence[str]) -> bool:
    runs = Counter(tuple(words[i : i + _SCATTERED_WORDS]) for i in range(len(words) - _SCATTERED_WORDS + 1))
    return any(count >= _SCATTERED_TIMES for count in runs.values())


def compression(text: str) -> float:
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def runs_in_circles(text: str, tokens: int, seconds: float, language: str) -> bool:
    """Whether an answer of ``tokens`` tokens to ``seconds`` of speech must not be believed as it is."""
    if tokens >= token_budget(seconds, language) or compression(text) > COMPRESSION_LIMIT:
        return True
    words = units(text, language)
    return loop_start(words) is not None or _scattered_loop(words)


def cut_loop(text: str, language: str) -> str:
    """The text up to the end of the first turn of its loop; unchanged where there is none."""
    words = units(text, language)
    start = loop_start(words)
    if start is None:
        return text
    size = next(
        n for n in range(1, len(words)) if words[start : start + n] == words[start + n : start + 2 * n]
    )
    kept = start + size
    if language in SPACELESS:
        letters = [position for position, character in enumerate(text) if character.isalnum()]
        return text[: letters[kept - 1] + 1]
    pieces, seen = list[str](), 0
    for piece in text.split():
        pieces.append(piece)
        seen += len(units(piece, language))
        if seen >= kept:
            break
    return " ".join(pieces).rstrip(",;:")
