"""Whisper in short windows: right words, honest times, one answer for each request however they are grouped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.scoring import errors, words_of
from media_server.engines.base import RECOGNIZER_RATE, Hypothesis, Recognition, RecognizeRequest
from media_server.engines.faster_whisper import FasterWhisperRecognizer
from media_server.engines.whisper_ladder import FULL, Ladder, Rung
from tests.support.models import jfk, model_dir, spoken

BATCHED = (0, 2, 3, 6, 13)
"""Sentences that no padding tempts the model to repeat: what is padded further in a batch may only get better."""


@pytest.fixture(scope="module")
def base() -> Iterator[FasterWhisperRecognizer]:
    recognizer = FasterWhisperRecognizer(str(model_dir("whisper-base")))
    capabilities = recognizer.load()
    assert capabilities.model == "base int8"
    assert {"en", "es", "hi", "pt", "zh"} <= set(capabilities.languages)
    assert all(pair.target == "en" != pair.source for pair in capabilities.pairs)
    yield recognizer
    recognizer.close()


@pytest.fixture(scope="module")
def tiny() -> Iterator[FasterWhisperRecognizer]:
    recognizer = FasterWhisperRecognizer(str(model_dir("whisper-tiny.en")))
    assert recognizer.load().languages == ("en",)
    yield recognizer
    recognizer.close()


def one(recognizer: FasterWhisperRecognizer, request: RecognizeRequest) -> Recognition:
    (answer,) = recognizer.recognize([request])
    return answer


@pytest.mark.parametrize("final", [False, True])
def test_a_recorded_voice_is_recognized_with_at_most_one_wrong_word(
    base: FasterWhisperRecognizer, final: bool
) -> None:
    answer = one(base, RecognizeRequest(jfk().pcm, "en", final=final))
    assert errors(jfk().text, answer.transcript.text).wrong <= 1
    assert answer.detected == ""
    assert answer.language_probability == 1.0
    assert answer.english is None
    assert answer.took_s > 0


def test_segments_follow_each_other_within_the_window_and_make_up_the_text(
    base: FasterWhisperRecognizer,
) -> None:
    hypothesis = one(base, RecognizeRequest(jfk().pcm, "en", final=True)).transcript
    assert hypothesis.segments
    at = 0.0
    for segment in hypothesis.segments:
        assert at <= segment.start_s <= segment.end_s <= jfk().seconds
        at = segment.end_s
    assert " ".join(segment.text for segment in hypothesis.segments) == hypothesis.text


def test_scores_tell_speech_from_noise(base: FasterWhisperRecognizer) -> None:
    speech = one(base, RecognizeRequest(spoken(0).pcm, "en", final=True)).transcript
    hiss = (np.random.default_rng(1).standard_normal(3 * RECOGNIZER_RATE) * 300).astype(np.int16)
    noise = one(base, RecognizeRequest(hiss, "en", final=True)).transcript
    assert speech.no_speech_prob < 0.3 < noise.no_speech_prob
    assert -0.6 < speech.avg_logprob < 0


def test_a_batch_says_the_same_words_as_its_windows_alone(base: FasterWhisperRecognizer) -> None:
    clips = [spoken(index) for index in BATCHED]
    requests = [
        RecognizeRequest(clip.pcm, "en", final=index % 2 == 0, detect=index == 1)
        for index, clip in enumerate(clips)
    ]
    together = base.recognize(requests)
    for request, answer in zip(requests, together, strict=True):
        alone = one(base, request)
        assert words_of(alone.transcript.text) == words_of(answer.transcript.text)
        assert (alone.language, alone.detected) == (answer.language, answer.detected)


def test_an_open_language_is_detected_and_among_the_candidates(base: FasterWhisperRecognizer) -> None:
    free = one(base, RecognizeRequest(jfk().pcm))
    assert (free.language, free.detected) == ("en", "en")
    assert free.language_probability > 0.9
    held = one(base, RecognizeRequest(jfk().pcm, candidates=("es", "fr")))
    assert held.language in {"es", "fr"}
    assert held.language_probability < 0.1


def test_a_given_language_is_kept_although_another_is_detected(base: FasterWhisperRecognizer) -> None:
    answer = one(base, RecognizeRequest(jfk().pcm, "es", detect=True))
    assert answer.language == "es"
    assert answer.detected == "en"


def test_english_of_english_is_the_transcript_itself(base: FasterWhisperRecognizer) -> None:
    for language in ("en", None):
        answer = one(base, RecognizeRequest(spoken(0).pcm, language, outputs=("transcript", "english")))
        assert answer.english is answer.transcript


def test_speech_in_another_language_comes_with_its_translation(base: FasterWhisperRecognizer) -> None:
    # English decoded as Spanish: the transcript comes out Spanish, its translation English.
    answer = one(base, RecognizeRequest(jfk().pcm, "es", outputs=("transcript", "english"), final=True))
    assert answer.english is not None
    assert errors(jfk().text, answer.english.text).rate < 0.3
    assert answer.english.text != answer.transcript.text


def test_an_english_only_model_hears_english_and_refuses_other_languages(
    tiny: FasterWhisperRecognizer,
) -> None:
    answer = one(
        tiny, RecognizeRequest(jfk().pcm, None, outputs=("transcript", "english"), detect=True, final=True)
    )
    assert errors(jfk().text, answer.transcript.text).wrong <= 1
    assert (answer.language, answer.detected, answer.language_probability) == ("en", "", 1.0)
    assert answer.english is answer.transcript
    with pytest.raises(ValueError, match="does not know the language es"):
        one(tiny, RecognizeRequest(jfk().pcm, "es"))


def test_names_in_the_prompt_are_spelled_as_given(base: FasterWhisperRecognizer) -> None:
    clip = spoken("We will ask Aoife about the budget.")
    named = one(base, RecognizeRequest(clip.pcm, "en", final=True, prompt="Aoife, Siobhan, Niamh"))
    assert "budget" in named.transcript.text
    mixed = base.recognize(
        [RecognizeRequest(clip.pcm, "en"), RecognizeRequest(clip.pcm, "en", prompt="Aoife, Siobhan, Niamh")]
    )
    assert all("budget" in answer.transcript.text for answer in mixed)


@pytest.mark.parametrize("samples", [0, 1, 160, 40 * RECOGNIZER_RATE])
def test_windows_of_any_length_are_answered(tiny: FasterWhisperRecognizer, samples: int) -> None:
    assert one(tiny, RecognizeRequest(np.zeros(samples, np.int16), "en")).language == "en"


def test_an_answer_that_runs_in_circles_is_decoded_again_in_a_longer_window(
    tiny: FasterWhisperRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = RecognizeRequest(jfk().pcm[: 4 * RECOGNIZER_RATE], "en", final=True)
    none, enough = Rung(0), Rung(6)  # without silence after the speech the model does lose its place

    def answer(*rungs: Rung) -> Hypothesis:
        monkeypatch.setattr(tiny, "ladder", Ladder((FULL,), rungs))
        return one(tiny, request).transcript

    trusted = answer(enough)
    assert trusted.segments
    assert answer(none, enough) == trusted
    cut = answer(none)
    assert cut.segments == ()  # nobody vouches for its times
    assert len(cut.text.split()) < 20


def test_a_folder_without_a_model_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"Whisper small has no model\.bin in"):
        FasterWhisperRecognizer("/nowhere/whisper-small").load()
