"""Which engine runs, and which way a language takes: pure functions of settings and of what is installed.

``look_around`` is the only function here that touches the system; ``choose`` and ``Routes`` take plain values, so
that every choice and its reason can be tested without an engine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from media_server.config import AUTO, Settings
from media_server.engines import whisper_choice
from media_server.engines.base import EngineKind, EngineSpec, Pair
from media_server.engines.openai_specs import providers, remote, server_name
from media_server.engines.translation_models import (
    TranslationModel,
    Unusable,
    inspect,
    languages_of_template,
    looks_like_one,
    of_template,
)
from media_server.models.store import ModelStore
from media_server.models.wanted import is_local

MOST_WORKERS = 8  # each holds the weights once more
TURN_MODEL = "smart-turn-v3.2"
_MODULES = (
    "faster_whisper", "ctranslate2", "piper", "espeakng_loader", "onnxruntime", "gtts", "sentencepiece",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What is there: importable modules, folders of models, programs, cores and GPUs."""

    modules: frozenset[str] = frozenset()
    whisper: Mapping[str, str] = field(default_factory=dict)
    """Size -> folder with CTranslate2 weights."""
    turn: str = ""
    piper: Mapping[str, str] = field(default_factory=dict)
    """Voice name -> language (ISO 639-1)."""
    apertium: tuple[Pair, ...] = ()
    translation: tuple[TranslationModel, ...] = ()
    """Models for CTranslate2: OPUS-MT, NLLB, M2M100."""
    translation_faults: tuple[str, ...] = ()
    """Folders that mean to be such models and cannot be used, and why."""
    cuda: bool = False
    cores: int = 2


@dataclass(frozen=True)
class Missing:
    """Something that would work, or work better, if it were fetched or installed."""

    stage: EngineKind
    message: str
    command: str


@dataclass(frozen=True)
class Plan:
    """What to start, by stage, best engine first, and what is missing."""

    recognize: tuple[EngineSpec, ...] = ()
    turn: tuple[EngineSpec, ...] = ()
    translate: tuple[EngineSpec, ...] = ()
    speak: tuple[EngineSpec, ...] = ()
    missing: tuple[Missing, ...] = ()
    gather_s: float = 0.0
    """Partial windows may wait so long for those of other speakers."""

    @property
    def specs(self) -> tuple[EngineSpec, ...]:
        return self.recognize + self.turn + self.translate + self.speak


