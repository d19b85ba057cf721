"""Moments between two words of an open utterance: where a sentence may be ended and a window shortened.

A pause in which the ending was decoded ahead of time tells which words lie before it, and so do the recognizer's time
tokens where the sound confirms them. Once those words are committed the sound before the moment is needed no more.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from media_server.engines.base import Hypothesis
from media_server.pipeline.agree import words_of
from media_server.pipeline.detect import FRAME_MS
from media_server.pipeline.window import Window

REACH_S = 0.4  # time tokens are off by up to this
DIP_DB = 12.0  # a moment without a pause needs a dip of at least this


@dataclass(frozen=True, slots=True)
class Anchor:
    """``position``: a frame number; ``keys``: the words of the window before it; ``following``: how many words after
    it have to be committed before it is used, as a guard against a word lost or said twice at a cut.
    """

    position: int
    keys: tuple[str, ...]
    english: str | None
    following: int


def pause_anchor(
    hypothesis: Hypothesis, english: Hypothesis | None, until: int, silent_frames: int
) -> list[Anchor]:
    """A pause that the window up to ``until`` ends with."""
    keys = tuple(word.key for word in words_of(hypothesis.text))
    if not keys:
        return []
    return [Anchor(until - silent_frames // 2, keys, None if english is None else english.text, 1)]


def segment_anchors(hypothesis: Hypothesis, window: Window, until: int) -> list[Anchor]:
    """Ends of the recognizer's segments near which the sound has a dip."""
    anchors: list[Anchor] = []
    keys: list[str] = []
    for segment, following in itertools.pairwise(hypothesis.segments):
        keys += [word.key for word in words_of(segment.text)]
        low = window.start + int((segment.end_s - REACH_S) * 1000 / FRAME_MS)
        high = window.start + int((max(following.start_s, segment.end_s) + REACH_S) * 1000 / FRAME_MS)
        position, dip = window.quietest(low, min(high, until - 1))
        if keys and dip >= DIP_DB:
            anchors.append(Anchor(position, tuple(keys), None, 2))
    return anchors


def anchors_after(anchors: list[Anchor], cut: Anchor) -> list[Anchor]:
    """The later ones of ``anchors``, told from ``cut`` on, where the window begins now."""
    later: list[Anchor] = []
    for anchor in anchors:
        words = len(cut.keys)
        if (
            anchor.position > cut.position
            and anchor.keys[:words][-1:] == cut.keys[-1:]
            and anchor.keys[words:]
        ):
            later.append(replace(anchor, keys=anchor.keys[words:], english=None))
    return later
