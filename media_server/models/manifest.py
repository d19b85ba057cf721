"""The manifest: every known model, its files by SHA-256, and the places where the same bytes are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from media_server.errors import InterpreterError

_PART = re.compile(r"(?P<package>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!-]+):(?P<path>.+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ModelError(InterpreterError):
    """A model could not be had or used. The text is written for people."""


@dataclass(frozen=True)
class Part:
    """A member of a wheel; a file is its parts joined in order."""

    package: str
    version: str
    path: str


@dataclass(frozen=True)
class ModelFile:
    name: str
    size: int
    """Bytes."""
    sha256: str
    hub_path: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Model:
    name: str
    """Name of the model and of its folder."""
    kind: str
    """What it is for: ``asr``, ``mt``, ``tts`` or ``turn``."""
    purpose: str
    licence: str
    repository: str
    revision: str
    default: bool
    files: tuple[ModelFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class Manifest(Mapping[str, Model]):
    """Models by name, in the order of the manifest's file."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = {model.name: model for model in models}

    def __getitem__(self, name: str) -> Model:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def default_names(self) -> list[str]:
        """The set that a new installation gets."""
        return [model.name for model in self.values() if model.default]

    def named(self, name: str) -> Model:
        """The model, or ModelError that lists the names there are."""
        try:
            return self._models[name]
        except KeyError:
            raise ModelError(
                f"There is no model {name!r}. Known models: {', '.join(self._models)}."
            ) from None


def plain_name(name: str) -> str:
    """A name that stays inside its folder on every system."""
    if not name or name != PurePosixPath(name).name or "\\" in name or ":" in name or name.startswith("."):
        raise ModelError(f"{name!r} is no plain file name")
    return name


def _part(text: str) -> Part:
    match = _PART.fullmatch(text)
    if match is None:
        raise ModelError(f"manifest: {text!r} is not PACKAGE==VERSION:PATH")
    return Part(**match.groupdict())


def _file(entry: Mapping[str, Any]) -> ModelFile:
    name = plain_name(entry["name"])
    if _SHA256.fullmatch(entry["sha256"]) is None or int(entry["size"]) <= 0:
        raise ModelError(f"manifest: {name}: sha256 or size is wrong")
    return ModelFile(
        name=name,
        size=int(entry["size"]),
        sha256=entry["sha256"],
        hub_path=entry.get("hub_path", name),
        parts=tuple(_part(text) for text in entry.get("parts", ())),
    )


def _model(name: str, entry: Mapping[str, Any]) -> Model:
    return Model(
        name=plain_name(name),
        kind=entry["kind"],
        purpose=entry["purpose"],
        licence=entry["licence"],
        repository=entry.get("repository", ""),
        revision=entry.get("revision", "main"),
        default=bool(entry.get("default", False)),
        files=tuple(_file(file) for file in entry["files"]),
    )


def parse(text: str) -> Manifest:
    """Reads a manifest; raises ModelError where an entry cannot be used."""
    models = []
    for name, entry in tomllib.loads(text).items():
        try:
            models.append(_model(name, entry))
        except KeyError as missing:
            raise ModelError(f"manifest: {name} lacks {missing}") from None
    return Manifest(models)


def to_json(model: Model) -> dict[str, Any]:
    """A model that no manifest has, as it is recorded beside its files."""
    return {
        "kind": model.kind,
        "purpose": model.purpose,
        "licence": model.licence,
        "repository": model.repository,
        "revision": model.revision,
        "files": [
            {"name": file.name, "size": file.size, "sha256": file.sha256, "hub_path": file.hub_path}
            for file in model.files
        ],
    }


def from_json(name: str, entry: Mapping[str, Any]) -> Model:
    """What ``to_json`` made; ModelError, KeyError, TypeError or ValueError where it cannot be used."""
    return _model(name, entry)


def load() -> Manifest:
    """The manifest that ships with the project."""
    return parse(resources.files(__package__).joinpath("manifest.toml").read_text(encoding="utf-8"))
