"""One speaker's way from sound to words, behind the one entrance ``feed()``.

All sound of all protocols comes in here. The order of the gates: consent, mute, echo. What passes is denoised where
somebody or something uses the denoised sound, and heard. Requests of the hearing stage become tasks that ask the
engines; their answers go back into it. Bounds: the hearing stage has at most one partial and one urgent window out,
and gives up what is superseded; nothing is queued here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from media_server.audio.resample import AnyResampler, Resampler, make_resampler
from media_server.clock import Clock
from media_server.engines.base import RECOGNIZER_RATE, VOICE_RATE, Pcm
from media_server.engines.fleet import Fleet
from media_server.errors import EngineError, EngineTimeout, EngineUnavailable, Superseded
from media_server.events import Anticipated, Heard, Lost, Speaking
from media_server.metrics import Metrics
from media_server.pipeline.denoise import Denoiser
from media_server.pipeline.echo import EchoCanceller, EchoWords
from media_server.pipeline.hear import DecodeJob, Hearing, HearOutput, TurnJob
from media_server.privacy.consent import ConsentGate
from media_server.tasks import TaskOwner

PARTIAL_DEADLINE_S = 3.0  # a partial that is older than this shows nothing new
MAX_RATES = 8  # a client may change its rate at any time: so many are remembered
FINAL_DEADLINE_S = 12.0  # long enough for an engine that is replaced in between


class Listener(Protocol):
    """Who is told what an interpreter hears."""

    def on_speaking(self, event: Speaking) -> None: ...

    def on_heard(self, heard: Heard, ended_at_s: float) -> None:
        """``ended_at_s``: the clock's time at which the speech ended that ``heard`` covers."""
        ...

    def on_anticipated(self, event: Anticipated) -> None: ...

    def on_lost(self, event: Lost) -> None: ...


@dataclass(slots=True)
class Counts:
    """What one speaker's call was, for the line at its end. No speech in it."""

    audio_s: float = 0.0
    finals: int = 0
    lost: int = 0
    echoes: int = 0


