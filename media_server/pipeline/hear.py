"""Hearing: from a speaker's sound to captions, as a state machine without clock, threads or engines.

``feed`` takes sound and gives back what became of it and what is wanted: ``DecodeJob`` and ``TurnJob`` are to be
sent to the engines, their answers come back by ``on_decoded``, ``on_turn`` or ``on_failed``, in any order. Duties of
the caller: every job gets exactly one answer (a late one does no harm), urgent jobs go first and are dropped only when
they are no longer ``wanted``, ``now`` never goes back. At most one partial and one urgent window of the open
utterance are out at a time.

Positions inside are frame numbers of the call (32 ms), counted from the sound fed and the time skipped.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from media_server.engines.base import (
    RECOGNIZER_RATE,
    Output,
    Pcm,
    Recognition,
    RecognizeRequest,
    Turn,
    TurnRequest,
)
from media_server.events import Anticipated, Lost, Speaking
from media_server.pipeline.agree import Agreement
from media_server.pipeline.detect import FRAME_MS, FRAME_SAMPLES, SileroDetector, SpeechDetector
from media_server.pipeline.ears import Ears
from media_server.pipeline.end import EndRule
from media_server.pipeline.evidence import without_echo
from media_server.pipeline.jobs import Asked, DecodeJob, Desk, Endings, HearOutput, HearSettings, TurnJob
from media_server.pipeline.language import LanguageLock
from media_server.pipeline.sentence import Anchor, anchors_after, pause_anchor, segment_anchors
from media_server.pipeline.utterance import Pause, Utterance
from media_server.pipeline.window import Frame, Window

__all__ = ["DecodeJob", "HearOutput", "HearSettings", "Hearing", "TurnJob"]

SILENCE: Pcm = np.zeros(FRAME_SAMPLES, np.int16)
TURN_S = 7.9  # what the turn detector hears of the utterance
TURN_SILENCE: Pcm = np.zeros(
    2 * FRAME_SAMPLES, np.int16
)  # put after it: it tells best a little later than it is asked
RESET_AFTER_MS = 500  # a gap this long: what comes after does not follow what was before

# Mean log probability of a whole sentence's tokens: at first, its bounds, and how fast it follows the speaker.
TYPICAL_LOGPROB = -0.3
TYPICAL_LOWEST = -0.7
TYPICAL_HIGHEST = -0.2
TYPICAL_PACE = 0.2
TYPICAL_WORDS = 5
CONTINUED_LOGPROB = 0.05  # a window that begins in mid-talk costs the recognizer so much of its certainty

SPARE_S = 0.5  # a window is cut so much before it is full: the silence that ends it belongs to it as well
CUT_BEFORE_MS = 300  # the newest sound of a full window is left to the next
CUT_REACH_MS = 5000
DETECTOR_LAG_MS = 56  # Silero goes on so long after the last voiced sound, median of 40 sentences
TAIL_FRAMES = 3  # after the last voiced frame that still belong to what was said


class Hearing:
    """One speaker's hearing; see the module's head for the duties of the caller."""

    def __init__(
        self,
        settings: HearSettings,
        *,
        speaker: str,
        language: str | None,
        candidates: tuple[str, ...] = (),
        english: bool = False,
        has_turn: bool = True,
        detector: SpeechDetector | None = None,
        prompt: str = "",
    ) -> None:
        self._settings = settings
        self._speaker = speaker
        self._lock = LanguageLock(language)
        self._candidates = candidates
        self._english_from: frozenset[str] | None = None
        self._english = english
        self._has_turn = has_turn
        self._ears = Ears(settings, SileroDetector() if detector is None else detector)
        self._prompt = prompt
        self._rule = EndRule(settings.hangover_min_ms, settings.hangover_max_ms)
        self._free_from = 0
        self._open: Utterance | None = None
        self._desk = Desk()
        self._endings = Endings()
        self._utterances = 0
        self._next_partial = 0.0
        self._typical = TYPICAL_LOGPROB

    # -- what the caller calls ----------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """An utterance is open, or a job is out."""
        return self._open is not None or len(self._desk) > 0

    @property
    def language(self) -> str | None:
        """The language given or locked onto; None as long as it is being detected."""
        return self._lock.language

    def feed(self, pcm: Pcm, now: float) -> list[HearOutput]:
        """Sound, int16 at 16 kHz, any length."""
        outputs: list[HearOutput] = []
        for frame in self._ears.frames(pcm):
            outputs += self._frame(frame, now)
        return outputs

    def skip(self, milliseconds: int, now: float) -> list[HearOutput]:
        """Time without sound: counts as silence."""
        outputs: list[HearOutput] = []
        left = milliseconds
        while left > 0:
            if self._open is None and left >= RESET_AFTER_MS:
                self._ears.pass_time(left)
                break
            piece = min(left, FRAME_MS)
            outputs += self.feed(SILENCE[: piece * RECOGNIZER_RATE // 1000], now)
            left -= piece
        return outputs

    def on_decoded(
        self, job_id: int, result: Recognition, now: float, *, crowded: bool = False
    ) -> list[HearOutput]:
        """The recognizer's answer to a DecodeJob. ``crowded``: more people speak than there are recognizers."""
        asked = self._desk.answered(job_id)
        if asked is None:
            return []
        took = max(result.took_s, now - asked.at)
        load = self._settings.partial_load_crowded if crowded else self._settings.partial_load
        self._next_partial = max(self._next_partial, asked.at + load * took)
        result = without_echo(result)
        utterance = asked.utterance
        if utterance is not self._open:
            if not asked.awaited:
                return []
            return self._endings.settle(utterance, self._last(utterance, result, asked.until))
        if asked.pause is not None and asked.pause is utterance.pause:
            asked.pause.ahead = result
            return self._ahead(utterance, result, asked, now)
        if asked.start != utterance.window.start:
            return []  # the window was shortened in the meantime
        utterance.take(result, asked.until, asked.hold_back)
        self._remember(utterance, result, asked)
        ended = self._end_sentence(utterance, now) if utterance.pause is None else []
        return ended or [*utterance.partial(asked.until)]

    def on_turn(self, job_id: int, turn: Turn, now: float) -> list[HearOutput]:
        """The turn detector's answer to a TurnJob."""
        asked = self._desk.answered(job_id)
        if asked is None or asked.pause is None:
            return []
        asked.pause.turn = turn.probability
        asked.pause.turn_due = False
        if self._open is None or asked.pause is not self._open.pause:
            return []
        return self._end_if_over(self._open, now)

    def on_failed(
        self, job_id: int, reason: str, retry: bool, now: float, *, code: str = "ASR_FAILED"
    ) -> list[HearOutput]:
        """A job without an answer. ``reason`` is for people, ``code`` for programs; ``retry``: again may help."""
        asked = self._desk.answered(job_id)
        if asked is None:
            return []
        if asked.request is None:
            if asked.pause is not None:
                asked.pause.turn_due = False
            return []
        if not asked.urgent:
            return []
        utterance = asked.utterance
        if not asked.awaited:
            return []  # speech went on
        if retry and not asked.again:
            return [self._desk.decode(replace(asked, at=now, again=True))]
        if utterance is self._open:
            return self._close(utterance, [self._lost(utterance, reason, code)], now)
        return self._endings.settle(utterance, [self._lost(utterance, reason, code)])

    def configure(
        self,
        *,
        language: str | None,
        english: bool,
        english_from: frozenset[str] | None = None,
        prompt: str = "",
    ) -> None:
        """From the next utterance on. The same language again keeps what was learnt about the speaker.

        ``english_from``: the spoken languages whose English is of use; None: all of them.
        """
        if language != self._lock.given:
            self._lock = LanguageLock(language)
        self._english = english
        self._english_from = english_from
        self._prompt = prompt

    def flush(self, now: float) -> list[HearOutput]:
        """Closes the open utterance now."""
        utterance = self._open
        self._ears.reset()
        if utterance is None:
            return []
        pause = utterance.pause
        if pause is not None and pause.ahead is not None:
            return self._close(utterance, self._last(utterance, pause.ahead, pause.until), now)
        return self._hand_over(utterance, now)

    def drop(self) -> None:
        """Forgets all sound and all work on it at once."""
        self._open = None
        self._endings.clear()
        self._desk.forget()
        self._ears.reset()

    # -- sound --------------------------------------------------------------------------------------------------

    def _frame(self, frame: Frame, now: float) -> list[HearOutput]:
        began = self._ears.gate.push(frame.probability)
        outputs = self._give_up(now)
        utterance = self._open
        if utterance is None:
            if not began:
                return outputs
            utterance = self._begin(now)
        else:
            utterance.window.append(frame)
            if began:
                utterance.pause = None  # speech goes on
        if not self._ears.gate.voiced:
            return outputs + self._in_silence(utterance, frame, now)
        utterance.voiced += self._settings.voice_on_frames if began else 1
        utterance.last_voice = self._ears.position
        return outputs + self._in_voice(utterance, now)

    def _begin(self, now: float) -> Utterance:
        # Sound that belongs to the utterance before is not heard twice; the silence after it is free.
        utterance = self._new(*self._ears.beginning(self._free_from))
        self._next_partial = now + self._settings.first_partial_ms / 1000
        return utterance

    def _new(self, start: int, window: Window) -> Utterance:
        self._utterances += 1
        language = self._lock.language
        self._open = Utterance(
            id=f"{self._speaker}-{self._utterances}",
            start=start,
            window=window,
            language=language,
            english=self._wants_english(language),
            prompt=self._prompt,
        )
        return self._open

    def _wants_english(self, language: str | None) -> bool:
        """While the language is not known its English may be needed."""
        if not self._english or language == "en":
            return False
        return language is None or self._english_from is None or language in self._english_from

    def _in_voice(self, utterance: Utterance, now: float) -> list[HearOutput]:
        outputs: list[HearOutput] = []
        if not utterance.announced and utterance.voice_ms >= self._settings.voice_min_ms:
            utterance.announced = True
            outputs.append(Speaking(self._speaker, True, utterance.start * FRAME_MS))
        if utterance.window.seconds >= self._settings.window_max_s - SPARE_S:
            return outputs + self._cut_long(utterance, now)
        if now >= self._next_partial and not self._desk.partial_out(now):
            outputs.append(self._partial(utterance, now))
        return outputs

    def _silent_ms(self) -> int:
        """Since the voice ended, which the detector notices late; to the nearest frame."""
        return self._ears.gate.silent_frames * FRAME_MS + DETECTOR_LAG_MS + FRAME_MS // 2

    def _in_silence(self, utterance: Utterance, frame: Frame, now: float) -> list[HearOutput]:
        if utterance.pause is None:
            if self._silent_ms() < self._settings.ahead_ms:
                return []
            if utterance.voice_ms < self._settings.voice_min_ms and not utterance.agreement.text:
                return self._close(utterance, [], now)
            return self._ask_ahead(utterance, now)
        if utterance.pause.stirs(frame):
            return []
        return self._end_if_over(utterance, now)

    # -- asking -------------------------------------------------------------------------------------------------

    def _request(self, utterance: Utterance, until: int, *, final: bool, english: bool) -> RecognizeRequest:
        outputs: tuple[Output, ...] = ("transcript", "english") if english else ("transcript",)
        return RecognizeRequest(
            audio=utterance.window.audio(until),
            language=utterance.language,
            outputs=outputs,
            final=final,
            detect=final and self._lock.detects,
            candidates=self._candidates,
            prompt=utterance.prompt,
        )

    def _partial(self, utterance: Utterance, now: float) -> DecodeJob:
        utterance.partials += 1
        until = self._ears.position
        english = utterance.english and utterance.partials % 2 == 0
        request = self._request(utterance, until, final=False, english=english)
        self._next_partial = now + self._settings.partial_ms / 1000
        asked = Asked(utterance, until, now, request, urgent=False, hold_back=1, start=utterance.window.start)
        return self._desk.decode(asked)

    def _ask_ahead(self, utterance: Utterance, now: float) -> list[HearOutput]:
        """Decodes the whole utterance as if it ended here, and asks how finished it sounds."""
        until = self._ears.position
        pause = utterance.pause = Pause(until, turn_due=self._has_turn)
        self._next_partial = max(self._next_partial, now + self._settings.partial_ms / 1000)
        request = self._request(utterance, until, final=True, english=utterance.english)
        asked = Asked(utterance, until, now, request, start=utterance.window.start, pause=pause)
        outputs: list[HearOutput] = [self._desk.decode(asked)]
        if self._has_turn:
            number = self._desk.ask(Asked(utterance, until, now, pause=pause))
            sound = np.concatenate((utterance.window.latest(TURN_S), TURN_SILENCE))
            outputs.append(TurnJob(number, utterance.id, TurnRequest(sound)))
        return outputs

    # -- endings ------------------------------------------------------------------------------------------------

    def _ahead(self, utterance: Utterance, result: Recognition, asked: Asked, now: float) -> list[HearOutput]:
        until = asked.until
        utterance.take(result, until, 0)
        self._remember(utterance, result, asked)
        over = self._end_if_over(utterance, now)
        if over:
            return over
        outputs: list[HearOutput] = [*utterance.partial(until)]
        heard = utterance.final(result, until)
        if heard is not None and heard.text:
            outputs.append(Anticipated(heard))
        return outputs

    def _end_if_over(self, utterance: Utterance, now: float) -> list[HearOutput]:
        pause = utterance.pause
        silent_ms = self._silent_ms()
        if pause is None or silent_ms < self._settings.hangover_min_ms:
            return []
        if pause.ahead is None:
            if silent_ms < self._settings.hangover_max_ms:
                return []
            return self._close(utterance, None, now)  # the answer under way will be its final
        if silent_ms < self._wait_ms(utterance, pause, pause.ahead):
            return []
        return self._close(utterance, self._last(utterance, pause.ahead, pause.until), now)

    def _wait_ms(self, utterance: Utterance, pause: Pause, ahead: Recognition) -> int:
        """Silence that ends the utterance, by the answers that are there."""
        if pause.turn_due:
            turn: float | None = 0.0  # not known yet: as if unfinished
        else:
            turn = pause.turn
        if pause.wait is None or pause.wait[0] != turn:
            heard = utterance.final(ahead, pause.until)
            text = heard.text if heard is not None else ""
            surplus = ahead.transcript.avg_logprob - self._typical
            if utterance.continued or utterance.agreement.trimmed:
                surplus += CONTINUED_LOGPROB
            pause.wait = (
                turn,
                self._rule.hangover_ms(text, ahead.language, turn, surplus, utterance.voice_ms),
            )
        return pause.wait[1]

    def _last(self, utterance: Utterance, result: Recognition, until: int) -> list[HearOutput]:
        heard = utterance.final(result, until)
        if heard is None:
            return []
        if result.detected and heard.text:
            self._lock.heard(result.detected, result.language_probability, utterance.voice_ms)
        if len(heard.text.split()) >= TYPICAL_WORDS:
            sure = min(max(result.transcript.avg_logprob, TYPICAL_LOWEST), TYPICAL_HIGHEST)
            self._typical += TYPICAL_PACE * (sure - self._typical)
        return [heard]

    def _lost(self, utterance: Utterance, reason: str, code: str) -> Lost:
        return Lost(
            utterance.id,
            utterance.start * FRAME_MS,
            utterance.last_voice * FRAME_MS,
            f"Something was said here that could not be recognized: {reason}",
            self._speaker,
            code,
        )

    def _close(self, utterance: Utterance, outputs: list[HearOutput] | None, now: float) -> list[HearOutput]:
        """The open utterance ends. ``outputs`` None: its end is still being decoded."""
        self._open = None
        self._ears.gate.reset()
        self._free_from = utterance.last_voice + TAIL_FRAMES
        said: list[HearOutput] = []
        if utterance.announced:
            said.append(Speaking(self._speaker, False, utterance.last_voice * FRAME_MS))
        self._endings.wait(utterance, now)
        return said if outputs is None else said + self._endings.settle(utterance, outputs)

    def _hand_over(self, utterance: Utterance, now: float) -> list[HearOutput]:
        """Closes the open utterance; its end is asked for unless it is on its way."""
        if utterance.voice_ms < self._settings.voice_min_ms and not utterance.agreement.text:
            return self._close(utterance, [], now)
        if utterance.pause is not None and utterance.pause.ahead is None:
            return self._close(utterance, None, now)
        until = min(utterance.window.end, utterance.last_voice + self._settings.ahead_ms // FRAME_MS)
        request = self._request(utterance, until, final=True, english=utterance.english)
        asked = Asked(utterance, until, now, request, closing=True)
        return [*self._close(utterance, None, now), self._desk.decode(asked)]

    def _give_up(self, now: float) -> list[HearOutput]:
        """Keeps the sound that waits for answers within bounds."""
        said: list[HearOutput] = []
        for utterance in self._endings.overdue(now, self._settings.kept_max_s - self._settings.window_max_s):
            self._desk.forget(utterance)
            lost = self._lost(utterance, "the recognizer does not keep up.", "ASR_TIMEOUT")
            said += self._endings.settle(utterance, [lost])
        return said

    # -- long talk ----------------------------------------------------------------------------------------------

    def _remember(self, utterance: Utterance, result: Recognition, asked: Asked) -> None:
        """Moments of this window at which the utterance may be cut later on."""
        if not utterance.believable(result.transcript, asked.until):
            return
        anchors: list[Anchor] = []
        if not utterance.english:
            anchors += segment_anchors(result.transcript, utterance.window, asked.until)
        if asked.pause is not None:
            silent = self._settings.ahead_ms // FRAME_MS
            anchors += pause_anchor(result.transcript, result.english, asked.until, silent)
        utterance.remember(anchors)

    def _end_sentence(self, utterance: Utterance, now: float) -> list[HearOutput]:
        """A sentence committed to its end becomes final while the speaker goes on, as a new utterance."""
        found = utterance.sentence_anchor(self._settings.sentence_min_s)
        if found is not None:
            anchor, count = found
            english = utterance.english_until(anchor)
            following = self._split(utterance, anchor.position)
            following.anchors = anchors_after(utterance.anchors, anchor)
            text, following.agreement = utterance.agreement.split(count)
        elif utterance.trim(self._settings.trim_s) and (whole := self._whole(utterance)) is not None:
            english = utterance.in_english.committed
            following = self._split(utterance, utterance.window.start)
            following.anchors = utterance.anchors
            text, following.agreement = whole
        else:
            return []
        following.decoded_until = utterance.decoded_until
        following.sure_until = utterance.sure_until
        self._endings.wait(utterance, now)
        final = utterance.sentence(text, english if utterance.english and english else None, following.start)
        return [*self._endings.settle(utterance, [final]), *following.partial(following.decoded_until)]

    def _whole(self, utterance: Utterance) -> tuple[str, Agreement] | None:
        """What can be made final of an utterance whose window was shortened, and the agreement about the rest."""
        agreement, needed = utterance.agreement, utterance.stops_needed
        if utterance.english:
            count = agreement.trimmed if agreement.sentence_ends(agreement.trimmed, needed) else 0
        else:
            count = agreement.trimmed_sentence(needed)
        if count:
            text, rest = agreement.split(count)
            if len(text) >= utterance.shown[1]:
                return text, rest
        trimmed_s = (utterance.window.start - utterance.start) * FRAME_MS / 1000
        return (
            agreement.part() if trimmed_s > self._settings.utterance_max_s and agreement.committed else None
        )

    def _cut_long(self, utterance: Utterance, now: float) -> list[HearOutput]:
        """No moment between two words is certain and the window is full: it is cut at its quietest point."""
        window = utterance.window
        fullest = window.start + int(self._settings.window_max_s * 1000) // FRAME_MS
        last = min(window.end - CUT_BEFORE_MS // FRAME_MS, fullest)
        first = max(utterance.sure_until, window.end - CUT_REACH_MS // FRAME_MS)
        position, _ = window.quietest(min(first, last), last)
        self._split(utterance, position)
        self._endings.wait(utterance, now)
        request = self._request(utterance, position, final=True, english=utterance.english)
        return [self._desk.decode(Asked(utterance, position, now, request, closing=True))]

    def _split(self, utterance: Utterance, position: int) -> Utterance:
        """Leaves the sound before ``position`` to ``utterance`` and opens a new one with the rest."""
        window = utterance.window
        utterance.window = window.split(position)
        following = self._new(max(position, utterance.start), window)
        following.language = self._lock.language or utterance.language
        following.heard_language, following.probability = utterance.heard_language, utterance.probability
        following.announced = utterance.announced
        following.continued = True
        following.voiced, _ = window.voice(threshold=self._settings.voice_off)
        following.last_voice = utterance.last_voice
        utterance.last_voice = position
        return following
