"""One utterance from its first sound to its final text: sound, agreed words, and what was asked about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from media_server.engines.base import Hypothesis, Recognition
from media_server.events import Heard
from media_server.pipeline.agree import Agreement, words_of
from media_server.pipeline.detect import FRAME_MS
from media_server.pipeline.evidence import COMMIT_LOGPROB, SHOW_LOGPROB, UNSURE_LOGPROB, believable
from media_server.pipeline.sentence import Anchor, anchors_after
from media_server.pipeline.window import Frame, Window

STIR_PROBABILITY = 0.2  # of speech
STIR_DB = 15.0  # above the quietest frame of the pause
STIR_FLOOR_DB = -70.0
STIR_FRAMES = 6  # at the most the end is put off so long
MOST_ANCHORS = 8
PATIENCE_S = 7.0
FASTEST_WORDS_PER_S = 5.0
CERTAIN_LANGUAGE = 0.7  # two windows in a row that say so decide the language of an open utterance
LIKELY_LANGUAGE = 0.5  # words of a language that is less likely are not shown before the end


@dataclass(slots=True)
class Pause:
    """A silence inside or after an utterance, from the moment its ending is worked out ahead of time."""

    until: int
    """One past the last frame of the window that was decoded."""
    ahead: Recognition | None = None
    turn: float | None = None
    turn_due: bool = False
    """The turn detector has been asked and has not answered."""
    wait: tuple[float | None, int] | None = None
    """Silence that ends the utterance (ms), and the ``turn`` that this was worked out from."""

    quiet_db: float = 0.0
    """Level of its quietest frame."""
    held: int = 0
    """Frames that its end was put off because something stirred."""

    def stirs(self, frame: Frame) -> bool:
        """Whether the newest frame may be the beginning of a word: many begin with a soft consonant."""
        self.quiet_db = min(self.quiet_db, frame.level_db)
        louder = frame.level_db > max(self.quiet_db, STIR_FLOOR_DB) + STIR_DB
        if (louder or frame.probability >= STIR_PROBABILITY) and self.held < STIR_FRAMES:
            self.held += 1
            return True
        return False


@dataclass(slots=True)
class Utterance:
    """Positions are frame numbers of the call."""

    id: str
    start: int
    window: Window
    language: str | None
    """To recognize in; None while it is being detected."""
    english: bool
    prompt: str
    agreement: Agreement = field(default_factory=Agreement)
    in_english: Agreement = field(default_factory=Agreement)
    last_voice: int = 0
    """One past the last voiced frame."""
    voiced: int = 0
    """Frames of voice so far."""
    revision: int = 0
    shown: tuple[str, int, str | None, int] = ("", 0, None, 0)
    heard_language: str = ""
    probability: float = 0.0
    partials: int = 0
    decoded_until: int = 0
    """One past the last frame of the newest window whose hypothesis was used."""
    sure_until: int = 0
    """The sound of all committed words lies before this frame."""
    anchors: list[Anchor] = field(default_factory=list)
    """Moments at which it may be cut, the oldest first."""
    pause: Pause | None = None
    continued: bool = False
    """It began without a pause, where another one was cut off."""
    announced: bool = False
    """Speaking(on) was said."""

    @property
    def voice_ms(self) -> int:
        return self.voiced * FRAME_MS

    @property
    def spoken(self) -> str:
        """The language as far as it is known."""
        return self.language or self.heard_language or ""

    @property
    def stops_needed(self) -> int:
        """Hypotheses that have to agree on a full stop: the listeners of long talk wait for one."""
        return 1 if (self.decoded_until - self.start) * FRAME_MS > PATIENCE_S * 1000 else 2

    def believable(self, hypothesis: Hypothesis, until: int) -> bool:
        """Whether these words were said, by what the recognizer and the speech detector think of the window."""
        voiced, probability = self.window.voice(high=until)
        return believable(hypothesis, voiced * FRAME_MS, probability)

    def take(self, result: Recognition, until: int, hold_back: int) -> None:
        """Uses the answer for the window up to ``until`` as one of the hypotheses that have to agree."""
        if until <= self.decoded_until:
            return
        before = self.decoded_until or self.start
        new_s = (until - before) * FRAME_MS / 1000
        self.decoded_until = until
        logprob = result.transcript.avg_logprob
        if not self.believable(result.transcript, until) or (hold_back and logprob < SHOW_LOGPROB):
            self.agreement.forget()
            return
        sure = self._settle_language(result) and logprob >= COMMIT_LOGPROB
        if hold_back and self.language is None and self.probability < LIKELY_LANGUAGE:
            return
        if hold_back and logprob < UNSURE_LOGPROB and len(words_of(result.transcript.text)) > hold_back + 1:
            hold_back += 1
        # A window that ends in mid-sentence may be told to its end by the recognizer: nobody speaks that fast.
        most_new = 1 + int(new_s * FASTEST_WORDS_PER_S) if hold_back else None
        words = self.agreement.words
        self.agreement.update(result.transcript.text, hold_back, most_new, commit=sure)
        if self.agreement.words > words:
            self.sure_until = before
        if self.english and result.english is not None and result.language != "en":
            certain = sure and bool(self.agreement.committed)
            self.in_english.update(result.english.text, hold_back, most_new, commit=certain)

    def remember(self, anchors: list[Anchor]) -> None:
        """Keeps moments at which the utterance may be cut later."""
        known = {anchor.position for anchor in self.anchors}
        new = [anchor for anchor in anchors if all(abs(anchor.position - other) > 3 for other in known)]
        self.anchors = sorted([*self.anchors, *new], key=lambda anchor: anchor.position)[-MOST_ANCHORS:]

    def sentence_anchor(self, shortest_s: float) -> tuple[Anchor, int] | None:
        """The last moment at which a committed sentence ends, with the number of committed words before it."""
        for anchor in reversed(self.anchors):
            if (anchor.position - self.start) * FRAME_MS < shortest_s * 1000:
                break
            if self.english and anchor.english is None:
                continue
            count = self.agreement.place(list(anchor.keys), anchor.following)
            if count is None or not self.agreement.sentence_ends(count, self.stops_needed):
                continue
            if len(self.agreement.split(count)[0]) >= self.shown[1]:
                return anchor, count
        return None

    def english_until(self, anchor: Anchor) -> str:
        """The English of what lies before ``anchor``; what was shown as certain is the start of it."""
        if anchor.english is None:
            return self.in_english.committed
        keys = [word.key for word in words_of(anchor.english)]
        count = self.in_english.place(keys, 0)
        text = self.in_english.split(count)[0] if count else ""
        return text if len(text) >= max(1, self.shown[3]) else self.in_english.finished(anchor.english)

    def trim(self, longer_s: float) -> bool:
        """Shortens a window that is longer than ``longer_s`` to what follows the last moment that is certain."""
        if self.window.seconds <= longer_s:
            return False
        for anchor in reversed(self.anchors):
            count = self.agreement.place(list(anchor.keys), anchor.following)
            if count is None or (self.english and anchor.english is None):
                continue
            if self.english and anchor.english is not None:
                self.in_english.settle(anchor.english)
            self.agreement.trim(count)
            self.window.let_go(anchor.position)
            self.anchors = anchors_after(self.anchors, anchor)
            return True
        return False

    def _settle_language(self, result: Recognition) -> bool:
        """Whether words may be committed: the language is known, or two windows in a row are sure of the same."""
        if self.language is not None:
            return True
        before, certain = self.heard_language, self.probability >= CERTAIN_LANGUAGE
        self.heard_language, self.probability = result.language, result.language_probability
        if result.language_probability < CERTAIN_LANGUAGE:
            return False
        if result.language != before:
            self.agreement.forget()
            self.in_english.forget()
        elif certain:
            self.language = result.language
        return True

    def partial(self, end: int) -> list[Heard]:
        """The newest text up to frame ``end``, if anything in it is new."""
        english = self.in_english.text if self.english and self.in_english.text else None
        state = (
            self.agreement.text,
            self.agreement.steady,
            english,
            self.in_english.steady if english else 0,
        )
        if state == self.shown or not state[0]:
            return []
        self.shown = state
        heard = self._heard(state[0], state[1], english, state[3], end, final=False)
        self.revision += 1
        return [heard]

    def final(self, result: Recognition, until: int) -> Heard | None:
        """What this answer makes of the utterance if it is the last one; None when nothing was said.

        Words that were committed stay, even if the recognizer has changed its mind about all of it. A text that was
        shown and turns out to be nothing is withdrawn by an empty final. Changes nothing.
        """
        good = self.believable(result.transcript, until)
        if not good and not self.agreement.committed:
            if not self.shown[0]:
                return None
            return self._heard("", 0, None, 0, self.last_voice, final=True)
        text = self.agreement.finished(result.transcript.text) if good else self.agreement.committed
        english: str | None = None
        if self.english:
            said = result.english.text if result.english is not None and good else ""
            if result.language == "en":
                said = ""
            english = self.in_english.finished(said) or None
        return self._heard(
            text,
            len(text),
            english,
            len(english or ""),
            self.last_voice,
            final=True,
            language=result.language,
            logprob=result.transcript.avg_logprob,
        )

    def sentence(self, text: str, english: str | None, end: int) -> Heard:
        """The final of a sentence that was committed to its end while the speaker goes on."""
        return self._heard(text, len(text), english, len(english or ""), end, final=True)

    def _heard(
        self,
        text: str,
        committed: int,
        english: str | None,
        english_committed: int,
        end: int,
        *,
        final: bool,
        language: str = "",
        logprob: float | None = None,
    ) -> Heard:
        return Heard(
            utterance=self.id,
            revision=self.revision + 1,
            text=text,
            committed=committed,
            language=language or self.spoken or "en",
            start_ms=self.start * FRAME_MS,
            end_ms=max(self.start, end) * FRAME_MS,
            final=final,
            confidence=None if logprob is None else round(min(1.0, 2.718281828**logprob), 3),
            english=english,
            english_committed=english_committed,
        )
