"""Translation models ready for CTranslate2: which folders hold one, and which pairs each translates.

Three families are told by what lies in the folder and in its vocabulary:

- ``opus`` (OPUS-MT, made by Marian): ``source.spm``, ``target.spm``. Languages come from the name of the folder,
  ``...opus-mt-SRC-TGT...`` or ``marian-SRC-TGT``; a model of many targets has tokens ``>>xx<<`` in its vocabulary.
- ``nllb``: ``sentencepiece.bpe.model``, tokens such as ``eng_Latn``.
- ``m2m100``: ``sentencepiece.bpe.model``, tokens such as ``__en__``.

Reads names and vocabularies only: no model is loaded, nothing heavy is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from media_server.engines import translation_languages as languages
from media_server.engines.base import Pair

type Family = Literal["opus", "nllb", "m2m100"]

WEIGHTS = "model.bin"
OPUS_FILES = (WEIGHTS, "config.json", "source.spm", "target.spm")
MULTILINGUAL_FILES = (WEIGHTS, "config.json", "sentencepiece.bpe.model")
VOCABULARIES = (
    "shared_vocabulary.json",
    "shared_vocabulary.txt",
    "source_vocabulary.json",
    "source_vocabulary.txt",
)
TARGET_VOCABULARIES = ("target_vocabulary.json", "target_vocabulary.txt")

PAIR_QUALITY, GROUP_QUALITY = 85, 78  # a model of its own for a pair, one for many languages
FAMILY_QUALITY: dict[Family, int] = {"opus": PAIR_QUALITY, "nllb": 80, "m2m100": 74}

_NAME = re.compile(
    r"(?:.*[-_])?(?:opus-mt(?:-tc)?(?:-(?:big|base|tiny))?|marian)-([A-Za-z]{2,12})-([A-Za-z]{2,12})(?:-.*)?"
)
_TARGET = re.compile(r">>([A-Za-z]{2,3})(?:[_-]\w+)?<<")
_NLLB = re.compile(r"([a-z]{3})_[A-Z][a-z]{3}")
_M2M = re.compile(r"__([a-z]{2,3})__")


class Unusable(Exception):
    """A folder that holds no model of ours, or half of one; the text says in words what is wrong."""


@dataclass(frozen=True, slots=True)
class TranslationModel:
    """A folder and what can be asked of it. ``tokens`` are by language: what names it to the model."""

    folder: Path
    family: Family
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    source_tokens: dict[str, str]
    target_tokens: dict[str, str]
    codes: tuple[str, str] = ("", "")
    """What ``inspect`` was given, or found in the folder's name: a language or a group each."""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def is_pair(self) -> bool:
        """Whether it is made for one pair only."""
        return len(self.sources) == len(self.targets) == 1

    def pairs(self) -> tuple[Pair, ...]:
        """Every direct pair, with its quality: a model for one pair is better than one for many."""
        quality = GROUP_QUALITY if self.family == "opus" and not self.is_pair else FAMILY_QUALITY[self.family]
        return tuple(
            Pair(source, target, quality)
            for source in self.sources
            for target in self.targets
            if source != target
        )


def inspect(folder: Path, source: str = "", target: str = "") -> TranslationModel:
    """The model of a folder; ``Unusable`` with the reason. ``source`` and ``target`` where its name does not tell."""
    present = _present(folder)
    if "sentencepiece.bpe.model" in present:
        return _multilingual(folder, present)
    missing = [name for name in OPUS_FILES if name not in present]
    if missing:
        raise Unusable(
            f"{folder.name}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there"
        )
    if not (source and target):
        match = _NAME.fullmatch(folder.name)
        if match is None:
            raise Unusable(f"{folder.name}: its name tells no pair of languages (opus-mt-SRC-TGT)")
        source, target = match[1], match[2]
    tokens: dict[str, str] = {}
    for token in _vocabulary(folder, present, target=True):
        if (found := _TARGET.fullmatch(token)) is not None:
            tokens.setdefault(languages.short(found[1]), token)
    sources = languages.members(source)
    targets = tuple(sorted(tokens)) if tokens and languages.is_group(target) else languages.members(target)
    if not sources or not targets:
        group = target if sources else source
        raise Unusable(f"{folder.name}: which languages {group!r} stands for is not known here")
    if languages.is_group(target) and not tokens:
        raise Unusable(f"{folder.name}: its vocabulary has no token that chooses a language")
    if len(targets) == 1 and targets[0] not in tokens:
        tokens = {}
    return TranslationModel(folder, "opus", sources, targets, {}, tokens, (source, target))


