"""Which windows are decoded together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from media_server.engines.whisper_ladder import PASS_FRAMES, Rung, Work, groups


def work(seconds: float, *, beam: int = 2, prompt: int = 0) -> Work:
    return Work(
        np.zeros(0, np.float32), seconds, (Rung(2.0, beam=beam),), [1] * prompt, "en", False, frozenset(), []
    )


def cost(found: list[list[Work]]) -> int:
    return sum(PASS_FRAMES + len(group) * max(one.frames for one in group) for group in found)


def test_windows_of_about_one_length_go_together_and_a_much_longer_one_alone() -> None:
    short = [work(1.0), work(1.5), work(2.0), work(1.2), work(1.1)]
    assert [len(group) for group in groups([work(26.0), *short])] == [5, 1]


def test_windows_that_are_searched_differently_never_share_a_batch() -> None:
    found = groups([work(1.0), work(1.0, beam=5), work(1.0, prompt=16), work(1.0)])
    assert sorted(len(group) for group in found) == [1, 1, 2]


@given(st.lists(st.floats(0.1, 29.0), min_size=1, max_size=16))
def test_every_window_is_in_one_group_and_no_split_is_dearer_than_all_or_none(lengths: list[float]) -> None:
    works = [work(seconds) for seconds in lengths]
    found = groups(works)
    assert sorted(id(one) for group in found for one in group) == sorted(map(id, works))
    assert cost(found) <= cost([works])
    assert cost(found) <= cost([[one] for one in works])
