"""Hearing: from a speaker's sound to captions, as a state machine without clock, threads or engines.

``feed`` takes sound and gives back what became of it and what is wanted: ``DecodeJob`` and ``TurnJob`` are to be
sent to the engines, their answers come back by ``on_decoded``, ``on_turn`` or ``on_failed``, in any order. Duties of
the caller: every job gets exactly one answer (a late one does no harm), urgent jobs are never dropped and go first,
``now`` never goes back. At most one partial and one urgent window of the open utterance are out at a time.

Positions inside are frame numbers of the call (32 ms), counted from the sound fed and the time skipped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

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
from media_server.events import Anticipated, Heard, Lost, Speaking
from media_server.pipeline.detect import (
    FRAME_MS,
    FRAME_SAMPLES,
    SileroDetector,
    SpeechDetector,
    VoiceGate,
)
from media_server.pipeline.end import EndRule
from media_server.pipeline.evidence import without_echo
from media_server.pipeline.language import LanguageLock
from media_server.pipeline.sentence import Anchor, anchors_after, pause_anchor, segment_anchors
from media_server.pipeline.utterance import Pause, Utterance
from media_server.pipeline.window import Frame, Window, make_frame

SILENCE: Pcm = np.zeros(FRAME_SAMPLES, np.int16)
RESET_AFTER_MS = 500  # a gap this long: what comes after does not follow what was before
PARTIAL_GIVEN_UP_S = 5.0  # a partial without an answer no longer keeps others from being asked for

# Mean log probability of a whole sentence's tokens: at first, its bounds, and how fast it follows the speaker.
TYPICAL_LOGPROB = -0.3
TYPICAL_LOWEST = -0.7
TYPICAL_HIGHEST = -0.2
TYPICAL_PACE = 0.2
TYPICAL_WORDS = 5

CUT_BEFORE_MS = 300  # the newest sound of a full window is left to the next
CUT_REACH_MS = 5000
TAIL_FRAMES = 3  # after the last voiced frame that still belong to what was said


@dataclass(frozen=True, slots=True)
class HearSettings:
    """Milliseconds and seconds of one speaker's hearing."""

    partial_ms: int = 500
    """An open utterance is decoded again this often, at the most."""
    partial_load: float = 2.5
    """And never sooner than so many times what the last decode took, its wait included."""
    first_partial_ms: int = 480
    """Speech before the first decode of an utterance."""
    ahead_ms: int = 200
    """Silence after which the ending is decoded ahead of time."""
    hangover_min_ms: int = 300
    """Silence that ends an utterance that sounds and reads finished."""
    hangover_max_ms: int = 1000
    """Silence that ends any utterance."""
    preroll_ms: int = 300
    """Sound before the first voiced frame that belongs to the utterance."""
    window_max_s: float = 14.0
    """No decode is longer."""
    trim_s: float = 5.0
    """A longer window is shortened at the last moment between two words that is certain."""
    sentence_min_s: float = 2.5
    """Shorter sentences are not ended while the speaker goes on."""
    utterance_max_s: float = 20.0
    """Of speech without the end of a sentence; then an utterance ends where its window can be shortened."""
    kept_max_s: float = 30.0
    """Sound of one speaker that may wait for answers; then the oldest utterance is given up."""
    voice_on: float = 0.5
    """Probability of speech that begins an utterance."""
    voice_off: float = 0.35
    """Probability under which a frame of an utterance is silence."""
    voice_on_frames: int = 2
    """Frames in a row that it takes to begin, or to go on after a silence."""
    voice_min_ms: int = 96
    """Less voice than this is no utterance: nothing is decoded."""


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """Ask the recognizer. ``urgent``: a final or one ahead of time, never dropped, goes first."""

    id: int
    utterance: str
    request: RecognizeRequest
    urgent: bool


@dataclass(frozen=True, slots=True)
class TurnJob:
    """Ask the turn detector."""

    id: int
    utterance: str
    request: TurnRequest


type HearOutput = Speaking | DecodeJob | TurnJob | Heard | Anticipated | Lost


