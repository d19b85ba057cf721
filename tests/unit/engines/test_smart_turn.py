"""Smart Turn hears whether a sentence goes on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from media_server.engines.base import RECOGNIZER_RATE, TurnRequest
from media_server.engines.smart_turn import SmartTurnDetector
from tests.support.models import jfk, model_dir


@pytest.fixture(scope="module")
def detector() -> Iterator[SmartTurnDetector]:
    (model,) = model_dir("smart-turn-v3.2").glob("*.onnx")
    detector = SmartTurnDetector(str(model))
    assert detector.load().model == "smart-turn-v3.2"
    yield detector
    detector.close()


def finished(detector: SmartTurnDetector, until_s: float) -> float:
    return detector.turn(TurnRequest(jfk().pcm[: int(until_s * RECOGNIZER_RATE)])).probability


@pytest.mark.parametrize("until_s", [1.0, 4.0, 5.0, 6.0, 7.5, 8.0, 9.0, 10.0])
def test_a_sentence_that_goes_on_does_not_sound_finished(detector: SmartTurnDetector, until_s: float) -> None:
    assert finished(detector, until_s) < 0.3


@pytest.mark.parametrize("until_s", [2.5, 10.6, 11.0])
def test_a_phrase_that_is_complete_sounds_finished(detector: SmartTurnDetector, until_s: float) -> None:
    assert finished(detector, until_s) > 0.7


@pytest.mark.parametrize("samples", [0, 1, 20 * RECOGNIZER_RATE])
def test_any_length_gives_a_probability(detector: SmartTurnDetector, samples: int) -> None:
    assert 0 <= detector.turn(TurnRequest(np.zeros(samples, np.int16))).probability <= 1


def test_a_missing_model_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no model at"):
        SmartTurnDetector("/nowhere/smart-turn.onnx").load()