def _multilingual(folder: Path, present: frozenset[str]) -> TranslationModel:
    missing = [name for name in MULTILINGUAL_FILES if name not in present]
    if missing:
        raise Unusable(
            f"{folder.name}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there"
        )
    by_family: dict[Family, dict[str, str]] = {"nllb": {}, "m2m100": {}}
    patterns: tuple[tuple[Family, re.Pattern[str]], ...] = (("nllb", _NLLB), ("m2m100", _M2M))
    for token in _vocabulary(folder, present):
        for family, pattern in patterns:
            found = pattern.fullmatch(token)
            code = languages.offered(found[1]) if found is not None else ""
            # Of several scripts of a language: the usual one, else the first in the vocabulary.
            if code and (code not in by_family[family] or token in languages.USUAL_SCRIPTS):
                by_family[family][code] = token
    family = max(by_family, key=lambda name: len(by_family[name]))
    tokens = by_family[family]
    if len(tokens) < 2:
        raise Unusable(f"{folder.name}: its vocabulary names no languages")
    codes = tuple(sorted(tokens))
    return TranslationModel(folder, family, codes, codes, tokens, tokens)


def looks_like_one(folder: Path) -> bool:
    """Whether a folder of MODELS_DIR means to be a translation model, whole or not."""
    return _NAME.fullmatch(folder.name) is not None or folder.name.startswith(("nllb", "m2m100"))


def of_template(template: str) -> list[Path]:
    """The folders that a template of local folders names: ``{src}`` and ``{tgt}`` stand for any language."""
    path = Path(template).expanduser()
    if "{" not in template:
        return [path] if path.is_dir() else []
    fixed = Path(*_before(path.parts))
    pattern = "/".join(path.parts[len(fixed.parts) :]).replace("{src}", "*").replace("{tgt}", "*")
    return sorted(found for found in fixed.glob(pattern) if found.is_dir())


def languages_of_template(template: str, folder: Path) -> tuple[str, str]:
    """Which languages a folder has by its template; empty where the template does not say."""
    pattern = re.escape(str(Path(template).expanduser()))
    for name in ("src", "tgt"):
        pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>[A-Za-z]{{2,12}})", 1)
        pattern = pattern.replace(re.escape(f"{{{name}}}"), "[A-Za-z]{2,12}")
    match = re.fullmatch(pattern, str(folder))
    found = match.groupdict() if match is not None else {}
    return found.get("src", ""), found.get("tgt", "")


def _before(parts: tuple[str, ...]) -> Iterator[str]:
    for part in parts:
        if "{" in part:
            return
        yield part


def _present(folder: Path) -> frozenset[str]:
    try:
        return frozenset(
            entry.name for entry in folder.iterdir() if entry.is_file() and entry.stat().st_size > 0
        )
    except OSError:
        raise Unusable(f"{folder.name}: the folder is not there or cannot be read") from None


def _vocabulary(folder: Path, present: frozenset[str], *, target: bool = False) -> list[str]:
    names = [name for name in VOCABULARIES if name in present]
    if target:
        names += [name for name in TARGET_VOCABULARIES if name in present]
    if not names:
        raise Unusable(f"{folder.name}: shared_vocabulary.json is not there")
    tokens: list[str] = []
    for name in names:
        try:
            text = (folder / name).read_text(encoding="utf-8")
            tokens += map(str, json.loads(text) if name.endswith(".json") else text.splitlines())
        except (OSError, ValueError, TypeError):
            raise Unusable(f"{folder.name}: {name} cannot be read") from None
    return tokens