@dataclass(slots=True)
class _Asked:
    """A job that is out."""

    utterance: Utterance
    until: int
    """One past the last frame of its window."""
    hold_back: int
    urgent: bool
    at: float
    request: RecognizeRequest | None = None
    start: int = 0
    """First frame of its window."""
    closing: bool = False
    """Its answer ends the utterance."""
    pause: Pause | None = None
    """The silence that it was asked in, for windows decoded ahead of time and for turns."""
    again: bool = False


@dataclass(slots=True)
class _Ended:
    """An utterance whose sound is complete; ``outputs`` once its end is known."""

    utterance: Utterance
    outputs: list[HearOutput] | None = None


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
        self._detector = SileroDetector() if detector is None else detector
        self._prompt = prompt
        self._rule = EndRule(settings.hangover_min_ms, settings.hangover_max_ms)
        self._gate = VoiceGate(settings.voice_on, settings.voice_off, settings.voice_on_frames)
        self._preroll: deque[Frame] = deque(maxlen=settings.preroll_ms // FRAME_MS + settings.voice_on_frames)
        self._pending = np.zeros(0, np.int16)
        self._position = 0
        self._free_from = 0
        self._open: Utterance | None = None
        self._ended: deque[_Ended] = deque()
        self._asked: dict[int, _Asked] = {}
        self._jobs = 0
        self._utterances = 0
        self._next_partial = 0.0
        self._typical = TYPICAL_LOGPROB

    # -- what the caller calls ----------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """An utterance is open, or a job is out."""
        return self._open is not None or bool(self._asked)

    @property
    def language(self) -> str | None:
        """The language given or locked onto; None as long as it is being detected."""
        return self._lock.language

    def feed(self, pcm: Pcm, now: float) -> list[HearOutput]:
        """Sound, int16 at 16 kHz, any length."""
        outputs: list[HearOutput] = []
        sound = np.concatenate((self._pending, pcm)) if len(self._pending) else pcm
        used = len(sound) - len(sound) % FRAME_SAMPLES
        for offset in range(0, used, FRAME_SAMPLES):
            frame = np.array(sound[offset : offset + FRAME_SAMPLES], np.int16)
            outputs += self._frame(make_frame(frame, self._detector.probability(frame)), now)
        self._pending = np.array(sound[used:], np.int16)
        return outputs

    def skip(self, milliseconds: int, now: float) -> list[HearOutput]:
        """Time without sound: counts as silence."""
        samples = milliseconds * RECOGNIZER_RATE // 1000
        if self._open is None and milliseconds >= RESET_AFTER_MS:
            total = len(self._pending) + samples
            self._position += total // FRAME_SAMPLES
            self._pending = np.zeros(total % FRAME_SAMPLES, np.int16)
            self._silenced()
            return []
        outputs: list[HearOutput] = []
        while samples > 0:
            piece = min(samples, FRAME_SAMPLES)
            outputs += self.feed(SILENCE[:piece], now)
            samples -= piece
            if self._open is None and samples * 1000 // RECOGNIZER_RATE >= RESET_AFTER_MS:
                return outputs + self.skip(samples * 1000 // RECOGNIZER_RATE, now)
        return outputs

    def on_decoded(self, job_id: int, result: Recognition, now: float) -> list[HearOutput]:
        """The recognizer's answer to a DecodeJob."""
        asked = self._asked.pop(job_id, None)
        if asked is None:
            return []
        took = max(result.took_s, now - asked.at)
        self._next_partial = max(self._next_partial, asked.at + self._settings.partial_load * took)
        result = without_echo(result)
        utterance = asked.utterance
        if utterance is not self._open:
            awaited = asked.closing or (asked.pause is not None and asked.pause is utterance.pause)
            return self._settle(utterance, self._last(utterance, result, asked.until)) if awaited else []
        if asked.pause is not None and asked.pause is utterance.pause:
            asked.pause.ahead = result
            return self._ahead(utterance, result, asked, now)
        if asked.start != utterance.window.start:
            return []  # the window was shortened in the meantime
        utterance.take(result, asked.until, asked.hold_back)
        self._remember(utterance, result, asked)
        outputs: list[HearOutput] = [*utterance.partial(asked.until)]
        if utterance.pause is None:
            outputs += self._end_sentence(utterance)
        return outputs

    def on_turn(self, job_id: int, turn: Turn, now: float) -> list[HearOutput]:
        """The turn detector's answer to a TurnJob."""
        asked = self._asked.pop(job_id, None)
        if asked is None or asked.pause is None:
            return []
        asked.pause.turn = turn.probability
        asked.pause.turn_due = False
        if self._open is None or asked.pause is not self._open.pause:
            return []
        return self._end_if_over(self._open, now)

    def on_failed(self, job_id: int, reason: str, retry: bool, now: float) -> list[HearOutput]:
        """A job without an answer. ``reason`` is for people; ``retry``: asking again may help."""
        asked = self._asked.pop(job_id, None)
        if asked is None:
            return []
        if asked.request is None:
            if asked.pause is not None:
                asked.pause.turn_due = False
            return []
        if not asked.urgent:
            return []
        utterance = asked.utterance
        if utterance is self._open and asked.pause is not utterance.pause:
            return []  # speech went on: nobody waits for this
        if retry and not asked.again:
            return [self._ask(replace(asked, at=now, again=True))]
        if utterance is self._open:
            return self._close(utterance, [self._lost(utterance, reason)])
        return self._settle(utterance, [self._lost(utterance, reason)])

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
        self._silenced()
        if utterance is None:
            return []
        pause = utterance.pause
        if pause is not None and pause.ahead is not None:
            return self._close(utterance, self._last(utterance, pause.ahead, pause.until))
        return self._hand_over(utterance, now)

    def drop(self) -> None:
        """Forgets all sound and all work on it at once."""
        self._open = None
        self._ended.clear()
        self._asked.clear()
        self._silenced()

    # -- sound --------------------------------------------------------------------------------------------------

    def _silenced(self) -> None:
        self._detector.reset()
        self._gate.reset()
        self._preroll.clear()

    def _frame(self, frame: Frame, now: float) -> list[HearOutput]:
        began = self._gate.push(frame.probability)
        self._position += 1
        self._preroll.append(frame)
        utterance = self._open
        if utterance is None:
            if not began:
                return []
            utterance = self._begin(now)
        else:
            utterance.window.append(frame)
            if began and utterance.pause is not None:
                self._go_on(utterance)
        if not self._gate.voiced:
            return self._in_silence(utterance, frame, now)
        utterance.voiced += self._settings.voice_on_frames if began else 1
        utterance.last_voice = self._position
        return self._in_voice(utterance, now)

    def _begin(self, now: float) -> Utterance:
        start = self._position - self._settings.voice_on_frames
        # Sound that belongs to the utterance before is not heard twice; the silence after it is free.
        free = max(self._settings.voice_on_frames, self._position - self._free_from)
        frames = list(self._preroll)[-free:]
        utterance = self._new(start, Window(self._position - len(frames), frames))
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
        if utterance.window.seconds >= self._settings.window_max_s - 2 * FRAME_MS / 1000:
            return outputs + self._cut_long(utterance, now)
        if now >= self._next_partial and not self._partial_out(now):
            outputs.append(self._partial(utterance, now))
        return outputs

    def _in_silence(self, utterance: Utterance, frame: Frame, now: float) -> list[HearOutput]:
        silent_ms = self._gate.silent_frames * FRAME_MS
        if utterance.pause is None:
            if silent_ms < self._settings.ahead_ms - FRAME_MS // 2:
                return []
            if utterance.voice_ms < self._settings.voice_min_ms and not utterance.agreement.text:
                return self._close(utterance, [])
            return self._ask_ahead(utterance, now)
        if utterance.pause.stirs(frame):
            return []
        return self._end_if_over(utterance, now)

    # -- asking -------------------------------------------------------------------------------------------------

    def _ask(self, asked: _Asked) -> DecodeJob:
        assert asked.request is not None
        self._jobs += 1
        self._asked[self._jobs] = asked
        return DecodeJob(self._jobs, asked.utterance.id, asked.request, asked.urgent)

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

    def _partial_out(self, now: float) -> bool:
        return any(
            not a.urgent and a.request and now - a.at < PARTIAL_GIVEN_UP_S for a in self._asked.values()
        )

    def _partial(self, utterance: Utterance, now: float) -> DecodeJob:
        utterance.partials += 1
        until = self._position
        english = utterance.english and utterance.partials % 2 == 0
        request = self._request(utterance, until, final=False, english=english)
        self._next_partial = now + self._settings.partial_ms / 1000
        return self._ask(_Asked(utterance, until, 1, False, now, request, utterance.window.start))

    def _ask_ahead(self, utterance: Utterance, now: float) -> list[HearOutput]:
        """Decodes the whole utterance as if it ended here, and asks how finished it sounds."""
        until = self._position
        pause = utterance.pause = Pause(until, turn_due=self._has_turn)
        self._next_partial = max(self._next_partial, now + self._settings.partial_ms / 1000)
        request = self._request(utterance, until, final=True, english=utterance.english)
        outputs: list[HearOutput] = [
            self._ask(_Asked(utterance, until, 0, True, now, request, utterance.window.start, pause=pause))
        ]
        if self._has_turn:
            self._jobs += 1
            self._asked[self._jobs] = _Asked(utterance, until, 0, True, now, pause=pause)
            outputs.append(
                TurnJob(self._jobs, utterance.id, TurnRequest(request.audio[-8 * RECOGNIZER_RATE :]))
            )
        return outputs

    # -- endings ------------------------------------------------------------------------------------------------

    def _go_on(self, utterance: Utterance) -> None:
        """Speech goes on: what was worked out ahead of time serves as one more hypothesis."""
        utterance.pause = None

    def _ahead(
        self, utterance: Utterance, result: Recognition, asked: _Asked, now: float
    ) -> list[HearOutput]:
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
        silent_ms = self._gate.silent_frames * FRAME_MS + FRAME_MS // 2
        if pause is None or silent_ms < self._settings.hangover_min_ms:
            return []
        if pause.ahead is None:
            if silent_ms < self._settings.hangover_max_ms:
                return []
            return self._close(utterance, None)  # the answer under way will be its final
        if silent_ms < self._wait_ms(utterance, pause, pause.ahead):
            return []
        return self._close(utterance, self._last(utterance, pause.ahead, pause.until))

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

    def _lost(self, utterance: Utterance, reason: str) -> Lost:
        return Lost(
            utterance.id,
            utterance.start * FRAME_MS,
            utterance.last_voice * FRAME_MS,
            f"Something was said here that could not be recognized: {reason}",
        )

    def _close(self, utterance: Utterance, outputs: list[HearOutput] | None) -> list[HearOutput]:
        """The open utterance ends. ``outputs`` None: its end is still being decoded."""
        self._open = None
        self._gate.reset()
        self._free_from = utterance.last_voice + TAIL_FRAMES
        said: list[HearOutput] = []
        if utterance.announced:
            said.append(Speaking(self._speaker, False, utterance.last_voice * FRAME_MS))
        self._ended.append(_Ended(utterance))
        if outputs is not None:
            return said + self._settle(utterance, outputs)
        return said + self._give_up_old()

    def _hand_over(self, utterance: Utterance, now: float) -> list[HearOutput]:
        """Closes the open utterance; its end is asked for unless it is on its way."""
        if utterance.voice_ms < self._settings.voice_min_ms and not utterance.agreement.text:
            return self._close(utterance, [])
        if utterance.pause is not None and utterance.pause.ahead is None:
            return self._close(utterance, None)
        until = utterance.window.end
        request = self._request(utterance, until, final=True, english=utterance.english)
        return [
            *self._close(utterance, None),
            self._ask(_Asked(utterance, until, 0, True, now, request, closing=True)),
        ]

    def _settle(self, utterance: Utterance, outputs: list[HearOutput]) -> list[HearOutput]:
        """An ended utterance's end is known; ends come out in the order of speaking."""
        for ended in self._ended:
            if ended.utterance is utterance and ended.outputs is None:
                ended.outputs = outputs
        said: list[HearOutput] = []
        while self._ended and self._ended[0].outputs is not None:
            said += self._ended.popleft().outputs or []
        return said

    def _give_up_old(self) -> list[HearOutput]:
        """Keeps the sound that waits for answers within bounds."""
        said: list[HearOutput] = []
        waiting = [ended.utterance for ended in self._ended if ended.outputs is None]
        kept_s = sum(utterance.window.seconds for utterance in waiting)
        for utterance in waiting:
            if kept_s <= self._settings.kept_max_s - self._settings.window_max_s:
                break
            kept_s -= utterance.window.seconds
            for job_id in [j for j, asked in self._asked.items() if asked.utterance is utterance]:
                del self._asked[job_id]
            said += self._settle(utterance, [self._lost(utterance, "the recognizer does not keep up.")])
        return said

    # -- long talk ----------------------------------------------------------------------------------------------

    def _remember(self, utterance: Utterance, result: Recognition, asked: _Asked) -> None:
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

    def _end_sentence(self, utterance: Utterance) -> list[HearOutput]:
        """A sentence committed to its end becomes final while the speaker goes on, as a new utterance."""
        found = utterance.sentence_anchor(self._settings.sentence_min_s)
        if found is not None:
            anchor, count = found
            english = utterance.in_english.finished(anchor.english or "") if utterance.english else None
            following = self._split(utterance, anchor.position)
            following.anchors = anchors_after(utterance.anchors, anchor)
        elif utterance.trim(self._settings.trim_s) and (count := self._whole(utterance)):
            english = utterance.in_english.committed if utterance.english else None
            following = self._split(utterance, utterance.window.start)
            following.anchors = utterance.anchors
        else:
            return []
        text, following.agreement = utterance.agreement.split(count)
        following.decoded_until = utterance.decoded_until
        following.sure_until = utterance.sure_until
        self._ended.append(_Ended(utterance))
        final = utterance.sentence(text, english or None, following.start)
        return [*self._settle(utterance, [final]), *following.partial(following.decoded_until)]

    def _whole(self, utterance: Utterance) -> int:
        """How many of the words whose sound was let go can be made final; 0 for none."""
        trimmed = utterance.agreement.trimmed
        if (utterance.window.start - utterance.start) * FRAME_MS > self._settings.utterance_max_s * 1000:
            return trimmed
        if utterance.english:
            return trimmed if utterance.agreement.sentence_ends(trimmed) else 0
        return utterance.agreement.trimmed_sentence()

    def _cut_long(self, utterance: Utterance, now: float) -> list[HearOutput]:
        """No moment between two words is certain and the window is full: it is cut at its quietest point."""
        window = utterance.window
        last = window.end - CUT_BEFORE_MS // FRAME_MS
        first = max(utterance.sure_until, window.end - CUT_REACH_MS // FRAME_MS)
        position, _ = window.quietest(min(first, last), last)
        self._split(utterance, position)
        self._ended.append(_Ended(utterance))
        request = self._request(utterance, position, final=True, english=utterance.english)
        asked = _Asked(utterance, position, 0, True, now, request, closing=True)
        return [self._ask(asked), *self._give_up_old()]

    def _split(self, utterance: Utterance, position: int) -> Utterance:
        """Leaves the sound before ``position`` to ``utterance`` and opens a new one with the rest."""
        window = utterance.window
        utterance.window = window.split(position)
        following = self._new(position, window)
        following.language = self._lock.language or utterance.language
        following.heard_language, following.probability = utterance.heard_language, utterance.probability
        following.announced = utterance.announced
        following.voiced, _ = window.voice(threshold=self._settings.voice_off)
        following.last_voice = utterance.last_voice
        utterance.last_voice = position
        return following