class Interpreter:
    """Hears one speaker. ``feed`` and its siblings never block and never raise; ``stop()`` ends all work."""

    def __init__(
        self,
        speaker: str,
        hearing: Hearing,
        fleet: Fleet,
        listener: Listener,
        *,
        consent: ConsentGate,
        denoiser: Callable[[], Denoiser],
        hear_denoised: bool,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.speaker = speaker
        self.counts = Counts()
        self.muted = False
        self.on_clean: Callable[[Pcm], None] | None = None
        """Gets the denoised sound (int16, 48 kHz) while it is set: the loopback."""
        self._hearing = hearing
        self._fleet = fleet
        self._listener = listener
        self._consent = consent
        self._make_denoiser = denoiser
        self._denoiser: Denoiser | None = None
        self._hear_denoised = hear_denoised
        self._metrics = metrics
        self._clock = clock
        self._resamplers: dict[int, Resampler | AnyResampler] = {}
        self._played_resampler = Resampler(VOICE_RATE, RECOGNIZER_RATE)
        self._canceller = EchoCanceller()
        self._words = EchoWords()
        self._audio_s = 0.0
        self._tasks = TaskOwner("interpreter")

    # -- the entrance -------------------------------------------------------------------------------------------

    def feed(self, pcm: Pcm, rate: int = VOICE_RATE) -> None:
        """Sound of the speaker, int16 mono, in order. While consent or a mute shuts the gate only time passes."""
        if self.muted or not self._consent.open:
            self._advance(len(pcm) / rate)
            return
        now = self._clock()
        self.counts.audio_s += len(pcm) / rate
        if self.on_clean is not None or self._hear_denoised:
            clean = self._denoise(pcm, rate)
            if self.on_clean is not None:
                self.on_clean(clean)
            if self._hear_denoised:
                pcm, rate = clean, VOICE_RATE
        if not self._fleet.recognizers:  # nothing can be heard here: the page says so and how to change it
            return
        narrow = self._resample(pcm, rate)
        self._audio_s += len(narrow) / RECOGNIZER_RATE
        self._act(self._hearing.feed(self._canceller.clean(narrow, now), now))

    def skip(self, milliseconds: int) -> None:
        """Time passed in which no sound came."""
        self._advance(milliseconds / 1000)

    def _advance(self, seconds: float) -> None:
        self._audio_s += seconds
        self._act(self._hearing.skip(round(seconds * 1000), self._clock()))

    def _denoise(self, pcm: Pcm, rate: int) -> Pcm:
        if self._denoiser is None:
            self._denoiser = self._make_denoiser()
        wide = pcm if rate == VOICE_RATE else self._resample(pcm, rate, VOICE_RATE)
        return self._denoiser.process(wide)

    def _resample(self, pcm: Pcm, rate: int, to: int = RECOGNIZER_RATE) -> Pcm:
        if rate == to:
            return pcm
        resampler = self._resamplers.get(rate * 1_000_000 + to)
        if resampler is None:
            while len(self._resamplers) >= MAX_RATES:
                self._resamplers.pop(next(iter(self._resamplers)))
            resampler = self._resamplers[rate * 1_000_000 + to] = make_resampler(rate, to)
        return resampler.process(pcm)

    # -- control ------------------------------------------------------------------------------------------------

    def mute(self, muted: bool) -> None:
        """A muted speaker's open utterance ends at once; what comes after is not heard."""
        if muted and not self.muted:
            self._act(self._hearing.flush(self._clock()))
        self.muted = muted

    def configure(self, language: str | None, english_from: frozenset[str], prompt: str = "") -> None:
        """From the next utterance on. ``language`` None: detect it.

        ``english_from``: the spoken languages whose English, translated by the recognizer, somebody needs.
        ``prompt``: names and terms that the recognizer should expect.
        """
        self._hearing.configure(
            language=language, english=bool(english_from), english_from=english_from, prompt=prompt
        )

    def forget(self) -> None:
        """Consent was withdrawn: drops all sound and all work on it at once."""
        self._hearing.drop()

    def flush(self) -> None:
        """Ends the open utterance now: the call is ending or paused."""
        self._act(self._hearing.flush(self._clock()))

    async def stop(self) -> None:
        """Ends all work and gives back what is native. Idempotent."""
        await self._tasks.stop()
        if self._denoiser is not None:
            self._denoiser.close()
            self._denoiser = None

    # -- what the speaker is played -----------------------------------------------------------------------------

    def played(self, pcm: Pcm, at_s: float) -> None:
        """A frame of interpretation (int16, 48 kHz) that was sent to this speaker at ``at_s``."""
        self._canceller.played(self._played_resampler.process(pcm), at_s)

    def said(self, text: str, from_s: float, until_s: float) -> None:
        """What this speaker is played, from and until when. No ``text``: what was said last goes on until then."""
        if text:
            self._words.said(text, from_s)
        self._words.go_on(until_s)

    # -- what the hearing stage wants ---------------------------------------------------------------------------

    def _act(self, outputs: list[HearOutput]) -> None:
        for output in outputs:
            match output:
                case DecodeJob():
                    self._tasks.start(self._decode(output), "decode")
                case TurnJob():
                    self._tasks.start(self._turn(output), "turn")
                case Heard():
                    self._heard(output)
                case Anticipated():
                    if not self._is_echo(output.heard):
                        self._listener.on_anticipated(output)
                case Speaking():
                    self._listener.on_speaking(output)
                case Lost():
                    self.counts.lost += 1
                    self._metrics.utterances.labels("lost").inc()
                    self._listener.on_lost(output)

    def _heard(self, heard: Heard) -> None:
        if self._is_echo(heard):
            if heard.final:
                self.counts.echoes += 1
                self._metrics.utterances.labels("echo").inc()
            return
        behind_s = max(0.0, self._audio_s - heard.end_ms / 1000)
        if heard.final:
            self.counts.finals += 1
            self._metrics.utterances.labels("final").inc()
            self._metrics.asr_final.observe(behind_s * 1000)
        self._listener.on_heard(heard, self._clock() - behind_s)

    def _is_echo(self, heard: Heard) -> bool:
        now = self._clock()
        from_s = now - (self._audio_s - heard.start_ms / 1000)
        until_s = now - (self._audio_s - heard.end_ms / 1000)
        copied_s = self._canceller.copied_s(from_s - 0.3, until_s)
        if copied_s > 0.3 * (until_s - from_s):
            return True
        return self._words.repeats(heard.text, from_s, until_s)

    async def _decode(self, job: DecodeJob) -> None:
        deadline_s = FINAL_DEADLINE_S if job.urgent else PARTIAL_DEADLINE_S
        asked = self._clock()
        try:
            result = await self._fleet.recognize(
                job.request, owner=self.speaker, deadline_s=deadline_s, wanted=job.wanted
            )
        except EngineError as error:
            retry = not isinstance(error, EngineUnavailable | Superseded)
            code = _code(error)
            self._act(self._hearing.on_failed(job.id, _words(error), retry, self._clock(), code=code))
            return
        if not job.urgent:
            self._metrics.asr_partial.observe((self._clock() - asked) * 1000)
        self._act(
            self._hearing.on_decoded(job.id, result, self._clock(), crowded=self._fleet.hearing_is_crowded())
        )

    async def _turn(self, job: TurnJob) -> None:
        try:
            turn = await self._fleet.turn(job.request, owner=self.speaker)
        except EngineError as error:
            self._act(self._hearing.on_failed(job.id, str(error), False, self._clock()))
            return
        self._act(self._hearing.on_turn(job.id, turn, self._clock()))

    @property
    def position_ms(self) -> int:
        """Sound and silence since the start of the call: the time line of captions."""
        return round(self._audio_s * 1000)

    @property
    def busy(self) -> bool:
        """An utterance is open, or an engine works on one."""
        return self._hearing.busy or len(self._tasks) > 0


def _words(error: EngineError) -> str:
    """For people; what an engine itself says of its fault is in the log."""
    match error:
        case EngineUnavailable():
            return "the recognizer is not running at the moment."
        case EngineTimeout():
            return "the recognizer did not answer in time."
        case _:
            return "the recognizer failed."


def _code(error: EngineError) -> str:
    """The code of an utterance that is lost by ``error``."""
    if isinstance(error, EngineTimeout):
        return "ASR_TIMEOUT"
    return "ASR_UNAVAILABLE" if isinstance(error, EngineUnavailable) else "ASR_FAILED"
