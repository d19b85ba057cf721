"""What people ask for by size, pair or voice, as repositories of the hub and the files that are needed of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from media_server.models.manifest import ModelError, plain_name

DEFAULT_TEMPLATE = "gaudi/opus-mt-{src}-{tgt}-ctranslate2"
ORIGINALS = "Helsinki-NLP/opus-mt-{src}-{tgt}"
VOICES = "rhasspy/piper-voices"

_WHISPER = {
    "large": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
}
_SIZE = re.compile(
    r"(tiny|base|small|medium)(\.en)?|large(-v[123])?|large-v3-turbo|turbo|distil-[a-z0-9.-]{1,24}"
)
_CODE = re.compile(r"[A-Za-z]{2,12}")
_VOICE = re.compile(r"([a-z]{2,3})_([A-Z]{2})-([A-Za-z0-9_+.]{1,40})-(x_low|low|medium|high)")
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")

RECOGNIZER_FILES = r"model\.bin|config\.json|tokenizer\.json|preprocessor_config\.json|vocabulary\.(txt|json)"
TRANSLATOR_FILES = (
    r"model\.bin|config\.json|(shared|source|target)_vocabulary\.(json|txt)|source\.spm|target\.spm"
    r"|sentencepiece\.bpe\.model"
)
ORIGINAL_FILES = (
    r"(pytorch_model|model)[A-Za-z0-9-]*\.(bin|safetensors)|(pytorch_model|model)\.(bin|safetensors)\.index\.json"
    r"|(config|generation_config|vocab|tokenizer_config|special_tokens_map|tokenizer)\.json|source\.spm|target\.spm"
    r"|sentencepiece\.bpe\.model"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that no manifest knows: its folder here, and where it is on the hub."""

    name: str
    kind: str
    """``asr``, ``mt`` or ``tts``."""
    purpose: str
    repository: str
    files: str
    """A pattern of the names of the files that are needed, without their folder."""
    folder: str = ""
    """Of the repository, where the files lie."""
    needed: tuple[str, ...] = ("model.bin", "config.json")
    hint: str = ""
    """What to try where the repository does not exist."""


def sizes(text: str) -> list[Wanted]:
    """Of ``--asr base,distil-large-v3``."""
    return [_size(entry) for entry in _entries(text)]


def pairs(text: str, template: str) -> list[Wanted]:
    """Of ``--pairs hi-en,en-es``, with the setting MT_MODEL_TEMPLATE."""
    if is_local(template):
        raise ModelError(
            f"MT_MODEL_TEMPLATE={template} names folders of this machine: nothing is fetched for it."
        )
    return [_pair(*pair, template) for pair in pairs_of(text)]


def voices(text: str) -> list[Wanted]:
    """Of ``--voices es_ES-davefx-medium``."""
    return [_voice(entry) for entry in _entries(text)]


def pairs_of(text: str) -> list[tuple[str, str]]:
    """(source, target) of every pair of a list; ModelError where one is none."""
    found = []
    for entry in _entries(text):
        source, dash, target = entry.partition("-")
        if not (dash and _CODE.fullmatch(source) and _CODE.fullmatch(target)) or source == target:
            raise ModelError(f"{entry!r} is no pair of languages. Pairs look like hi-en.")
        found.append((source, target))
    return found


def is_local(template: str) -> bool:
    """Whether a template names folders of this machine instead of repositories of the hub."""
    return template.startswith(("/", "./", "../", "~", ".\\", "..\\")) or bool(
        re.match(r"[A-Za-z]:[\\/]", template)
    )


def original(source: str, target: str) -> Wanted:
    """The original of a pair, which has to be converted."""
    return original_of(ORIGINALS.replace("{src}", source).replace("{tgt}", target))


def original_of(name: str) -> Wanted:
    """An original by its repository."""
    return Wanted(
        plain_name(repository(name).replace("/", "--")),
        "mt",
        "to be converted",
        name,
        ORIGINAL_FILES,
        needed=("config.json",),
    )


def repository_of(template: str, source: str, target: str) -> str:
    """The repository that a template names for a pair."""
    return repository(template.replace("{src}", source).replace("{tgt}", target))


def repository(name: str) -> str:
    """A name that can stand in an address of the hub and leads to no other place; else ModelError."""
    if _REPOSITORY.fullmatch(name) is None or ".." in name:
        raise ModelError(f"{name!r} is no repository of the hub. Repositories look like owner/name.")
    return name


def _size(size: str) -> Wanted:
    if _SIZE.fullmatch(size) is None:
        raise ModelError(
            f"{size!r} is no size of Whisper. There are tiny, base, small, medium (each also with .en), large-v3, "
            "large-v3-turbo, distil-large-v3 and others of that kind."
        )
    distil = size.removeprefix("distil-")
    default = (
        f"Systran/faster-distil-whisper-{distil}" if distil != size else f"Systran/faster-whisper-{size}"
    )
    name = plain_name(f"whisper-{size}")
    return Wanted(
        name, "asr", f"recognizes speech (Whisper {size})", _WHISPER.get(size, default), RECOGNIZER_FILES
    )


def _pair(source: str, target: str, template: str) -> Wanted:
    return Wanted(
        plain_name(f"marian-{source}-{target}"),
        "mt",
        f"translates from {source} to {target}",
        repository_of(template, source, target),
        TRANSLATOR_FILES,
        hint=f"The original may be converted: models convert --pairs {source}-{target}",
    )


def _voice(voice: str) -> Wanted:
    match = _VOICE.fullmatch(voice)
    if match is None:
        raise ModelError(f"{voice!r} is no Piper voice. Voices look like es_ES-davefx-medium.")
    language, region, speaker, quality = match.groups()
    return Wanted(
        plain_name(f"piper-{voice}"),
        "tts",
        f"speaks {language}_{region}",
        VOICES,
        rf"{re.escape(voice)}\.onnx(\.json)?",
        folder=f"{language}/{language}_{region}/{speaker}/{quality}",
        needed=(f"{voice}.onnx", f"{voice}.onnx.json"),
    )


def _entries(text: str) -> Iterable[str]:
    entries = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not entries:
        raise ModelError("A list of names is empty.")
    return entries
