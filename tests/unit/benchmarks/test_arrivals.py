"""The stream of windows that the recognizer is measured with."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.arrivals import arrivals
from benchmarks.material import Clip
from media_server.engines.base import RECOGNIZER_RATE


def clip(seconds: float) -> Clip:
    sound = np.random.default_rng(1).integers(-8000, 8000, round(seconds * RECOGNIZER_RATE), dtype=np.int16)
    return Clip("a few words", sound)


def test_every_speaker_asks_for_growing_windows_and_then_for_the_whole_sentence() -> None:
    offered = arrivals([clip(2.0)], speakers=2, seconds=30.0)
    assert [one.at_s for one in offered] == sorted(one.at_s for one in offered)
    for speaker in ("speaker 0", "speaker 1"):
        own = [one for one in offered if one.owner == speaker]
        first = own[: [one.request.final for one in own].index(True) + 1]
        lengths = [one.request.audio.size / RECOGNIZER_RATE for one in first]
        assert lengths == [pytest.approx(length) for length in (0.48, 0.98, 1.48, 1.98, 2.2)]
        assert [bool(one.text) for one in first] == [False] * 4 + [True]


def test_the_same_seed_offers_the_same() -> None:
    one, other = (arrivals([clip(1.0), clip(1.5)], 3, 10.0, seed=7) for _ in range(2))
    assert [(a.at_s, a.owner, a.text) for a in one] == [(a.at_s, a.owner, a.text) for a in other]
