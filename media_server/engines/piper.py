"""Piper's neural voices. A sentence is one run of the network: the first is played while the rest is made.

Voices lie in ``models_dir/piper-NAME/NAME.onnx`` with ``NAME.onnx.json``. They are loaded when their
language is first spoken, the English one at once, and the least used goes when there are too many.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from media_server.audio.filters import with_tempo
from media_server.engines import voicing
from media_server.engines.base import Capabilities, Pcm, SpeakRequest, Speech
from media_server.engines.sentences import clause_cut, sentences, speakable
from media_server.errors import EngineFailed, EngineUnavailable

logger = logging.getLogger(__name__)

LONGEST_TEXT = 20_000  # characters
LONGEST_SENTENCE = 300  # characters, about 20 s of speech
LONG_START = 60  # characters: a longer first sentence is cut at a clause, so that the voice comes sooner
CUT = (16, 90)  # characters in front of that cut, at least and at most
KEPT = 3  # voices, of about 150 MB each

_PHONEMES = frozenset({"espeak", "text"})  # others need packages and models that are fetched from elsewhere
_QUALITIES = ("high", "medium", "low", "x_low")


@dataclass(frozen=True, slots=True)
class Installed:
    """A voice in the folder of models."""

    name: str
    language: str
    quality: int
    """0 is best."""
    onnx: Path
    config: Path


class PiperVoice:
    """``threads`` are those of one run; more than one gain little and take the core from somebody else."""

    def __init__(self, models_dir: str, threads: int = 1, kept: int = KEPT, device: str = "auto") -> None:
        self._models_dir = Path(models_dir).expanduser()
        self._threads = threads
        self._device = device
        self._kept = max(1, kept)
        self._installed: dict[str, Installed] = {}
        """The best voice of each language."""
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()

    def load(self) -> Capabilities:
        try:
            import piper  # noqa: F401
        except ImportError as error:
            raise EngineUnavailable(f"Piper is not installed (package piper-tts): {error}") from None
        voices = installed_voices(self._models_dir)
        if not voices:
            raise EngineUnavailable(f"there is no Piper voice in {self._models_dir}")
        for voice in voices:
            self._installed.setdefault(voice.language, voice)
        self._voice(self._installed.get("en", voices[0]))
        metadata = importlib.metadata.metadata("piper-tts")
        return Capabilities(
            kind="speak",
            name="piper",
            model=", ".join(voice.name for voice in self._installed.values()),
            version=metadata["Version"],
            licence=metadata.get("License-Expression") or metadata.get("License") or "",
            languages=tuple(sorted(self._installed)),
        )

    def close(self) -> None:
        self._loaded.clear()

    def speak(self, request: SpeakRequest) -> Iterator[Speech]:
        """A piece a sentence, or a clause where the first sentence is long; none when there is nothing to
        say.
        """
        installed = self._installed.get(request.language)
        if installed is None:
            raise EngineFailed(f"Piper has no voice for {request.language!r} here")
        if len(request.text) > LONGEST_TEXT:
            raise EngineFailed(f"the text is longer than {LONGEST_TEXT} characters")
        voice = self._voice(installed)
        plan = list(_plan(speakable(request.text)))
        first = True
        for number, (text, sentence, pause_s) in enumerate(plan, 1):
            said = voice.say(text)
            pcm = voicing.finish(
                with_tempo(said, voice.rate, max(0.5, min(2.0, request.speed))),
                voice.rate,
                gain=voice.level.gain(said),
                first=first,
                last=number == len(plan),
                pause_s=voicing.pause(pause_s, request.speed),
            )
            if len(pcm):
                first = False
                yield Speech(pcm, sentence, installed.name)

    def _voice(self, installed: Installed) -> _Loaded:
        if (voice := self._loaded.get(installed.name)) is None:
            while len(self._loaded) >= self._kept:
                self._loaded.popitem(last=False)
            voice = self._loaded[installed.name] = _Loaded(installed, self._threads, providers(self._device))
        self._loaded.move_to_end(installed.name)
        return voice


def providers(device: str) -> list[str]:
    """Of ONNX Runtime, best first, for ``TTS_DEVICE``. Only the package onnxruntime-gpu knows CUDA."""
    import onnxruntime

    if device != "cpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    if device == "cuda":
        logger.warning("TTS_DEVICE=cuda needs the package onnxruntime-gpu: Piper runs on the CPU")
    return ["CPUExecutionProvider"]


class _Loaded:
    """A voice in memory, measured."""

    def __init__(self, installed: Installed, threads: int, providers: list[str]) -> None:
        import onnxruntime
        import piper

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        try:
            config = piper.PiperConfig.from_dict(json.loads(installed.config.read_text(encoding="utf-8")))
            session = onnxruntime.InferenceSession(str(installed.onnx), options, providers=providers)
        except Exception as error:  # whatever a damaged file raises, said with the file's name
            raise EngineFailed(f"the Piper voice {installed.name} cannot be loaded: {error}") from error
        self._voice: Any = piper.PiperVoice(session=session, config=config)
        self.rate: int = config.sample_rate
        self.level = voicing.Level(self.say(voicing.MEASURED), self.rate)

    def say(self, text: str) -> Pcm:
        """int16 at ``rate``, as loud and as fast as the network makes it.

        Its own ``length_scale`` rounds every sound up to whole frames: at 1.25 a sentence would last 0.9 of its time.
        """
        import piper

        # Two opening brackets would start Piper's notation for phonemes.
        pieces = self._voice.synthesize(
            text.replace("[[", "[ ["),
            piper.SynthesisConfig(normalize_audio=False),
        )
        sound = [np.rint(piece.audio_float_array * 32767.0).astype(np.int16) for piece in pieces]
        return np.concatenate(sound) if sound else np.empty(0, np.int16)


def installed_voices(models_dir: Path) -> list[Installed]:
    """Every complete voice of the folder that can be spoken without further downloads, the best first."""
    found = []
    for config in models_dir.glob("piper-*/*.onnx.json"):
        onnx = config.with_suffix("")
        try:
            data = json.loads(config.read_text(encoding="utf-8"))
            tag = data.get("language", {}).get("family") or data["espeak"]["voice"]
            usable = onnx.is_file() and data.get("phoneme_type", "espeak") in _PHONEMES
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if usable:
            grade = data.get("audio", {}).get("quality") or onnx.stem.rpartition("-")[2]
            quality = _QUALITIES.index(grade) if grade in _QUALITIES else len(_QUALITIES)
            language = str(tag).replace("_", "-").split("-")[0].lower()
            found.append(Installed(onnx.stem, language, quality, onnx, config))
    return sorted(found, key=lambda voice: (voice.quality, voice.name))


def _plan(text: str) -> Iterator[tuple[str, str, float]]:
    """What is made at once, the sentence that starts with it ("" inside one), and the pause after it."""
    first = True
    for sentence in sentences(text, LONGEST_SENTENCE):
        if not speakable(sentence):
            continue
        rest, shown = sentence, sentence
        if first and len(sentence) > LONG_START and (cut := clause_cut(sentence, *CUT)):
            yield sentence[:cut].strip(), shown, voicing.CLAUSE_PAUSE_S
            rest, shown = sentence[cut:], ""
        first = False
        if speakable(rest):
            yield rest, shown, voicing.SENTENCE_PAUSE_S
