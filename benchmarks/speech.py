"""Hearing and interpreting, measured: ``python -m benchmarks.speech`` (``make bench-speech``).

The live figures come from calls to the real server over WebRTC, made by a caller in a process of its own that sends
prepared packets in real time. Speech starts and ends when the first and the last voiced packet are sent. Figures
with a time in them count where the calibrator is within its bar.

Rows
    words       word error rates: live path, whole-file faster-whisper; clean, and pink noise at 10 dB
    latency     first partial, words shown and committed, final with translation, first interpreted sound
    whole       sentences cut in two at a pause inside them, beside a fixed hang-over of 500 ms
    calm        words shown and withdrawn; committed text changed
    cost        cores for each speaking person, beside faster-whisper's own windows
    denoise     what the recognizer should hear: raw or denoised sound
    paddings    time and word errors of one window by the silence after it, for every Whisper model that is there
    nonspeech   words invented in an hour of sound that nobody speaks in
    lag         how far the interpretation is behind somebody who does not stop, and the share left out (five minutes)
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.align import Aligner
from benchmarks.callplan import CallLog, plan_call
from benchmarks.figures import Figure, render
from benchmarks.invented import invented
from benchmarks.lag import lagging
from benchmarks.live import LiveServer
from benchmarks.material import (
    Clip,
    PiperSpeaker,
    jfk,
    joined,
    long_sentences,
    sentences,
    with_margins,
    with_noise,
    with_pause,
)
from benchmarks.nonspeech import pieces
from benchmarks.offline import WholeFileWhisper, calibrator_ms, decoded_errors, denoised
from benchmarks.paddings import tried
from benchmarks.scoring import Calm, Errors, errors, median, quantile
from benchmarks.timeline import Seen, seen_of
from media_server import config
from media_server.engines.faster_whisper import FasterWhisperRecognizer
from media_server.engines.smart_turn import SmartTurnDetector

ROWS = ("words", "latency", "whole", "calm", "cost", "denoise", "paddings", "nonspeech", "lag")
SEED = 20
SNR_DB = 10.0
GAP_S = 1.5  # between sentences that do not wait for an answer
LONG_TALK_S = 180.0
LONGER_CLIPS, LONGER_WORDS = 10, 18
SHORT_S, LONGER_S = 4.0, 10.0  # bounds of the groups that latency is given for
PING_S = 3.0  # the children's CPU time comes with their pings
PADDING_STEP = 2  # every other sentence
OWN_WAY_CLIPS = 8  # of the sentences, for the cost of faster-whisper's own windows


@dataclass(frozen=True, slots=True)
class Options:
    models: Path
    count: int
    minutes: float
    port: int
    target: str
    talk_s: float = 300.0


class SpeechBench:
    """Material is made and calls are made once, when a row first needs them."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self.figures: list[Figure] = []

    def add(
        self, row: str, what: str, value: float, unit: str = "", bar: float | None = None, note: str = ""
    ) -> None:
        self.figures.append(Figure(row, what, value, unit, bar, note))

    # Material

    @property
    def _whisper(self) -> Path:
        return self._options.models / "whisper-base"

    @cached_property
    def _voice(self) -> PiperSpeaker:
        return PiperSpeaker(self._options.models / "piper-en_US-joe-medium")

    @cached_property
    def _clean(self) -> list[Clip]:
        self._say("making the material")
        clips = self._voice.say_all(sentences())[: self._options.count]
        aligner = Aligner(self._whisper)
        return [aligner.align(clip) for clip in clips]

    @cached_property
    def _jfk(self) -> Clip:
        return Aligner(self._whisper).align(jfk())

    @cached_property
    def _paused(self) -> list[Clip]:
        rng = np.random.default_rng(SEED)
        return [with_pause(clip, rng) for clip in self._clean if len(clip.word_ends_s) >= 6]

    @cached_property
    def _noisy(self) -> list[Clip]:
        """Noise before, under and after each sentence."""
        rng = np.random.default_rng(SEED)
        return [with_noise(with_margins(clip, GAP_S / 2, GAP_S / 2), SNR_DB, rng) for clip in self._clean]

    # Calls

    def _server(self, **settings: str) -> LiveServer:
        settings = {"MODELS_DIR": str(self._options.models), "ASR_MODEL_SIZE": "base", **settings}
        return LiveServer(self._options.port, **settings)

    def _keys(self, target: str) -> dict[str, str]:
        return {"sourceLang": "en", "targetLang": target}

    @cached_property
    def _live(self) -> tuple[list[Seen], dict[str, float]]:
        """The sentences, interpreted, and the CPU seconds that each kind of engine took for them."""
        stages = ("recognize", "turn", "translate", "speak")
        with self._server() as server:
            self._say(f"a call with {len(self._clean)} sentences, interpreted")
            before = {stage: server.cpu_s(stage) for stage in stages}
            seen = self._call(server, self._clean, self._options.target)
            time.sleep(PING_S)
            return seen, {stage: server.cpu_s(stage) - before[stage] for stage in stages}

    @cached_property
    def _live_longer(self) -> list[Seen]:
        """Sentences longer than those of the list, for the second group of latencies."""
        clips = [
            clip for clip in self._voice.say_all(long_sentences(sentences())) if clip.speech_s <= LONGER_S
        ]
        with self._server() as server:
            self._say(f"a call with {len(clips[:LONGER_CLIPS])} longer sentences, interpreted")
            return self._call(server, clips[:LONGER_CLIPS], self._options.target)

    @cached_property
    def _live_noise(self) -> Seen:
        chain = Clip(
            " ".join(clip.text for clip in self._noisy), np.concatenate([clip.pcm for clip in self._noisy])
        )
        with self._server() as server:
            self._say("the sentences under pink noise")
            return self._call(server, [chain], "en")[0]

    @cached_property
    def _recording(self) -> Seen:
        with self._server() as server:
            return self._call(server, [self._jfk], "en")[0]

    def _call(self, server: LiveServer, clips: Sequence[Clip], target: str) -> list[Seen]:
        log: CallLog = server.call(plan_call(clips, self._keys(target), pause_s=GAP_S))
        return seen_of(clips, log)

    # Rows

    def words(self) -> None:
        seen, noise = self._live[0], errors(self._live_noise.clip.text, self._live_noise.text)
        clean = sum((errors(one.clip.text, one.text) for one in seen), Errors())
        recording = errors(self._jfk.text, self._recording.text)
        self.add("words", "live, the recording: wrong of 22", recording.wrong, "", 1)
        self.add(
            "words", "live, sentences, clean", clean.rate * 100, "%", 4.0, f"{clean.wrong} of {clean.words}"
        )
        self.add(
            "words",
            "live, pink noise at 10 dB",
            noise.rate * 100,
            "%",
            7.0,
            f"{noise.wrong} of {noise.words}",
        )
        self._say("faster-whisper on whole files")
        whole = WholeFileWhisper(self._whisper)
        self.add("words", "whole file, the recording: wrong of 22", whole.errors([self._jfk], 0.0).wrong)
        self.add("words", "whole file, sentences, clean", whole.errors(self._clean, GAP_S).rate * 100, "%")
        self.add("words", "whole file, pink noise at 10 dB", whole.errors(self._noisy, 0.0).rate * 100, "%")

    def latency(self) -> None:
        seen = self._live[0]
        firsts = [value for one in seen if (value := one.first_partial_s()) is not None]
        self.add("latency", "speech start to first partial, median", median(firsts) * 1000, "ms", 900)
        delays = [one.word_delays_s() for one in seen]
        shown = [delay for one, _ in delays for delay in one]
        committed = [delay for _, one in delays for delay in one]
        self.add("latency", "word spoken to shown, median", median(shown) * 1000, "ms", 1000)
        self.add("latency", "word spoken to committed, median", median(committed) * 1000, "ms", 1600)
        for low, high, final_bar, audio_bar in ((0.0, SHORT_S, 550, 800), (SHORT_S, LONGER_S, 900, 1150)):
            group = [one for one in (*seen, *self._live_longer) if low < one.clip.speech_s <= high]
            whole = [one for one in group if len(one.finals) == 1]  # in others the sound of a part may play
            finals = [value for one in group if (value := one.final_s()) is not None]
            audio = [value for one in whole if (value := one.audio_s()) is not None]
            if not finals:
                continue
            name = f"sentences up to {high:.0f} s"
            for what, values, bar in (
                ("final with translation", finals, final_bar),
                ("sound", audio, audio_bar),
            ):
                note = f"{len(values)} of {len(group)}, 90 %: {quantile(values, 0.9) * 1000:.0f} ms"
                self.add(
                    "latency",
                    f"end of speech to {what}, {name}, median",
                    median(values) * 1000,
                    "ms",
                    bar,
                    note,
                )

    def whole(self) -> None:
        clips = [*self._paused, self._jfk]
        fixed = {"ASR_HANGOVER_MIN_MS": "500", "ASR_HANGOVER_MAX_MS": "500"}
        runs: tuple[tuple[str, dict[str, str], float | None], ...] = (
            ("sentences with a pause that are cut", {}, 10.0),
            ("the same with a fixed hang-over of 500 ms", fixed, None),
        )
        for what, settings, bar in runs:
            self._say(f"{len(clips)} sentences with pauses ({settings or 'as configured'})")
            with self._server(**settings) as server:
                seen = self._call(server, clips, "en")
            cut = sum(len(one.finals) > 1 for one in seen)
            silent = sum(not one.finals for one in seen)
            note = f"{cut} of {len(seen)}" + (f", {silent} without a final" if silent else "")
            self.add("whole", what, cut / len(seen) * 100, "%", bar, note)

    def calm(self) -> None:
        score = sum((one.calm() for one in self._live[0]), Calm())
        note = f"{score.withdrawn} of {score.shown}"
        self.add("calm", "words shown and withdrawn", score.rate * 100, "%", 5.0, note)
        self.add("calm", "rewrites of committed text", score.rewrites, "", 0)

    def cost(self) -> None:
        seen, cpu = self._live
        speech = sum(one.clip.speech_s for one in seen)
        self.add("cost", "recognition, sentences", cpu["recognize"] / speech, "cores", 0.25)
        for stage in ("turn", "translate", "speak"):
            self.add("cost", f"{stage}, sentences", cpu[stage] / speech, "cores")
        talk = self._long_talk()
        with self._server() as server:
            self._say(f"{talk.seconds:.0f} s of talk without a break")
            before = server.cpu_s("recognize")
            (one,) = self._call(server, [talk], "en")
            time.sleep(PING_S)
            spent = server.cpu_s("recognize") - before
        wrong = errors(talk.text, one.text)
        score = one.calm()
        note = f"words wrong {wrong.rate * 100:.1f} %, withdrawn {score.rate * 100:.1f} %, rewrites {score.rewrites}"
        self.add(
            "cost", "recognition, long sentences without a break", spent / talk.seconds, "cores", 0.40, note
        )
        self._say("faster-whisper's own windows at the same cadence")
        own = WholeFileWhisper(self._whisper, threads=1)
        every = config.load({}).asr_partial_ms / 1000
        step = max(1, len(self._clean) // OWN_WAY_CLIPS)
        self.add(
            "cost",
            "faster-whisper's own 30 s windows, sentences",
            own.live_cost(self._clean[::step], every),
            "cores",
        )

    def _long_talk(self) -> Clip:
        clips = self._voice.say_all(long_sentences(sentences()))
        count = len(clips)
        while sum(clip.speech_s for clip in clips[:count]) < LONG_TALK_S and count < 4 * len(clips):
            clips.append(clips[len(clips) % count])
            if sum(clip.speech_s for clip in clips) >= LONG_TALK_S:
                break
        return joined(clips)

    def lag(self) -> None:
        texts = [*sentences(), *long_sentences(sentences(), LONGER_WORDS)]
        clips: list[Clip] = []
        for text in itertools.cycle(texts):
            clips.append(self._voice.say(text))
            if sum(clip.speech_s for clip in clips) >= self._options.talk_s:
                break
        talk = joined(clips)
        with self._server() as server:
            self._say(f"{talk.seconds:.0f} s of talk without a break, interpreted")
            plan = replace(plan_call([talk], self._keys(self._options.target)), patience_s=30.0)
            log = server.call(plan)
        found, (seen,) = lagging(log), seen_of([talk], log)
        if not found.lags_s:
            raise SystemExit("nothing was interpreted")
        what = (
            f"{talk.seconds:.0f} s of talk without a break: end of an utterance to its interpretation heard"
        )
        note = f"{len(found.lags_s)} utterances heard, most {max(found.lags_s):.1f} s"
        self.add("lag", f"{what}, median", found.quantile_s(0.5) * 1000, "ms")
        self.add("lag", "the same, 95 %", found.quantile_s(0.95) * 1000, "ms", 6000, note)
        note = f"{found.skipped} of {found.utterances} utterances"
        self.add(
            "lag", "left out, of the translation's characters", found.skipped_share * 100, "%", None, note
        )
        last = max(seen.audible, default=seen.ended) - seen.ended
        self.add("lag", "end of the talk to the last interpreted sound", last * 1000, "ms")

    def denoise(self) -> None:
        recognizer = FasterWhisperRecognizer(str(self._whisper))
        recognizer.load()
        self._say("raw and denoised sound")
        rng = np.random.default_rng(SEED)
        clean = [with_margins(clip, 0.3, 0.3) for clip in self._clean]
        for name, clips in (("clean", clean), ("10 dB", [with_noise(c, SNR_DB, rng) for c in clean])):
            placed = [Clip(c.text, n.pcm) for c, n in zip(clean, clips, strict=True)]
            for how, sound in (
                ("raw", [c.pcm for c in placed]),
                ("denoised", [denoised(c.pcm) for c in placed]),
            ):
                rate = decoded_errors(recognizer, clean, sound).rate
                self.add("denoise", f"word error rate, {name}, {how}", rate * 100, "%")
        recognizer.close()

    def paddings(self) -> None:
        rng = np.random.default_rng(SEED)
        clean = self._voice.say_all(sentences())[: self._options.count : PADDING_STEP]
        noisy = [with_noise(clip, SNR_DB, rng) for clip in clean]
        for folder in sorted(self._options.models.glob("whisper-*")):
            self._say(f"windows of {folder.name} with more and with less silence")
            row = f"paddings, {folder.name}, {len(clean)} sentences, {sum(c.speech_s for c in clean):.0f} s of speech"
            for one in tried(folder, clean, noisy):
                name = f"speech + {one.padding_s:g} s of silence" if one.padding_s < 30 else "padded to 30 s"
                note = (
                    f"encoder {one.encoder_ms:.0f} + decoder {one.decoder_ms:.0f} ms; "
                    f"words wrong clean {one.clean.rate * 100:.1f} %, noise 10 dB {one.noisy.rate * 100:.1f} %"
                )
                self.add(row, name, one.encoder_ms + one.decoder_ms, "ms", note=note)

    def nonspeech(self) -> None:
        minutes = self._options.minutes
        self._say(f"{minutes:.0f} minutes of non-speech in virtual time")
        recognizer = FasterWhisperRecognizer(str(self._whisper))
        recognizer.load()
        (model,) = (self._options.models / "smart-turn-v3.2").glob("*.onnx")
        turns = SmartTurnDetector(str(model))
        turns.load()
        begun = time.monotonic()
        found = invented(pieces(minutes), recognizer, turns)
        pace = found.seconds / (time.monotonic() - begun)
        where = ", ".join(f"{kind} {count}" for kind, count in found.words.items() if count)
        note = f"{found.decodes} decodes, {pace:.0f} times real time" + (f"; {where}" if where else "")
        self.add("nonspeech", f"words in {minutes:.0f} minutes", found.total, "", 3, note)

    def calibrate(self) -> None:
        clip = joined([clip for clip in self._voice.say_all(sentences()[:3]) if clip.speech_s > 2])
        self.add(
            "calibrator", "one 4 s decode, one thread, median", calibrator_ms(self._whisper, clip), "ms", 180
        )


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speech", description="Measures hearing and interpreting."
    )
    parser.add_argument("--only", default="", help=f"rows, comma-separated: {', '.join(ROWS)}")
    parser.add_argument(
        "--sentences", type=int, default=len(sentences()), help="how many sentences of the list"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="minutes of non-speech")
    parser.add_argument("--talk", type=float, default=300.0, help="seconds of talk without a break (lag)")
    parser.add_argument("--target", default="es", help="language of the interpretation")
    parser.add_argument("--port", type=int, default=0, help="port of the server; 0: a free one")
    parser.add_argument("--json", type=Path, default=None, help="write the figures there, too")
    given = parser.parse_args(arguments)
    rows = [row for row in given.only.split(",") if row] or list(ROWS)
    if unknown := set(rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return given, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures; 1 if one missed its bar."""
    given, rows = parse(arguments)
    models = config.load(os.environ, Path(".env")).models_path
    options = Options(models, given.sentences, given.minutes, given.port, given.target, given.talk)
    bench = SpeechBench(options, lambda text: print(f"... {text}", file=sys.stderr, flush=True))
    bench.calibrate()
    for row in rows:
        getattr(bench, row)()
    print(render(bench.figures))
    if given.json is not None:
        given.json.write_text(
            json.dumps([asdict(figure) for figure in bench.figures], indent=1) + "\n", "utf-8"
        )
    return int(any(figure.held is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main())
