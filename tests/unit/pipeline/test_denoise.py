"""Denoising: RNNoise takes noise away and keeps the voice, the gate does what the older servers' did."""

from __future__ import annotations

import sys
import time
import wave
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from media_server.audio.levels import dbov
from media_server.audio.resample import resample
from media_server.engines.base import Pcm
from media_server.pipeline import denoise
from media_server.pipeline.denoise import DenoiserUnavailable, NoiseGate, RNNoise, make_denoiser


@pytest.fixture(scope="module")
def voice(project_root: Path) -> Pcm:
    with wave.open(str(project_root / "tests/data/jfk.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate = file.getframerate()
    pcm = resample(pcm, rate, 48_000)
    return pcm[: len(pcm) // 960 * 960]


def through(denoiser: denoise.Denoiser, pcm: Pcm) -> Pcm:
    return np.concatenate([denoiser.process(pcm[at : at + 960]) for at in range(0, len(pcm), 960)])


def test_rnnoise_runs_with_the_int8_weights_of_its_own_library() -> None:
    denoiser = make_denoiser()
    assert denoiser.name == "rnnoise"
    assert denoiser.reason == "RNNoise of the pyrnnoise wheel, int8 weights"
    assert "pyrnnoise" not in sys.modules  # its package pulls in what nothing here needs


def test_int8_weights_sound_like_the_float_ones(voice: Pcm) -> None:
    noisy = (voice + np.random.default_rng(2).normal(0, 500, len(voice))).astype(np.int16)[: 48_000 * 4]
    quick = through(RNNoise(), noisy).astype(float)
    shared = denoise._library()
    state = shared.library.rnnoise_create(None)
    buffer = np.zeros(480, np.float32)
    reference = np.empty(len(noisy))
    for at in range(0, len(noisy), 480):
        buffer[:] = noisy[at : at + 480]
        shared.library.rnnoise_process_frame(state, buffer.ctypes.data, buffer.ctypes.data)
        reference[at : at + 480] = buffer
    shared.library.rnnoise_destroy(state)
    error = reference - quick
    assert 10 * np.log10(np.mean(reference**2) / np.mean(error**2)) > 40


def test_noise_goes_and_the_voice_stays(voice: Pcm) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 700, 48_000 * 3).astype(np.int16)
    alone = through(RNNoise(), noise)
    assert dbov(alone[48_000:]) < dbov(noise) - 15
    spoken = (voice + rng.normal(0, 300, len(voice))).astype(np.int16)
    cleaned = through(RNNoise(), spoken)
    delay = RNNoise.delay
    assert np.corrcoef(cleaned[delay:].astype(float), voice[:-delay].astype(float))[0, 1] > 0.9


def test_the_speech_probability_tells_a_voice_from_noise(voice: Pcm) -> None:
    def probability(pcm: Pcm) -> float:
        denoiser, seen = RNNoise(), []
        for at in range(0, len(pcm), 480):
            denoiser.process(pcm[at : at + 480])
            seen.append(denoiser.speech)
        return float(np.mean(seen))

    noise = np.random.default_rng(1).normal(0, 700, 48_000 * 3).astype(np.int16)
    assert probability(voice[: 48_000 * 3]) > probability(noise) + 0.2


def test_digital_silence_costs_next_to_nothing_and_stays_silent(voice: Pcm) -> None:
    denoiser = RNNoise()
    through(denoiser, voice[:48_000])
    silence = np.zeros(960, np.int16)
    for _ in range(60):
        denoiser.process(silence)
    start = time.perf_counter()
    quiet = [denoiser.process(silence) for _ in range(500)]
    assert (time.perf_counter() - start) / 500 < 60e-6  # s; with RNNoise running it is ten times that
    assert not any(frame.any() for frame in quiet)
    assert denoiser.speech == 0.0


def test_pieces_of_any_length_come_back_whole(voice: Pcm) -> None:
    denoiser, reference = RNNoise(), RNNoise()
    cut = np.concatenate([denoiser.process(voice[at : at + 700]) for at in range(0, 70_000, 700)])
    whole = np.concatenate([reference.process(voice[at : at + 480]) for at in range(0, len(cut), 480)])
    assert len(cut) == 70_000 // 480 * 480
    assert np.array_equal(cut, whole)


def test_a_closed_denoiser_passes_sound_through(voice: Pcm) -> None:
    denoiser = RNNoise()
    denoiser.close()
    denoiser.close()
    assert np.array_equal(denoiser.process(voice[:960]), voice[:960])


def test_the_gate_attenuates_quiet_frames_and_leaves_loud_ones_alone() -> None:
    gate = NoiseGate(0.015, 0.2)
    quiet = np.full(480, 480, np.int16)  # 0.0146 of full scale
    loud = np.full(480, 500, np.int16)  # 0.0153
    assert set(gate.process(quiet)) == {96}
    assert gate.process(loud) is not None
    assert set(gate.process(loud)) == {500}
    both = gate.process(np.concatenate((quiet, loud)))
    assert set(both[:480]) == {96}
    assert set(both[480:]) == {500}
    assert gate.process_frame(loud) is loud
    assert set(gate.process_frame(quiet)) == {96}


def test_the_gate_takes_over_with_a_reason_when_rnnoise_is_off_or_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = make_denoiser(enable_rnnoise=False)
    assert (off.name, off.reason) == ("gate", "RNNoise is switched off (ENABLE_RNNOISE=0)")
    denoise._library.cache_clear()
    monkeypatch.setattr(denoise, "find_spec", lambda name: None)
    missing = make_denoiser()
    assert (missing.name, missing.reason) == ("gate", "pyrnnoise is not installed")
    with pytest.raises(DenoiserUnavailable):
        RNNoise()
    denoise._library.cache_clear()
    assert find_spec("pyrnnoise") is not None
