"""Silero as a stream, and the gate over its probabilities."""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from media_server.engines.base import Pcm
from media_server.pipeline import detect
from media_server.pipeline.detect import FRAME_SAMPLES, SileroDetector, VoiceGate


def frames(pcm: Pcm) -> list[Pcm]:
    return [pcm[i : i + FRAME_SAMPLES] for i in range(0, len(pcm) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]


@pytest.fixture(scope="module")
def speech(project_root: Path) -> Pcm:
    with wave.open(str(project_root / "tests/data/jfk.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_speech_is_found_at_any_level(speech: Pcm) -> None:
    voiced = {}
    for gain_db in (0, -18, -28):
        detector = SileroDetector()
        quiet = (speech * 10 ** (gain_db / 20)).astype(np.int16)
        voiced[gain_db] = [detector.probability(frame) >= 0.5 for frame in frames(quiet)]
    assert sum(voiced[0]) > 0.5 * len(voiced[0])
    for gain_db in (-18, -28):
        assert sum(voiced[gain_db]) > 0.85 * sum(voiced[0])


def test_a_stream_is_not_disturbed_by_another_one(speech: Pcm) -> None:
    alone = SileroDetector()
    expected = [alone.probability(frame) for frame in frames(speech)[:60]]
    one, other = SileroDetector(), SileroDetector()
    got = []
    for frame, foreign in zip(frames(speech)[:60], frames(speech)[100:160], strict=True):
        got.append(one.probability(frame))
        other.probability(foreign)
    assert got == expected


def test_digital_silence_is_not_run_through_the_network(speech: Pcm) -> None:
    detector = SileroDetector()
    runs = 0
    session = detector._session

    class Counting:
        def run(self, *arguments: object) -> object:
            nonlocal runs
            runs += 1
            return session.run(*arguments)

    detector._session = Counting()
    silence = np.zeros(FRAME_SAMPLES, np.int16)
    assert all(detector.probability(silence) == 0.0 for _ in range(1000))
    assert runs <= detect.SETTLE_FRAMES
    voiced = [detector.probability(frame) >= 0.5 for frame in frames(speech)]
    fresh = SileroDetector()
    assert abs(sum(voiced) - sum(fresh.probability(frame) >= 0.5 for frame in frames(speech))) <= 5


def test_noise_is_no_speech() -> None:
    rng = np.random.default_rng(1)
    detector = SileroDetector()
    noise = (rng.standard_normal(5 * 16_000) * 2000).astype(np.int16)
    assert max(detector.probability(frame) for frame in frames(noise)) < 0.5


def test_the_detector_is_found_without_importing_its_package() -> None:
    before = "faster_whisper" in sys.modules
    assert detect.silero_path().suffix == ".onnx"
    assert ("faster_whisper" in sys.modules) == before


def gate_over(probabilities: list[float], gate: VoiceGate) -> list[bool]:
    return [(gate.push(probability), gate.voiced)[1] for probability in probabilities]


def test_voice_needs_frames_in_a_row_and_is_kept_by_less() -> None:
    gate = VoiceGate(0.5, 0.35, 2)
    assert gate_over([0.6, 0.1, 0.6, 0.6, 0.4, 0.4, 0.3], gate) == [
        False,
        False,
        False,
        True,
        True,
        True,
        False,
    ]
    assert gate.silent_frames == 1


def test_a_lone_loud_frame_does_not_end_a_silence() -> None:
    gate = VoiceGate(0.5, 0.35, 2)
    assert gate_over([0.9, 0.9, 0.1, 0.1, 0.9, 0.1], gate)[-1] is False
    assert gate.silent_frames == 4
    assert gate_over([0.9, 0.9], gate)[-1] is True
    assert gate.silent_frames == 0
