"""What every recognizer keeps to."""

from __future__ import annotations

import asyncio
import re
import wave
from pathlib import Path

import numpy as np
import pytest

from media_server.engines.base import RECOGNIZER_RATE, Pcm, Recognition, RecognizeRequest
from media_server.engines.host import EngineHost
from tests.contract.conftest import of_kind

pytestmark = [pytest.mark.asyncio(loop_scope="module"), of_kind("recognize")]

TEXT = (
    "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
)
SAID = TEXT.split()


@pytest.fixture(scope="module")
def speech(project_root: Path) -> Pcm:
    """11 s: a president, with pauses; int16 at 16 kHz."""
    with wave.open(str(project_root / "tests" / "data" / "jfk.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RECOGNIZER_RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def wrong(heard: list[str]) -> int:
    """Edit distance in words."""
    row = list(range(len(SAID) + 1))
    for i, word in enumerate(heard, 1):
        previous, row[0] = row[0], i
        for j, said in enumerate(SAID, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != said))
    return row[-1]


async def recognize(host: EngineHost, request: RecognizeRequest) -> Recognition:
    return await host.recognize(request, deadline_s=30)


async def test_it_says_what_it_can_do(host: EngineHost) -> None:
    capabilities = host.capabilities
    assert capabilities is not None
    assert capabilities.kind == "recognize"
    assert all((capabilities.name, capabilities.model, capabilities.version, capabilities.licence))
    assert "en" in capabilities.languages
    assert capabilities.batch >= 1
    for pair in capabilities.pairs:
        assert pair.source in capabilities.languages
        assert pair.target == "en"


async def test_it_understands_a_speech(host: EngineHost, speech: Pcm) -> None:
    result = await recognize(host, RecognizeRequest(speech, language="en", final=True))
    assert wrong(words(result.transcript.text)) <= 1
    assert result.language == "en"
    assert result.took_s > 0


async def test_segments_lie_in_the_window_in_order_and_make_the_text(host: EngineHost, speech: Pcm) -> None:
    hypothesis = (await recognize(host, RecognizeRequest(speech, language="en", final=True))).transcript
    assert hypothesis.segments
    times = [time for segment in hypothesis.segments for time in (segment.start_s, segment.end_s)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= len(speech) / RECOGNIZER_RATE + 0.1
    assert words(" ".join(segment.text for segment in hypothesis.segments)) == words(hypothesis.text)
    assert hypothesis.text == hypothesis.text.strip()


async def test_a_language_that_is_not_given_is_detected(host: EngineHost, speech: Pcm) -> None:
    assert host.capabilities is not None
    result = await recognize(host, RecognizeRequest(speech, final=True))
    assert result.language == "en"
    assert 0 <= result.language_probability <= 1
    if len(host.capabilities.languages) > 1:
        assert result.language_probability > 0.8


async def test_windows_recognized_together_give_what_each_gives_alone(host: EngineHost, speech: Pcm) -> None:
    windows = [speech[: 4 * RECOGNIZER_RATE], speech[: 11 * RECOGNIZER_RATE], speech[8 * RECOGNIZER_RATE :]]
    requests = [RecognizeRequest(window, language="en", final=True) for window in windows]
    alone = [await recognize(host, request) for request in requests]
    blocker = asyncio.create_task(recognize(host, RecognizeRequest(speech, language="en")))
    together = await asyncio.gather(*(recognize(host, request) for request in requests))
    await blocker
    assert [words(r.transcript.text) for r in together] == [words(r.transcript.text) for r in alone]


@pytest.mark.parametrize("samples", [0, 1, 160, RECOGNIZER_RATE // 4])
async def test_too_little_sound_says_nothing_or_little(host: EngineHost, samples: int) -> None:
    result = await recognize(host, RecognizeRequest(np.zeros(samples, np.int16), language="en", final=True))
    assert len(words(result.transcript.text)) <= 3


async def test_thirty_seconds_are_taken(host: EngineHost, speech: Pcm) -> None:
    window = np.concatenate((speech, speech, speech))[: 30 * RECOGNIZER_RATE]
    result = await recognize(host, RecognizeRequest(window, language="en", final=True))
    assert words(result.transcript.text).count("country") >= 4


async def test_english_is_given_where_it_is_asked_for(host: EngineHost, speech: Pcm) -> None:
    assert host.capabilities is not None
    if not host.capabilities.pairs:
        return  # it translates nothing and says so
    request = RecognizeRequest(speech, language="en", outputs=("transcript", "english"), final=True)
    result = await recognize(host, request)
    assert result.english is not None
    assert "country" in words(result.english.text)
    request = RecognizeRequest(speech, language="en", outputs=("transcript",))
    assert (await recognize(host, request)).english is None
