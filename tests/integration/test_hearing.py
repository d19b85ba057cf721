"""Hearing with the real detector, recognizer and turn detector, in virtual time: each decode takes DECODE_S."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.material import JFK_TEXT, Clip, active_dbfs, joined, with_noise
from benchmarks.nonspeech import pieces
from benchmarks.scoring import errors, words_of
from media_server.engines.base import Pcm, Recognition, RecognizeRequest
from media_server.engines.faster_whisper import FasterWhisperRecognizer
from media_server.engines.smart_turn import SmartTurnDetector
from media_server.pipeline.hear import Hearing, HearSettings
from tests.support.models import jfk, model_dir, spoken
from tests.support.recordings import recording
from tests.support.virtual_hearing import Call, VirtualCall

DECODE_S = 0.15
RATE = 16_000

type Listen = Callable[..., Call]


@pytest.fixture(scope="module")
def recognizer() -> Iterator[FasterWhisperRecognizer]:
    engine = FasterWhisperRecognizer(str(model_dir("whisper-base")))
    engine.load()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def turns() -> Iterator[SmartTurnDetector]:
    (path,) = model_dir("smart-turn-v3.2").glob("*.onnx")
    engine = SmartTurnDetector(str(path))
    engine.load()
    yield engine
    engine.close()


@pytest.fixture
def listen(recognizer: FasterWhisperRecognizer, turns: SmartTurnDetector) -> Listen:
    def recognize(request: RecognizeRequest) -> Recognition:
        return replace(recognizer.recognize([request])[0], took_s=DECODE_S)

    def run(*sounds: Pcm, language: str | None = "en", english: bool = False) -> Call:
        hearing = Hearing(HearSettings(), speaker="ann", language=language, english=english)
        call = VirtualCall(hearing, recognize, turns.turn)
        call.silence(0.5)
        for sound in sounds:
            call.play(sound)
        call.silence(1.5)
        finished = call.settle()
        assert not hearing.busy
        assert finished.lost() == []
        return finished

    return run


def said(call: Call) -> list[str]:
    return [heard.text for _, heard in call.finals() if heard.text]


def wrong(call: Call, truth: str) -> int:
    return errors(truth, " ".join(said(call))).wrong


def end_delay_s(call: Call, clip: Clip) -> float:
    return call.finals()[-1][0] - 0.5 - clip.voiced[1] / RATE


def with_gap(clip: Clip, low_s: float, high_s: float, gap_s: float) -> Pcm:
    """Silence put in at the quietest 10 ms between two times."""
    steps = clip.pcm[int(low_s * RATE) : int(high_s * RATE)].astype(np.float64)
    steps = steps[: steps.size // 160 * 160].reshape(-1, 160)
    place = int(low_s * RATE) + int(np.argmin((steps**2).sum(axis=1))) * 160 + 80
    return np.concatenate([clip.pcm[:place], np.zeros(int(gap_s * RATE), np.int16), clip.pcm[place:]])


def test_a_recorded_speech_with_pauses_has_at_most_one_wrong_word(listen: Listen) -> None:
    call = listen(jfk().pcm)
    assert wrong(call, JFK_TEXT) <= 1
    by_utterance: dict[str, list[str]] = {}
    for _, heard in call.heard():
        by_utterance.setdefault(heard.utterance, []).append(heard.text[: heard.committed])
    for committed in by_utterance.values():
        assert all(later.startswith(earlier) for earlier, later in pairwise(committed))


def test_quiet_speech_keeps_its_first_and_last_words(listen: Listen) -> None:
    clip = jfk()
    quiet = (clip.pcm * 10 ** ((-35.0 - active_dbfs(clip.pcm)) / 20)).astype(np.int16)
    words = words_of(" ".join(said(listen(quiet))))
    assert words[:3] == ["and", "so", "my"]
    assert words[-2:] == ["your", "country"]


@pytest.mark.parametrize("text", ["Yes.", "No."])
def test_one_word_alone_is_heard_and_ends_early(listen: Listen, text: str) -> None:
    clip = spoken(text)
    call = listen(clip.pcm)
    assert [words_of(final) for final in said(call)] == [words_of(text)]
    assert end_delay_s(call, clip) <= 0.6


@pytest.mark.parametrize("number", [7, 26])
def test_a_sentence_is_shown_while_it_is_spoken_and_final_soon_after_its_end(
    listen: Listen, number: int
) -> None:
    clip = spoken(number)
    call = listen(clip.pcm)
    times = [time for time, heard in call.heard() if words_of(heard.text)[:1] == words_of(clip.text)[:1]]
    assert times[0] - 0.5 - clip.voiced[0] / RATE <= 0.9
    assert wrong(call, clip.text) <= 2
    assert end_delay_s(call, clip) <= 1.1


def test_sentences_under_noise_are_heard(listen: Listen) -> None:
    """Piper never says a sentence twice in the same way, so the bar is for several together."""
    clips = [spoken(number) for number in (3, 7, 26)]
    noise = np.random.default_rng(1)
    calls = [listen(with_noise(Clip(clip.text, np.pad(clip.pcm, RATE)), 10.0, noise).pcm) for clip in clips]
    missed = sum(wrong(call, clip.text) for call, clip in zip(calls, clips, strict=True))
    assert missed <= 0.25 * sum(len(words_of(clip.text)) for clip in clips)


def test_a_pause_inside_a_sentence_does_not_end_it(listen: Listen) -> None:
    """Of three, at most one: the bar for all is ten in a hundred, and no voice says a sentence twice alike."""
    cut = 0
    for text in (
        "I would rather wait until we have heard from the lawyers.",
        "My colleague from Portugal would like to add something here.",
        "The ferry was late because of the storm, so we missed our train.",
    ):
        clip = spoken(text)
        middle = clip.seconds / 2
        cut += len(said(listen(with_gap(clip, middle - 0.3, middle + 0.3, 0.6)))) > 1
    assert cut <= 1


def test_talk_without_a_break_ends_sentences_on_the_way_and_loses_no_words(listen: Listen) -> None:
    talk = joined([spoken(number) for number in (0, 7, 8, 26)])
    call = listen(talk.pcm)
    assert errors(talk.text, " ".join(said(call))).rate <= 0.10
    assert call.longest_window_s <= 14.0
    assert len(said(call)) >= 3
    assert call.finals()[0][0] < talk.seconds / 2


def test_spanish_is_detected_and_its_english_comes_along(listen: Listen) -> None:
    call = listen(recording("es/conteo"), language=None, english=True)
    (final,) = [heard for _, heard in call.finals()]
    assert final.language == "es"
    assert final.english


def test_nothing_is_heard_where_nobody_speaks(listen: Listen) -> None:
    call = listen(*(sound for _, sound in pieces(2.0, seed=5, piece_s=6.0)))
    assert said(call) == []
