"""Brings a model into the store from the first source that gives the right bytes.

A file appears under its name only when it is complete and its SHA-256 is right. What came of a file before a
run was stopped or a source broke off is kept in `.downloads` and gone on with. Two fetches of one model wait
for each other.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from media_server.models import lock
from media_server.models.manifest import Model, ModelError, ModelFile
from media_server.models.progress import Progress, human
from media_server.models.store import DOWNLOADS, RECORD, ModelStore
from media_server.models.transfer import DiskFull, SourceError, TooLong, Transfer, is_disk_full


class Source(Protocol):
    """A place where files may be had."""

    name: str

    def get(self, transfer: Transfer) -> None:
        """Appends what the transfer still lacks, or raises SourceError. An OSError is this machine's disk."""


def fetch(store: ModelStore, model: Model, sources: Sequence[Source], progress: Progress) -> bool:
    """Makes the model complete. False when it was already; raises ModelError, in words for people.

    When the disk is full nothing of an incomplete model is left behind.
    """
    if store.path(model.name) is not None:
        return False
    downloads = store.root / DOWNLOADS
    staging = downloads / model.name
    placed: list[Path] = []
    try:
        with lock.held(
            downloads / f"{model.name}.lock",
            lambda: progress.say(f"{model.name}: another fetch is at work on it, waiting"),
        ):
            if store.path(model.name) is not None:
                return False
            progress.start(model.name, model.size)
            _fetch_all(store, model, sources, staging, progress, placed)
            shutil.rmtree(staging, ignore_errors=True)
    except (DiskFull, OSError) as error:
        if isinstance(error, OSError) and not is_disk_full(error):
            raise ModelError(
                f"{model.name}: cannot write to {store.root} ({error.strerror or error}). "
                "MODELS_DIR names another folder."
            ) from error
        _clear(store, model, staging, placed)
        raise DiskFull(
            f"{model.name}: the disk is full. It needs {human(2 * model.size)} while it is fetched and "
            f"{human(model.size)} afterwards; {store.root} has "
            f"{human(shutil.disk_usage(store.root).free)} free. "
            "Make room there or let MODELS_DIR name another folder."
        ) from error
    return True


def _fetch_all(
    store: ModelStore,
    model: Model,
    sources: Sequence[Source],
    staging: Path,
    progress: Progress,
    placed: list[Path],
) -> None:
    folder = store.root / model.name
    lacking = []
    for file in model.files:
        if store.file_is_good(model, file):
            progress.advance(file.size)
        else:
            lacking.append(file)
    if shutil.disk_usage(store.root).free < sum(file.size for file in lacking):
        raise DiskFull(model.name)
    if model.name not in store.manifest and store.known(model.name) != model:
        store.record(model)
    for file in lacking:
        _fetch_one(model, file, sources, staging, folder, progress)
        placed.append(folder / file.name)
    store.mark(model)


def _fetch_one(
    model: Model, file: ModelFile, sources: Sequence[Source], staging: Path, folder: Path, progress: Progress
) -> None:
    reasons: list[str] = []
    with Transfer(model, file, staging, progress) as transfer:
        if not transfer.is_right() and not any(_ask(source, transfer, reasons) for source in sources):
            raise ModelError(f"{model.name}: {file.name} could not be had. {'; '.join(reasons)}.")
        transfer.install(folder)


def _ask(source: Source, transfer: Transfer, reasons: list[str]) -> bool:
    """Whether the source made the transfer right; if not, why is added to the reasons.

    What a source gave before it failed is left for the next one. Where bytes of an earlier run turn out to be
    damaged the source is asked again for all of the file.
    """
    while True:
        resumed = transfer.offset > 0
        try:
            source.get(transfer)
        except TooLong:
            pass
        except SourceError as error:
            reasons.append(f"{source.name}: {error}")
            return False
        if transfer.is_right():
            return True
        transfer.restart()
        if not resumed:
            reasons.append(f"{source.name}: the bytes there are not those of {transfer.file.name}")
            return False


def _clear(store: ModelStore, model: Model, staging: Path, placed: Sequence[Path]) -> None:
    """Removes what an unfinished fetch left, so that the room it took is free again."""
    shutil.rmtree(staging, ignore_errors=True)
    for path in placed:
        path.unlink(missing_ok=True)
    folder = store.root / model.name
    if folder.is_dir() and all(path.name == RECORD for path in folder.iterdir()):
        (folder / RECORD).unlink(missing_ok=True)
        folder.rmdir()