def look_around(settings: Settings, store: ModelStore) -> Found:
    """Looks at the disk and the installed packages; imports nothing heavy and asks the network nothing."""
    from media_server.engines.apertium import installed_pairs

    whisper = {}
    for size in dict.fromkeys((*whisper_choice.SIZES, whisper_choice.named(settings.asr_model_size))):
        folder = store.path(f"whisper-{size}") if size != AUTO and Path(size).name == size else None
        if folder is not None:
            whisper[size] = str(folder)
    explicit = Path(settings.asr_model_size).expanduser()
    if (explicit / "model.bin").is_file():
        whisper[settings.asr_model_size] = str(explicit)
    turn = store.path(TURN_MODEL)
    translation, faults = translation_models(settings, store)
    return Found(
        modules=frozenset(name for name in _MODULES if find_spec(name) is not None),
        whisper=whisper,
        turn=str(turn / f"{TURN_MODEL}-cpu.onnx") if turn else "",
        piper={voice.name: voice.language for voice in store.voices()},
        apertium=installed_pairs(settings.apertium_modes),
        translation=tuple(translation),
        translation_faults=tuple(faults),
        cuda=_has_cuda(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def translation_models(settings: Settings, store: ModelStore) -> tuple[list[TranslationModel], list[str]]:
    """Those of MODELS_DIR and, where MT_MODEL_TEMPLATE names folders of this machine, those; and what is wrong."""
    models: list[TranslationModel] = []
    faults: list[str] = []
    template = settings.mt_model_template
    named: list[tuple[Path, str, str]] = []
    if is_local(template):
        folders = of_template(template)
        named = [(folder, *languages_of_template(template, folder)) for folder in folders]
        if not folders:
            faults.append(f"MT_MODEL_TEMPLATE: there is no folder {template}")
    for folder in store.folders():
        if looks_like_one(folder):
            if store.path(folder.name) is None:
                faults.append(f"{folder.name} is not complete or damaged")
            else:
                named.append((folder, "", ""))
    for folder, source, target in named:
        try:
            models.append(inspect(folder, source, target))
        except Unusable as error:
            faults.append(str(error))
    return models, faults


def _has_cuda() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()


def choose(settings: Settings, found: Found, fetch: str) -> Plan:
    """The plan for these settings on this machine. ``fetch`` begins the command that fetches models."""
    missing: list[Missing] = []
    recognize = _choose_recognizer(settings, found, fetch, missing)
    turn = _choose_turn(found, fetch, missing)
    translate = _choose_translators(settings, found, fetch, missing)
    speak = _choose_voices(settings, found, fetch, missing)
    return Plan(
        (*remote("recognize", settings), *recognize),
        turn,
        (*remote("translate", settings), *translate),
        (*remote("speak", settings), *speak),
        tuple(_behind_a_provider(entry, settings) for entry in missing),
        gather_s=settings.asr_batch_window_ms / 1000,
    )


def _behind_a_provider(missing: Missing, settings: Settings) -> Missing:
    """What is not here is needed only when the server that the stage is given to does not answer."""
    if providers(settings).get(missing.stage) != "openai":
        return missing
    words = f"{missing.message} It would take over when {server_name(settings)} does not answer."
    return replace(missing, message=words)


def _choose_recognizer(
    settings: Settings, found: Found, fetch: str, missing: list[Missing]
) -> tuple[EngineSpec, ...]:
    if not {"faster_whisper", "ctranslate2"} <= found.modules:
        missing.append(Missing("recognize", "faster-whisper is not installed.", "make run"))
        return ()
    choice = whisper_choice.choose(settings, found.whisper, found.cuda)
    wanted = settings.asr_model_size
    if choice.missing and ("/" in wanted or "\\" in wanted):
        words = f"ASR_MODEL_SIZE names {wanted}, which is no folder with Whisper's weights (model.bin)."
        missing.append(Missing("recognize", words, f"{fetch} whisper-base"))
    elif choice.missing:
        name = f"whisper-{whisper_choice.named(wanted)}"
        missing.append(Missing("recognize", f"Whisper {wanted} is not here.", f"{fetch} {name}"))
    elif not choice.size:
        words = "No Whisper model is here, so nothing is recognized."
        missing.append(Missing("recognize", words, f"{fetch} whisper-base"))
    if not choice.size:
        return ()
    specs = _whisper(settings, found, choice, "faster-whisper")
    standby = whisper_choice.behind(choice, found.whisper)
    if standby is None:
        return specs
    own_format = replace(settings, asr_compute_type=AUTO)
    return (*specs, *_whisper(own_format, found, standby, "faster-whisper-cpu")[:1])


def _whisper(
    settings: Settings, found: Found, choice: whisper_choice.Choice, name: str
) -> tuple[EngineSpec, ...]:
    """One spec for each worker."""
    on_gpu = choice.device == "cuda"
    compute = settings.asr_compute_type
    if compute == AUTO:
        compute = choice.compute_type(settings.model_precision)
    spec = EngineSpec(
        kind="recognize",
        name=name,
        factory="media_server.engines.faster_whisper:FasterWhisperRecognizer",
        settings={
            "model_dir": found.whisper[choice.size],
            "device": choice.device,
            "compute_type": compute,
            "threads": settings.asr_threads or 1,
            "batch": settings.asr_max_batch,
        },
        reason=choice.reason,
    )
    workers = settings.asr_workers or (1 if on_gpu else min(found.cores, MOST_WORKERS))
    return (spec, *(replace(spec, name=f"{name}-{number}") for number in range(2, workers + 1)))


def _choose_turn(found: Found, fetch: str, missing: list[Missing]) -> tuple[EngineSpec, ...]:
    if not found.turn or "onnxruntime" not in found.modules:
        missing.append(
            Missing(
                "turn",
                "Smart Turn is not here: endings are told by silence and text.",
                f"{fetch} {TURN_MODEL}",
            )
        )
        return ()
    return (
        EngineSpec(
            kind="turn",
            name="smart-turn",
            factory="media_server.engines.smart_turn:SmartTurnDetector",
            settings={"model_path": found.turn},
            reason="hears whether a speaker sounds finished",
        ),
    )


def _choose_translators(
    settings: Settings, found: Found, fetch: str, missing: list[Missing]
) -> tuple[EngineSpec, ...]:
    specs: list[EngineSpec] = []
    for fault in found.translation_faults:
        pair = fault.removeprefix("marian-").split(" ")[0] if fault.startswith("marian-") else "SRC-TGT"
        missing.append(
            Missing("translate", f"A translation model is not used: {fault}.", f"{fetch} --pairs {pair}")
        )
    if found.translation and {"ctranslate2", "sentencepiece"} <= found.modules:
        specs += _neural_translators(settings, found)
    elif found.translation:
        missing.append(
            Missing(
                "translate", "Translation models are here, CTranslate2 or sentencepiece is not.", "make run"
            )
        )
    if found.apertium:
        specs.append(
            EngineSpec(
                kind="translate",
                name="apertium",
                factory="media_server.engines.apertium:ApertiumTranslator",
                settings={"modes_dir": settings.apertium_modes},
                reason="installed, translates text in a millisecond",
                pairs=found.apertium,
            )
        )
    if not specs:
        missing.append(
            Missing(
                "translate",
                "No translation model and no Apertium is here: only speech into English is translated, by the "
                "recognizer.",
                f"{fetch} --pairs en-es or sudo apt-get install apertium apertium-eng-spa apertium-fr-es "
                "apertium-es-pt",
            )
        )
    return tuple(specs)


def _neural_translators(settings: Settings, found: Found) -> list[EngineSpec]:
    """One engine for all models of OPUS-MT, whose pairs share its memory and its batches; one for each other."""
    first = (settings.mt_default_src, settings.mt_default_tgt)
    opus = sorted(
        (model for model in found.translation if model.family == "opus"),
        key=lambda model: not (first[0] in model.sources and first[1] in model.targets),
    )
    others = [model for model in found.translation if model.family != "opus"]
    groups = ([("marian", opus, "CC-BY-4.0")] if opus else []) + [
        (model.family if number == 0 else f"{model.family}-{number + 1}", [model], _LICENCES[model.family])
        for family in ("nllb", "m2m100")
        for number, model in enumerate(one for one in others if one.family == family)
    ]
    specs = []
    for name, models, licence in groups:
        pairs: dict[tuple[str, str], Pair] = {}
        for pair in (pair for model in models for pair in model.pairs()):
            known = pairs.get((pair.source, pair.target))
            if known is None or known.quality < pair.quality:
                pairs[pair.source, pair.target] = pair
        specs.append(
            EngineSpec(
                kind="translate",
                name=name,
                factory="media_server.engines.marian:MarianTranslator",
                settings={
                    "models": json.dumps([[str(model.folder), *model.codes] for model in models]),
                    "name": name,
                    "device": settings.mt_device if found.cuda or settings.mt_device == "cuda" else "cpu",
                    "threads": max(1, found.cores // 4),
                    "licence": licence,
                },
                reason="the best translation of its pairs here",
                pairs=tuple(pairs.values()),
            )
        )
    return specs


_LICENCES = {"nllb": "CC-BY-NC-4.0", "m2m100": "MIT"}


def _choose_voices(
    settings: Settings, found: Found, fetch: str, missing: list[Missing]
) -> tuple[EngineSpec, ...]:
    from media_server.engines.gtts import receiver

    specs = []
    asked, local = settings.tts_engine == "gtts", settings.tts_engine in {AUTO, "piper", "gtts"}
    if asked and "gtts" in found.modules:
        specs.append(
            EngineSpec(
                kind="speak",
                name="gtts",
                factory="media_server.engines.gtts:GttsVoice",
                settings={
                    "url": settings.gtts_url,
                    "language": settings.gtts_lang,
                    "cache_dir": settings.tts_cache_dir,
                    "cache_mb": settings.tts_cache_mb,
                },
                reason="TTS_ENGINE asks for it; the voices behind it speak when Google does not answer",
                off_machine=receiver(settings.gtts_url),
            )
        )
    elif asked:
        missing.append(Missing("speak", "gTTS is not installed: a local voice speaks.", "make run"))
    if "piper" in found.modules and found.piper and local:
        specs.append(
            EngineSpec(
                kind="speak",
                name="piper",
                factory="media_server.engines.piper:PiperVoice",
                settings={"models_dir": str(settings.models_path), "device": settings.tts_device},
                reason="the best voice of its languages",
                languages=tuple(sorted(set(found.piper.values()))),
            )
        )
    elif local:
        missing.append(
            Missing("speak", "No Piper voice is here: espeak-ng speaks.", f"{fetch} piper-en_US-joe-medium")
        )
    if "espeakng_loader" in found.modules:
        specs.append(
            EngineSpec(
                kind="speak",
                name="espeak-ng",
                factory="media_server.engines.espeak_ng:EspeakVoice",
                reason="speaks every language that has no better voice here",
            )
        )
    if not specs:
        missing.append(Missing("speak", "No voice is installed: captions only.", "make run"))
    return tuple(specs)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a route: text of ``source`` to text of ``target`` by an engine."""

    source: str
    target: str
    engine: str
    from_speech: bool = False
    """The recognizer makes this step from the sound itself; it can only be the first."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way from one language to another, at most two steps. No steps: the languages are the same."""

    steps: tuple[Step, ...]
    quality: int

    @property
    def by(self) -> str:
        """For people: "Apertium", "Whisper, then Apertium"."""
        names = [_SHOWN.get(step.engine, step.engine) for step in self.steps]
        if len(names) == 2 and names[0] == names[1]:
            return f"{names[0]} in two steps"
        return ", then ".join(names)


_SHOWN = {
    "apertium": "Apertium",
    "faster-whisper": "Whisper",
    "marian": "Marian (OPUS-MT)",
    "nllb": "NLLB",
    "m2m100": "M2M100",
    "openai": "OpenAI-compatible server",
}


class Routes:
    """Every route of at most two steps over the pairs that engines offer, best first.

    The quality of two steps is the product of theirs (as shares of 100), so a good direct pair beats a detour; by an
    engine that has the direct pair no detour leads. Routes are worked out when they are asked for: a model of a hundred
    languages has ten thousand pairs.
    """

    def __init__(self, texts: Mapping[str, Iterable[Pair]], speech: Mapping[str, Iterable[Pair]]) -> None:
        """``texts`` are translators' pairs by engine, ``speech`` the pairs that recognizers translate themselves."""
        self._onward: _Steps = {}
        """What text of a language becomes, by source and target; second steps are among these only."""
        self._first: _Steps = {}
        for by_engine, from_speech in ((texts, False), (speech, True)):
            for engine, pairs in by_engine.items():
                for pair in pairs:
                    step = (Step(pair.source, pair.target, engine, from_speech), pair.quality)
                    for steps in (self._first,) if from_speech else (self._first, self._onward):
                        steps.setdefault(pair.source, {}).setdefault(pair.target, []).append(step)
        self._found: dict[tuple[str, str], tuple[Route, ...]] = {}
        self._best: dict[tuple[str, str], Route] | None = None

    def find(self, source: str, target: str) -> tuple[Route, ...]:
        """Routes best first; one without steps when the languages are the same; none when there is no way."""
        if source == target:
            return (Route((), 100),)
        key = (source, target)
        if key not in self._found:
            routes = [
                Route((step,), quality) for step, quality in self._first.get(source, {}).get(target, ())
            ]
            direct = {route.steps[0].engine for route in routes}
            for middle, firsts in self._first.get(source, {}).items():
                for onward, second in self._onward.get(middle, {}).get(target, ()):
                    routes += [
                        Route((step, onward), quality * second // 100)
                        for step, quality in firsts
                        if not {step.engine, onward.engine} & direct
                    ]
            self._found[key] = tuple(sorted(routes, key=lambda route: (-route.quality, len(route.steps))))
        return self._found[key]

    def pairs(self) -> dict[tuple[str, str], Route]:
        """The best route of every pair that works."""
        if self._best is None:
            self._best = {}
            for source, steps in self._first.items():
                targets = dict.fromkeys(
                    target for middle in steps for target in (middle, *self._onward.get(middle, ()))
                )
                for target in targets:
                    if target != source:
                        self._best[source, target] = self._best_of(source, target)
        return self._best

    def _best_of(self, source: str, target: str) -> Route:
        """As ``find`` has it first, without looking at detours that cannot be better than a direct step."""
        direct = max((quality for _, quality in self._first[source].get(target, ())), default=0)
        if (source, target) not in self._found and direct:
            longest = max(quality for steps in self._first[source].values() for _, quality in steps)
            if longest <= direct:  # and a second step only takes away
                step = next(s for s, quality in self._first[source][target] if quality == direct)
                return Route((step,), direct)
        return self.find(source, target)[0]


type _Steps = dict[str, dict[str, list[tuple[Step, int]]]]
