"""Hearing as a state machine: speech that carries its words, engines that read them, virtual time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from media_server.engines.base import Hypothesis, Recognition, Segment, Turn
from media_server.events import Heard, Lost
from media_server.pipeline.hear import DecodeJob, Hearing, HearOutput, HearSettings, TurnJob
from tests.support.scripted_speech import LevelDetector, ScriptedEngines
from tests.support.virtual_hearing import Call, VirtualCall


@pytest.fixture
def engines() -> ScriptedEngines:
    return ScriptedEngines()


def hearing(language: str | None = "en", *, english: bool = False, has_turn: bool = True) -> Hearing:
    return Hearing(
        HearSettings(),
        speaker="ann",
        language=language,
        english=english,
        has_turn=has_turn,
        detector=LevelDetector(),
    )


def virtual(engines: ScriptedEngines, language: str | None = "en", *, english: bool = False) -> VirtualCall:
    return VirtualCall(hearing(language, english=english), engines.recognize, engines.judge)


def only(outputs: list[HearOutput], kind: type) -> list[HearOutput]:
    return [output for output in outputs if isinstance(output, kind)]


def committed_only_grows(call: Call) -> bool:
    texts: dict[str, list[Heard]] = {}
    for _, heard in call.heard():
        texts.setdefault(heard.utterance, []).append(heard)
    return all(
        later.text.startswith(earlier.text[: earlier.committed])
        and (later.english or "").startswith((earlier.english or "")[: earlier.english_committed])
        and later.revision == earlier.revision + 1
        for heards in texts.values()
        for earlier, later in pairwise(heards)
    )


SENTENCE = "we tested the pump for two weeks and it never stopped."


def test_a_sentence_comes_as_growing_partials_and_one_final(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.silence(1)
    run.play(engines.vocabulary.say(SENTENCE))
    run.silence(2)
    call = run.settle()
    (final,) = call.finals()
    assert final[1].text == SENTENCE
    assert final[1].committed == len(SENTENCE)
    partials = [heard for _, heard in call.heard() if not heard.final]
    assert len(partials) >= 4
    assert [len(heard.text) for heard in partials] == sorted(len(heard.text) for heard in partials)
    assert committed_only_grows(call)
    assert [speaking.on for speaking in call.speaking()] == [True, False]
    assert not run.hearing.busy


def test_the_final_comes_as_the_shortest_silence_ends_and_needs_no_second_decode(
    engines: ScriptedEngines,
) -> None:
    run = virtual(engines)
    run.play(engines.vocabulary.say(SENTENCE))
    ended = len(SENTENCE.split()) * 0.32
    run.silence(2)
    call = run.settle()
    assert 0.22 <= call.finals()[0][0] - ended <= 0.40
    assert sum(request.final for request in engines.requests) == 1


def test_the_first_words_come_early(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.play(engines.vocabulary.say(SENTENCE))
    time, first = next(iter(run.settle().heard()))
    assert time <= 0.8
    assert SENTENCE.startswith(first.text)


def test_the_ending_is_worked_out_ahead_of_time(engines: ScriptedEngines) -> None:
    engines.turn = 0.02
    engines.logprob = -0.35
    run = virtual(engines)
    run.play(engines.vocabulary.say("we should go now."))
    run.silence(2)
    call = run.settle()
    anticipated, final = call.anticipated()[0], call.finals()[0]
    assert anticipated[1].text == final[1].text == "we should go now."
    assert final[0] - anticipated[0] > 0.5


def test_when_speech_goes_on_what_was_worked_out_is_thrown_away(engines: ScriptedEngines) -> None:
    engines.turn = 0.02
    engines.logprob = -0.4
    run = virtual(engines)
    run.play(engines.vocabulary.say("we tested the pump"))
    run.silence(0.5)
    run.play(engines.vocabulary.say("for two weeks."))
    run.silence(2)
    call = run.settle()
    assert [heard.text for _, heard in call.finals()] == ["we tested the pump for two weeks."]
    assert [heard.text for _, heard in call.anticipated()][-1] == "we tested the pump for two weeks."
    assert committed_only_grows(call)


def test_an_ending_that_was_none_is_not_worked_out_by_a_recognizer_that_is_behind(
    engines: ScriptedEngines,
) -> None:
    engines.turn = 0.02
    engines.logprob = -0.4
    engines.took_s = 1.5  # the partial is still being decoded as speech goes on
    run = virtual(engines)
    for words in ("we tested the pump", "for two weeks", "and it never stopped."):
        run.play(engines.vocabulary.say(words))
        run.silence(0.4)
    run.silence(2)
    call = run.settle()
    assert [heard.text for _, heard in call.finals()] == [SENTENCE]
    assert call.unwanted >= 1
    assert not call.lost()


def test_work_on_sound_that_was_dropped_is_not_wanted(engines: ScriptedEngines) -> None:
    listener = hearing()
    jobs = only(listener.feed(engines.vocabulary.say("we tested the pump for two weeks"), 1.0), DecodeJob)
    jobs += only(listener.flush(2.0), DecodeJob)
    assert [job.wanted() for job in jobs if isinstance(job, DecodeJob)] == [True]
    listener.drop()
    assert [job.wanted() for job in jobs if isinstance(job, DecodeJob)] == [False]


def test_no_partial_is_started_in_silence(engines: ScriptedEngines) -> None:
    engines.turn = 0.02
    engines.logprob = -0.4
    run = virtual(engines)
    run.play(engines.vocabulary.say(SENTENCE))
    run.silence(3)
    run.settle()
    first_final = next(i for i, request in enumerate(engines.requests) if request.final)
    assert first_final == len(engines.requests) - 1


def test_partials_keep_their_distance_and_slow_down_with_the_engine(engines: ScriptedEngines) -> None:
    def partial_times(took_s: float, *, crowded: bool = False) -> list[float]:
        engines.took_s = took_s
        run = virtual(engines)
        run.crowded = crowded
        run.play(engines.vocabulary.say(" ".join([SENTENCE] * 2)))
        return [
            at.time for at in run.settle().log if isinstance(at.output, DecodeJob) and not at.output.urgent
        ]

    assert all(later - earlier >= 0.5 for earlier, later in pairwise(partial_times(0.1)))
    slow = partial_times(0.6)
    assert len(slow) >= 3
    assert all(later - earlier >= 1.5 for earlier, later in pairwise(slow))
    crowded = partial_times(0.3, crowded=True)
    assert len(crowded) >= 3
    assert all(later - earlier >= 1.5 for earlier, later in pairwise(crowded))


def test_at_most_one_partial_is_out() -> None:
    engines = ScriptedEngines()
    heard = hearing()
    jobs = []
    for number in range(0, len(sound := engines.vocabulary.say(SENTENCE)), 320):
        jobs += only(heard.feed(sound[number : number + 320], number / 16_000), DecodeJob)
    assert len(jobs) == 1


def test_digital_silence_and_short_noises_ask_for_nothing(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    for _ in range(5):
        run.play(np.full(480, 3000, np.int16))
        run.silence(1)
    call = run.settle()
    assert (call.decodes, call.log) == (0, [])


def test_the_sound_before_the_first_voice_is_heard_as_well(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.silence(1)
    run.play(engines.vocabulary.say("no."))
    run.silence(2)
    run.settle()
    (request,) = engines.requests
    assert 0.25 <= np.flatnonzero(request.audio)[0] / 16_000 <= 0.34


def test_two_sentences_with_a_pause_are_two_utterances_and_share_no_speech(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.play(engines.vocabulary.say("we tested the pump for two weeks."))
    run.silence(0.45)
    run.play(engines.vocabulary.say("it never stopped once since then."))
    run.silence(2)
    call = run.settle()
    assert [heard.text for _, heard in call.finals()] == [
        "we tested the pump for two weeks.",
        "it never stopped once since then.",
    ]
    assert len({heard.utterance for _, heard in call.finals()}) == 2


def test_a_sentence_becomes_final_while_the_speaker_goes_on(engines: ScriptedEngines) -> None:
    sentences = [
        "we tested the pump for two weeks and it never stopped.",
        "my colleague would like to add something here.",
    ]
    run = virtual(engines)
    run.play(engines.vocabulary.say(sentences[0]))
    spoken = len(sentences[0].split()) * 0.32
    for sentence in sentences[1:] * 2:
        run.silence(0.12)
        run.play(engines.vocabulary.say(sentence))
    run.silence(2)
    call = run.settle()
    assert [heard.text for _, heard in call.finals()] == [sentences[0], sentences[1], sentences[1]]
    assert call.finals()[0][0] - spoken < 3.0
    assert committed_only_grows(call)
    ends = [heard.end_ms for _, heard in call.finals()]
    starts = [heard.start_ms for _, heard in call.finals()]
    assert all(
        start >= end
        for end, start in pairwise(x for pair in zip(starts, ends, strict=True) for x in pair[1:])
    )
    assert starts == sorted(starts)


def test_endless_talk_without_a_sentence_is_cut_and_no_word_is_lost_or_said_twice(
    engines: ScriptedEngines,
) -> None:
    engines.segments = False
    words = [f"word{number}" for number in range(150)]
    run = virtual(engines)
    run.play(engines.vocabulary.say(" ".join(words)))
    run.silence(2)
    call = run.settle()
    said = [word.strip(".") for word in call.text.split()]
    assert call.longest_window_s <= 14.0
    assert len(call.finals()) >= 3
    wrong = len(set(words) - set(said)) + len(said) - len(set(said))
    assert wrong <= 2 * len(call.finals())
    assert committed_only_grows(call)


def test_windows_shrink_to_what_follows_a_pause(engines: ScriptedEngines) -> None:
    engines.turn = 0.02
    engines.logprob = -0.45
    run = virtual(engines)
    text = []
    for number in range(6):
        part = " ".join(f"w{number}x{word}" for word in range(8))
        text.append(part)
        run.play(engines.vocabulary.say(part))
        run.silence(0.3)
    run.silence(2)
    call = run.settle()
    assert call.longest_window_s < 9.0
    assert call.text.replace(".", "") == " ".join(text)


def test_a_final_that_disagrees_keeps_what_was_committed(engines: ScriptedEngines) -> None:
    heard = hearing()
    run = VirtualCall(heard, engines.recognize, engines.judge)
    run.play(engines.vocabulary.say("we tested the pump for two weeks and"))
    committed = [h.text[: h.committed] for _, h in run.call.heard()][-1]
    assert len(committed) > 8
    good = Hypothesis("they rested the trump for two weeks and more.", (), -0.2, 0.0)
    run._recognize = lambda request: Recognition(good, "en", 1.0, took_s=0.1)
    run.silence(2)
    (final,) = run.settle().finals()
    assert final[1].text.startswith(committed)
    assert final[1].text.endswith("weeks and more.")


@pytest.mark.parametrize(
    "hypothesis",
    [
        Hypothesis("", (), -0.2, 0.9),
        Hypothesis("...", (), -0.2, 0.1),
        Hypothesis("Thank you for watching.", (), -1.2, 0.8),
        Hypothesis("Subtitles by the Amara.org community", (), -1.6, 0.1),
        Hypothesis("one two three four five six seven eight nine ten eleven twelve", (), -0.3, 0.1),
    ],
)
def test_what_nobody_said_is_dropped(hypothesis: Hypothesis, engines: ScriptedEngines) -> None:
    run = VirtualCall(
        hearing(), lambda request: Recognition(hypothesis, "en", 1.0, took_s=0.1), engines.judge
    )
    run.play(engines.vocabulary.say("no", word_ms=400))
    run.silence(2)
    call = run.settle()
    assert call.decodes >= 1
    assert call.heard() == []
    assert call.lost() == []


def test_a_text_that_was_shown_and_was_nothing_is_withdrawn(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.play(engines.vocabulary.say("could this be"))
    assert run.call.heard()
    assert run.call.heard()[-1][1].committed == 0
    run._recognize = lambda request: Recognition(Hypothesis("", (), -2.0, 0.9), "en", 1.0, took_s=0.1)
    run.silence(2)
    (final,) = run.settle().finals()
    assert (final[1].text, final[1].committed) == ("", 0)


def test_what_is_said_in_the_padding_is_taken_off(engines: ScriptedEngines) -> None:
    twice = Hypothesis("yes. yes.", (Segment("yes.", 0.0, 0.9), Segment("yes.", 0.9, 0.9)), -0.4, 0.1)
    run = VirtualCall(hearing(), lambda request: Recognition(twice, "en", 1.0, took_s=0.1), engines.judge)
    run.play(engines.vocabulary.say("yes."))
    run.silence(2)
    assert [heard.text for _, heard in run.settle().finals()] == ["yes."]


def test_flush_closes_the_open_utterance_at_once(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.play(engines.vocabulary.say("we tested the pump for two weeks"))
    run.flush()
    call = run.settle()
    (final,) = call.finals()
    assert final[1].text == "we tested the pump for two weeks."
    assert [speaking.on for speaking in call.speaking()] == [True, False]
    assert not run.hearing.busy


def test_flush_in_a_silence_uses_what_was_worked_out(engines: ScriptedEngines) -> None:
    engines.turn = 0.02
    engines.logprob = -0.5
    run = virtual(engines)
    run.play(engines.vocabulary.say("we tested the pump"))
    run.silence(0.4)
    before = len(engines.requests)
    run.flush()
    assert [heard.text for _, heard in run.call.finals()] == ["we tested the pump."]
    assert len(engines.requests) == before


def test_drop_forgets_all_sound_and_late_answers(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.play(engines.vocabulary.say("we tested the pump"))
    said = len(run.call.heard())
    busy = [run.hearing.busy]
    run.hearing.drop()
    assert [*busy, run.hearing.busy] == [True, False]
    run.silence(2)
    call = run.settle()
    assert len(call.heard()) == said
    run.play(engines.vocabulary.say("for two weeks."))
    run.silence(2)
    assert [heard.text for _, heard in run.settle().finals()] == ["for two weeks."]


def test_a_new_language_counts_from_the_next_utterance_on(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.play(engines.vocabulary.say("we tested the pump"))
    run.hearing.configure(language="es", english=True)
    run.play(engines.vocabulary.say("for two weeks."))
    run.silence(2)
    first = list(engines.requests)
    run.play(engines.vocabulary.say("hasta mañana amigos."))
    run.silence(2)
    run.settle()
    assert {request.language for request in first} == {"en"}
    assert {request.language for request in engines.requests[len(first) :]} == {"es"}
    assert engines.requests[-1].outputs == ("transcript", "english")


def test_english_is_asked_with_finals_and_every_second_partial_and_agrees_by_itself(
    engines: ScriptedEngines,
) -> None:
    engines.language = "es"
    run = virtual(engines, "es", english=True)
    run.play(engines.vocabulary.say(SENTENCE))
    run.silence(2)
    call = run.settle()
    partials = [request for request in engines.requests if not request.final]
    asked = ["english" in request.outputs for request in partials]
    assert any(asked)
    assert not any(one and next_ for one, next_ in pairwise(asked))
    assert all("english" in request.outputs for request in engines.requests if request.final)
    (final,) = call.finals()
    assert final[1].english == " ".join(f"en-{word}" for word in SENTENCE.split())
    assert final[1].english_committed == len(final[1].english)
    assert committed_only_grows(call)


def test_english_is_not_asked_of_english(engines: ScriptedEngines) -> None:
    run = virtual(engines, "en", english=True)
    run.play(engines.vocabulary.say(SENTENCE))
    run.silence(2)
    (final,) = run.settle().finals()
    assert final[1].english is None
    assert all(request.outputs == ("transcript",) for request in engines.requests)


def test_a_language_is_detected_locked_and_left_again(engines: ScriptedEngines) -> None:
    run = virtual(engines, None)

    def say(text: str) -> Heard:
        run.play(engines.vocabulary.say(text))
        run.silence(2)
        return run.settle().finals()[-1][1]

    engines.language = "es"
    assert say("hasta mañana a todos mis amigos.").language == "es"
    assert run.hearing.language == "es"
    engines.language = "en"
    assert say(SENTENCE).language == "es"
    assert run.hearing.language == "es"
    say(SENTENCE)
    assert run.hearing.language == "en"
    assert say(SENTENCE).language == "en"


def test_a_doubtful_language_commits_nothing_before_the_end(engines: ScriptedEngines) -> None:
    engines.probability = 0.4
    run = virtual(engines, None)
    run.play(engines.vocabulary.say(SENTENCE))
    run.silence(2)
    call = run.settle()
    assert all(heard.committed == 0 for _, heard in call.heard() if not heard.final)
    assert [heard.text for _, heard in call.finals()] == [SENTENCE]
    assert run.hearing.language is None


def drive(heard: Hearing, engines: ScriptedEngines, text: str, silence_s: float) -> list[HearOutput]:
    """Feeds without answering anything."""
    sound = np.concatenate([engines.vocabulary.say(text), np.zeros(int(silence_s * 16_000), np.int16)])
    outputs: list[HearOutput] = []
    for number in range(0, len(sound), 320):
        outputs += heard.feed(sound[number : number + 320], number / 16_000)
    return outputs


def test_a_failed_final_is_asked_again_once_and_then_lost_with_words(engines: ScriptedEngines) -> None:
    heard = hearing()
    jobs = [job for job in only(drive(heard, engines, "no.", 1.5), DecodeJob) if isinstance(job, DecodeJob)]
    (again,) = heard.on_failed(jobs[0].id, "the engine crashed.", True, 2.0)
    assert isinstance(again, DecodeJob)
    assert again.urgent
    assert np.array_equal(again.request.audio, jobs[0].request.audio)
    (lost,) = heard.on_failed(again.id, "the engine crashed.", True, 3.0)
    assert isinstance(lost, Lost)
    assert "crashed" in lost.message
    assert lost.end_ms > lost.start_ms
    assert heard.on_failed(again.id, "late", True, 4.0) == []


def test_a_failed_final_is_not_asked_again_when_that_cannot_help(engines: ScriptedEngines) -> None:
    heard = hearing()
    (job,) = only(drive(heard, engines, "no.", 1.5), DecodeJob)
    assert isinstance(job, DecodeJob)
    assert [type(output) for output in heard.on_failed(job.id, "no engine", False, 2.0)] == [Lost]


def test_a_failed_partial_is_let_go(engines: ScriptedEngines) -> None:
    heard = hearing()
    jobs = only(drive(heard, engines, "we tested the", 0), DecodeJob)
    assert isinstance(jobs[0], DecodeJob)
    assert heard.on_failed(jobs[0].id, "superseded", False, 1.0) == []
    later = [heard.feed(engines.vocabulary.say("pump"), 1.2)]
    assert any(isinstance(output, DecodeJob) for output in later[0])


def test_a_turn_detector_that_fails_leaves_the_decision_to_the_text(engines: ScriptedEngines) -> None:
    heard = hearing()
    jobs = drive(heard, engines, "we tested the pump for two weeks.", 0.25)
    decode = next(job for job in jobs if isinstance(job, DecodeJob) and job.urgent)
    turn = next(job for job in jobs if isinstance(job, TurnJob))
    heard.on_decoded(decode.id, engines.recognize(decode.request), 2.5)
    heard.on_failed(turn.id, "timeout", False, 2.5)
    outputs: list[HearOutput] = []
    for step in range(40):
        outputs += heard.feed(np.zeros(320, np.int16), 2.5 + step * 0.02)
    finals = only(outputs, Heard)
    assert len(finals) == 1


def test_an_end_that_is_answered_late_comes_out_and_in_the_order_of_speaking(
    engines: ScriptedEngines,
) -> None:
    heard = hearing(has_turn=False)
    first = [j for j in drive(heard, engines, "no.", 1.5) if isinstance(j, DecodeJob)]
    second = [j for j in drive(heard, engines, "yes.", 1.5) if isinstance(j, DecodeJob)]
    assert heard.busy
    early = heard.on_decoded(second[-1].id, engines.recognize(second[-1].request), 4.0)
    assert only(early, Heard) == []
    late = heard.on_decoded(first[-1].id, engines.recognize(first[-1].request), 5.0)
    assert [output.text for output in late if isinstance(output, Heard)] == ["no.", "yes."]
    assert not heard.busy


def test_without_answers_sound_is_kept_within_bounds_and_words_say_what_was_lost(
    engines: ScriptedEngines,
) -> None:
    heard = hearing()
    sound = engines.vocabulary.say("talk")
    lost: list[Lost] = []
    for number in range(600):
        outputs = heard.feed(sound, number * 0.32)
        lost += [output for output in outputs if isinstance(output, Lost)]
        held = sum(
            len(asked.request.audio) for asked in heard._desk._out.values() if asked.request is not None
        )
        assert held <= 16_000 * 180
    assert len(lost) >= 3
    assert all("recognizer" in one.message for one in lost)


def test_time_without_sound_counts_as_silence(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.play(engines.vocabulary.say("we tested the pump for two weeks."))
    outputs = [*run.hearing.skip(400, run._now)]
    run._act(outputs)
    run.silence(1)
    call = run.settle()
    assert len(call.finals()) == 1
    before = run.hearing._ears.position
    assert run.hearing.skip(60_000, 100.0) == []
    assert run.hearing._ears.position - before in {1874, 1875, 1876}


def test_times_count_the_sound_fed_and_the_time_skipped(engines: ScriptedEngines) -> None:
    run = virtual(engines)
    run.hearing.skip(10_000, 0.0)
    run.play(engines.vocabulary.say("we tested the pump."))
    run.silence(2)
    (final,) = run.settle().finals()
    assert abs(final[1].start_ms - 10_000) <= 64
    assert abs(final[1].end_ms - 11_280) <= 64


def test_answers_to_unknown_jobs_do_no_harm(engines: ScriptedEngines) -> None:
    heard = hearing()
    assert heard.on_turn(7, Turn(0.5), 0.0) == []
    assert heard.on_failed(7, "", True, 0.0) == []
    assert heard.on_decoded(7, Recognition(Hypothesis("x"), "en", 1.0), 0.0) == []
