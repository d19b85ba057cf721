"""The window of an open utterance: positions survive a cut, and cuts are made where it is quiet."""

from __future__ import annotations

import numpy as np

from media_server.pipeline.detect import FRAME_SAMPLES
from media_server.pipeline.window import FLOOR_DB, Frame, Window, make_frame


def window(levels: list[float], start: int = 100) -> Window:
    pcm = np.ones(FRAME_SAMPLES, np.int16)
    return Window(
        start, [Frame(pcm * (i + 1), 0.9 if level > -40 else 0.05, level) for i, level in enumerate(levels)]
    )


def test_a_frame_knows_its_level() -> None:
    assert make_frame(np.zeros(FRAME_SAMPLES, np.int16), 0.0).level_db == FLOOR_DB
    full = make_frame(np.full(FRAME_SAMPLES, 32767, np.int16), 0.0)
    assert abs(full.level_db) < 0.01


def test_audio_ends_where_it_is_asked_to() -> None:
    found = window([-20.0] * 4).audio(until=103)
    assert found.dtype == np.int16
    assert len(found) == 3 * FRAME_SAMPLES
    assert found[-1] == 3


def test_a_split_keeps_all_sound_and_the_numbers_of_the_frames() -> None:
    rest = window([-20.0] * 6)
    first = rest.split(102)
    assert (first.start, first.end, rest.start, rest.end) == (100, 102, 102, 106)
    assert np.concatenate([first.audio(), rest.audio()])[::FRAME_SAMPLES].tolist() == [1, 2, 3, 4, 5, 6]


def test_what_is_let_go_is_still_there_for_the_turn_detector() -> None:
    shortened = window([-20.0] * 10)
    shortened.let_go(107)
    assert len(shortened.audio()) == 3 * FRAME_SAMPLES
    assert shortened.latest(6 * 0.032)[::FRAME_SAMPLES].tolist() == [5, 6, 7, 8, 9, 10]


def test_the_quietest_point_is_the_middle_of_the_pause() -> None:
    levels = [-20.0] * 10 + [-70.0] * 5 + [-20.0] * 10
    position, dip = window(levels).quietest(102, 123)
    assert position in {112, 113}
    assert dip > 40


def test_without_a_pause_the_dip_is_shallow() -> None:
    _, dip = window([-20.0, -21.0] * 10).quietest(102, 118)
    assert dip < 3


def test_a_place_outside_is_answered_with_one_inside() -> None:
    position, _ = window([-20.0] * 5).quietest(300, 400)
    assert 100 <= position <= 105
    position, dip = window([-20.0]).quietest(0, 400)
    assert 100 <= position <= 101
    assert dip == 0.0
