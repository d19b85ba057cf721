"""What every turn detector keeps to."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest

from media_server.engines.base import RECOGNIZER_RATE, Pcm, TurnRequest
from media_server.engines.host import EngineHost
from tests.contract.conftest import of_kind

pytestmark = [pytest.mark.asyncio(loop_scope="module"), of_kind("turn")]


def speech_of(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RECOGNIZER_RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


async def test_it_says_what_it_can_do(host: EngineHost) -> None:
    capabilities = host.capabilities
    assert capabilities is not None
    assert capabilities.kind == "turn"
    assert all((capabilities.name, capabilities.model, capabilities.version, capabilities.licence))


@pytest.mark.parametrize("seconds", [0, 0.1, 8, 30])
async def test_any_length_of_sound_gives_a_probability(host: EngineHost, seconds: float) -> None:
    noise = np.random.default_rng(1).normal(0, 500, int(seconds * RECOGNIZER_RATE)).astype(np.int16)
    assert 0 <= (await host.turn(TurnRequest(noise))).probability <= 1


async def test_a_finished_sentence_sounds_more_finished_than_one_cut_in_the_middle(
    host: EngineHost, project_root: Path
) -> None:
    sound = await asyncio.to_thread(speech_of, project_root / "tests" / "data" / "jfk.wav")
    whole = (await host.turn(TurnRequest(sound))).probability
    begun = (await host.turn(TurnRequest(sound[: 5 * RECOGNIZER_RATE]))).probability
    assert whole > 0.5 > begun


async def test_the_same_sound_gives_the_same_answer(host: EngineHost) -> None:
    sound = np.random.default_rng(2).normal(0, 3000, 3 * RECOGNIZER_RATE).astype(np.int16)
    answers = await asyncio.gather(*(host.turn(TurnRequest(sound)) for _ in range(3)))
    assert len(set(answers)) == 1
