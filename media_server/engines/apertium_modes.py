"""Which language pairs Apertium has here, told from its mode files alone: no program is started.

A mode file holds one shell pipeline, ``program arguments | program arguments | ...``. Its name is the pair,
with a variant after an underscore ("eng-cat_valencia"); the plain mode of a pair is preferred.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from media_server.engines.base import Pair

MODES_DIR = "/usr/share/apertium/modes"

_NAME = re.compile(r"([a-z]{2,3})(_\w+)?-([a-z]{2,3})(_\w+)?")
_DATA = re.compile(r"/.+\.(bin|prob|t[1-4]x|rlx|zhfst|hfst|lrx)")

# ISO 639-3 to 639-1 for the languages of Apertium's released pairs; others keep their three letters.
# fmt: off
ISO_639_1 = {
    "afr": "af", "ara": "ar", "arg": "an", "bel": "be", "ben": "bn", "bos": "bs", "bre": "br", "bul": "bg",
    "cat": "ca", "ces": "cs", "cym": "cy", "dan": "da", "deu": "de", "ell": "el", "eng": "en", "epo": "eo",
    "est": "et", "eus": "eu", "fas": "fa", "fin": "fi", "fra": "fr", "gle": "ga", "glg": "gl", "hat": "ht",
    "hbs": "sh", "heb": "he", "hin": "hi", "hrv": "hr", "hun": "hu", "ind": "id", "isl": "is", "ita": "it",
    "kaz": "kk", "kir": "ky", "lat": "la", "lav": "lv", "lit": "lt", "mar": "mr", "mkd": "mk", "mlt": "mt",
    "msa": "ms", "nep": "ne", "nld": "nl", "nno": "nn", "nob": "nb", "oci": "oc", "pol": "pl", "por": "pt",
    "ron": "ro", "rus": "ru", "slk": "sk", "slv": "sl", "sme": "se", "spa": "es", "sqi": "sq", "srd": "sc",
    "srp": "sr", "swe": "sv", "tat": "tt", "tel": "te", "tgk": "tg", "tur": "tr", "ukr": "uk", "urd": "ur",
    "uzb": "uz", "zho": "zh",
}
# fmt: on
_ROMANCE = frozenset({"an", "ast", "ca", "es", "fr", "gl", "it", "oc", "pt", "ro", "sc"})
_SCANDINAVIAN = frozenset({"da", "nb", "nn", "sv"})
_SLAVIC = frozenset({"be", "bg", "bs", "cs", "hr", "mk", "pl", "ru", "sh", "sk", "sl", "sr", "uk"})
NEAR_QUALITY, FAR_QUALITY = 70, 60  # transfer by rules is better between relatives


@dataclass(frozen=True, slots=True)
class Mode:
    """A usable mode: its pair and the programs of its pipeline, each with its arguments."""

    pair: Pair
    commands: tuple[tuple[str, ...], ...]


def installed_pairs(modes_dir: str = MODES_DIR) -> tuple[Pair, ...]:
    """Every direct pair whose programs and data are here; reads the mode files only."""
    return tuple(mode.pair for mode in installed_modes(modes_dir).values())


def installed_modes(modes_dir: str = MODES_DIR) -> dict[tuple[str, str], Mode]:
    """The best mode of each pair, by (source, target)."""
    modes: dict[tuple[str, str], Mode] = {}
    for file, source, target in _candidates(Path(modes_dir)):
        if (source, target) not in modes and (commands := _commands(file)):
            modes[source, target] = Mode(Pair(source, target, _quality(source, target)), commands)
    return dict(sorted(modes.items()))


def _candidates(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Mode files with their languages: plain ones first, and of those the ones with three-letter codes."""
    found = []
    for file in folder.glob("*.mode"):
        if (match := _NAME.fullmatch(file.stem)) is not None:
            variants = sum(group is not None for group in match.group(2, 4))
            found.append((variants, -len(match[1]) - len(match[3]), len(file.stem), file.stem, file, match))
    for *_, file, match in sorted(found, key=lambda entry: entry[:4]):
        source, target = (ISO_639_1.get(code, code) for code in match.group(1, 3))
        if source != target:
            yield file, source, target


def _commands(file: Path) -> tuple[tuple[str, ...], ...]:
    """The pipeline of a mode; empty when it cannot run here.

    ``$1`` stands for how the generator treats unknown words: ``-n`` lets them through without the marks
    ``*``, ``@`` and ``#``. ``$2`` asks the tagger for debugging output.
    """
    try:
        parts = [shlex.split(part) for part in file.read_text(encoding="utf-8").split("|")]
    except (OSError, ValueError):
        return ()
    commands = []
    for part in parts:
        words = ["-n" if word == "$1" else word for word in part if word != "$2"]
        if not words or (program := shutil.which(words[0])) is None:
            return ()
        if any(_DATA.fullmatch(word) and not Path(word).exists() for word in words[1:]):
            return ()
        commands.append((program, *words[1:]))
    return tuple(commands)


def _quality(source: str, target: str) -> int:
    near = any({source, target} <= family for family in (_ROMANCE, _SCANDINAVIAN, _SLAVIC))
    return NEAR_QUALITY if near else FAR_QUALITY
