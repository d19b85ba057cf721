"""The folder of models: which are complete, which are missing, which voices there are.

A model is its folder ``root/<name>/``. Models of the manifest count only when every file has the right size
and its SHA-256 was seen: `fetch` leaves a marker with sizes and times of change, so that a start does not
hash 200 MB again; a folder without a valid marker is hashed once. Folders that the manifest does not know
belong to the user and are taken as they are, as long as nothing that their kind needs is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from media_server.models import manifest as manifests
from media_server.models.manifest import Manifest, Model, ModelError, ModelFile

MARKER = ".verified.json"
RECORD = ".model.json"  # what the files of a fetched or converted model should be, where no manifest says it
DOWNLOADS = ".downloads"  # beside the models, so that a finished file is renamed into place
_CHUNK = 1 << 20  # 1 MiB
_OPTIONS = {"whisper": "--asr", "marian": "--pairs", "piper": "--voices"}  # by how names begin


@dataclass(frozen=True)
class Voice:
    """An installed Piper voice."""

    name: str
    """Name of its folder, for instance ``piper-en_US-joe-medium``."""
    language: str
    """ISO 639 code, for instance ``en``."""
    locale: str
    """Language and region as the voice names it, for instance ``en_US``."""
    sample_rate: int
    """Hz."""
    onnx: Path
    config: Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class ModelStore:
    """Reads the folder of models; writes nothing but markers.

    Calls may hash a file (145 MB take 0.3 s): keep them off an event loop.
    """

    def __init__(self, root: Path, manifest: Manifest | None = None) -> None:
        self.root = root
        self.manifest = manifests.load() if manifest is None else manifest
        self._seen: dict[str, dict[str, list[int]]] = {}  # verified here, for folders that take no marker

    def path(self, name: str) -> Path | None:
        """The model's folder if it is complete, else None."""
        folder = self.root / name
        model = self.known(name)
        if model is None:
            recorded = (folder / RECORD).exists()  # and cannot be read: nothing says what its files should be
            return folder if not recorded and _plausible(name, folder) else None
        stamps = self._stamps(model)
        if stamps is None:
            return None
        if stamps in (self._seen.get(name), self._read_marker(name)):
            return folder
        if any(sha256_of(folder / file.name) != file.sha256 for file in model.files):
            return None
        self.mark(model)
        return folder

    def known(self, name: str) -> Model | None:
        """The model as the manifest or its own record has it; None for folders that the user made."""
        if name in self.manifest:
            return self.manifest[name]
        try:
            return manifests.from_json(
                name, json.loads((self.root / name / RECORD).read_text(encoding="utf-8"))
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ModelError):
            return None

    def record(self, model: Model) -> None:
        """Writes down what the files of a model should be, before the first of them comes: a folder that is half
        fetched is then none that the user made. OSError is the disk's."""
        folder = self.root / model.name
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{RECORD}.{os.getpid()}"
        try:
            draft.write_text(json.dumps(manifests.to_json(model), indent=1), encoding="utf-8")
            draft.replace(folder / RECORD)
        finally:
            draft.unlink(missing_ok=True)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are not complete here."""
        return [name for name in names if self.path(name) is None]

    def installed(self) -> list[str]:
        """Every model that is complete here, the user's own included."""
        return [folder.name for folder in self.folders() if self.path(folder.name) is not None]

    def folders(self) -> list[Path]:
        """Every folder of models, complete or not, ordered by name."""
        try:
            return sorted(entry for entry in self.root.iterdir() if entry.is_dir() and entry.name[0] != ".")
        except OSError:
            return []

    def command_for(self, names: Iterable[str]) -> str:
        """What to do to get these models, in words for people."""
        wanted = list(names)
        known = [name for name in wanted if name in self.manifest]
        steps = [f"meeting-voice-language models fetch {' '.join(known)}"] if known else []
        for name in wanted:
            if name not in known:
                option = _OPTIONS.get(name.partition("-")[0], "")
                steps.append(
                    f"meeting-voice-language models fetch {option} {name.partition('-')[2]}"
                    if option and self.known(name) is not None
                    else f"put the files of {name} into the folder {name} of MODELS_DIR"
                )
        return "; ".join(steps)

    def voices(self) -> list[Voice]:
        """All installed Piper voices, ordered by name. A voice with an unreadable description is left out."""
        found = []
        for name in self.installed():
            if not name.startswith("piper-"):
                continue
            folder = self.root / name
            for onnx in sorted(folder.glob("*.onnx")):
                voice = _voice(name, onnx, onnx.with_name(onnx.name + ".json"))
                if voice is not None:
                    found.append(voice)
        return found

    def verify(self, model: Model) -> list[str]:
        """Hashes every file again; returns what is wrong, a sentence a file. Keeps the marker true."""
        faults = []
        for file in model.files:
            path = self.root / model.name / file.name
            if not path.is_file():
                faults.append(f"{file.name} is not there")
            elif not self.file_is_good(model, file):
                faults.append(f"{file.name} is damaged")
        if faults:
            self._seen.pop(model.name, None)
            (self.root / model.name / MARKER).unlink(missing_ok=True)
        else:
            self.mark(model)
        return faults

    def file_is_good(self, model: Model, file: ModelFile) -> bool:
        """True when the file is in place with the right bytes; hashes it."""
        path = self.root / model.name / file.name
        return path.is_file() and path.stat().st_size == file.size and sha256_of(path) == file.sha256

    def mark(self, model: Model) -> None:
        """Remembers that all files of the model were verified as they are now."""
        stamps = self._stamps(model)
        if stamps is None:
            return
        self._seen[model.name] = stamps
        marker = self.root / model.name / MARKER
        draft = marker.with_name(f"{MARKER}.{os.getpid()}")
        try:
            draft.write_text(json.dumps({"files": stamps, "sha256": _digests(model)}), encoding="utf-8")
            draft.replace(marker)
        except OSError:  # a read-only folder or a full disk: hashed again by the next process
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _stamps(self, model: Model) -> dict[str, list[int]] | None:
        """Size and time of change (ns) of each file, or None when one is not there with its right size."""
        stamps = {}
        for file in model.files:
            try:
                status = (self.root / model.name / file.name).stat()
            except OSError:
                return None
            if status.st_size != file.size:
                return None
            stamps[file.name] = [status.st_size, status.st_mtime_ns]
        return stamps

    def _read_marker(self, name: str) -> dict[str, list[int]] | None:
        try:
            marker = json.loads((self.root / name / MARKER).read_text(encoding="utf-8"))
            if (model := self.known(name)) is None or marker["sha256"] != _digests(model):
                return None
            files: dict[str, list[int]] = marker["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return files


def _digests(model: Model) -> dict[str, str]:
    return {file.name: file.sha256 for file in model.files}


def _plausible(name: str, folder: Path) -> bool:
    """Whether a folder of the user's has what a model of its kind needs."""
    try:
        sizes = {entry.name: entry.stat().st_size for entry in folder.iterdir() if entry.is_file()}
    except OSError:
        return False
    present = {file for file, size in sizes.items() if size > 0 and not file.startswith(".")}
    if name.startswith("whisper-"):
        return {"model.bin", "config.json"} <= present
    if name.startswith("piper-"):
        return any(file.endswith(".onnx") and file + ".json" in present for file in present)
    if name.startswith(("marian-", "opus-mt-")):
        vocabulary = any(file.endswith(("vocabulary.json", "vocabulary.txt")) for file in present)
        return vocabulary and {"model.bin", "config.json", "source.spm", "target.spm"} <= present
    if name.startswith(("nllb", "m2m100")):
        return {"model.bin", "config.json", "sentencepiece.bpe.model"} <= present
    return bool(present)


def _voice(name: str, onnx: Path, config: Path) -> Voice | None:
    try:
        description = json.loads(config.read_text(encoding="utf-8"))
        language = description.get("language", {})
        # Voices of before 2023 name only espeak's language.
        locale = str(language.get("code") or description["espeak"]["voice"])
        family = str(language.get("family") or locale.replace("-", "_").split("_")[0])
        rate = int(description["audio"]["sample_rate"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Voice(name=name, language=family, locale=locale, sample_rate=rate, onnx=onnx, config=config)
