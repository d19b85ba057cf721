"""Where a sentence that is committed to its end may be cut off while the speaker goes on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from media_server.engines.base import Hypothesis
from media_server.pipeline.agree import Agreement, words_of
from media_server.pipeline.detect import FRAME_MS
from media_server.pipeline.window import Window

FOLLOWING_WORDS = 2  # committed words after the sentence: they guard the cut against lost and repeated words
COMPARED_WORDS = 3  # at the end of a sentence, to find it among the segments
REACH_S = 0.4  # time tokens are off by up to this
DIP_DB = 12.0  # a cut needs a dip of at least this


@dataclass(frozen=True, slots=True)
class SentenceCut:
    """``characters`` of the committed text end with the sentence; ``position`` is a frame number."""

    characters: int
    position: int


def sentence_cut(
    agreement: Agreement, hypothesis: Hypothesis, window: Window, until: int
) -> SentenceCut | None:
    """The last committed sentence whose end the recognizer's time tokens and a dip in the sound both show."""
    characters = agreement.sentence_end(FOLLOWING_WORDS)
    if not characters:
        return None
    ending = [word.key for word in words_of(agreement.committed[:characters])]
    tail = ending[-COMPARED_WORDS:]
    keys: list[str] = []
    found: tuple[int, float, float] | None = None
    segments = hypothesis.segments
    for segment, following in itertools.pairwise(segments):
        keys += [word.key for word in words_of(segment.text)]
        if keys[-len(tail) :] == tail:
            off = abs(len(keys) - len(ending))
            if found is None or off < found[0]:
                found = (off, segment.end_s, following.start_s)
    if found is None or found[0] > 2:
        return None
    low = window.start + int((found[1] - REACH_S) * 1000 / FRAME_MS)
    high = window.start + int((max(found[2], found[1]) + REACH_S) * 1000 / FRAME_MS)
    position, dip = window.quietest(low, min(high, until - 1))
    return SentenceCut(characters, position) if dip >= DIP_DB else None
