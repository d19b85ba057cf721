"""Turns a wanted model into a model with pinned revision, sizes and SHA-256, by what the hub says of its files.

The hub knows the SHA-256 of large files (those in its LFS). Of small ones it knows git's SHA-1 of the blob: they are
read here, checked by that, and hashed, so that everything is a file by SHA-256 from then on. The model is recorded
beside its files (``ModelStore.record``) and verified later like one of the manifest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from media_server.models.hub import Hub
from media_server.models.manifest import Model, ModelError, ModelFile, plain_name
from media_server.models.transfer import SourceError, Transfer
from media_server.models.wanted import Wanted

MOST_SMALL_BYTES = 32 << 20  # the hub itself asks for LFS above 10 MB
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


class Small:
    """Source: the small files that were read to be hashed."""

    name = "the model hub"

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}

    def add(self, content: bytes) -> str:
        """Keeps a file's bytes; returns their SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        self._contents[digest] = content
        return digest

    def get(self, transfer: Transfer) -> None:
        content = self._contents.get(transfer.file.sha256)
        if content is None:
            raise SourceError(f"{transfer.file.name} was not read before")
        transfer.write(content[transfer.offset :])


def resolve(hub: Hub, wanted: Wanted, revision: str, small: Small) -> Model:
    """What the hub has for ``wanted`` at ``revision`` (a branch, tag or commit). ModelError in words for people."""
    if _REVISION.fullmatch(revision) is None or ".." in revision:
        raise ModelError(f"{revision!r} is no revision: it is a branch, a tag or a commit.")
    try:
        about = hub.ask(f"models/{wanted.repository}/revision/{revision}")
        commit = str(about.get("sha", "")) if isinstance(about, Mapping) else ""
        if _COMMIT.fullmatch(commit) is None:
            raise SourceError("it does not say which revision it has")
        folder = f"/{wanted.folder}" if wanted.folder else ""
        entries = hub.ask(f"models/{wanted.repository}/tree/{commit}{folder}")
        files = [_file(hub, wanted, commit, entry, small) for entry in _needed(wanted, entries)]
    except SourceError as error:
        hint = f" {wanted.hint}." if wanted.hint and "HTTP 4" in str(error) else ""
        raise ModelError(
            f"{wanted.name}: {hub.name} does not give {wanted.repository}: {error}.{hint}"
        ) from None
    lacking = sorted({*wanted.needed} - {file.name for file in files})
    if lacking:
        raise ModelError(
            f"{wanted.name}: {wanted.repository} lacks {', '.join(lacking)}, so it cannot be used."
            + (f" {wanted.hint}." if wanted.hint else "")
        )
    return Model(
        name=wanted.name,
        kind=wanted.kind,
        purpose=wanted.purpose,
        licence=_licence(about),
        repository=wanted.repository,
        revision=commit,
        default=False,
        files=tuple(files),
    )


def _needed(wanted: Wanted, entries: Any) -> list[Mapping[str, Any]]:
    if not isinstance(entries, list):
        raise SourceError("its list of files cannot be read")
    pattern = re.compile(wanted.files)
    start = f"{wanted.folder}/" if wanted.folder else ""
    found = [
        entry
        for entry in entries
        if isinstance(entry, Mapping)
        and entry.get("type") == "file"
        and isinstance(path := entry.get("path"), str)
        and path.startswith(start)
        and pattern.fullmatch(path.removeprefix(start))
    ]
    if any(
        str(entry["path"]).endswith(".safetensors") for entry in found
    ):  # the same weights in another format
        found = [entry for entry in found if not str(entry["path"]).startswith("pytorch_model")]
    return found


def _file(hub: Hub, wanted: Wanted, commit: str, entry: Mapping[str, Any], small: Small) -> ModelFile:
    path = str(entry["path"])
    name = plain_name(path.rsplit("/", 1)[-1])
    lfs = entry.get("lfs")
    if isinstance(lfs, Mapping):
        digest, size = str(lfs.get("oid") or lfs.get("sha256")).removeprefix("sha256:"), lfs.get("size")
        if _SHA256.fullmatch(digest) is None or not isinstance(size, int) or size <= 0:
            raise SourceError(f"it does not say what {name} should be")
        return ModelFile(name, size, digest, path, ())
    content = hub.read(wanted.repository, commit, path, MOST_SMALL_BYTES)
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if not content or blob != entry.get("oid"):
        raise SourceError(f"the bytes there are not those of {name}")
    return ModelFile(name, len(content), small.add(content), path, ())


def _licence(about: Mapping[str, Any]) -> str:
    card = about.get("cardData")
    licence = card.get("license") if isinstance(card, Mapping) else None
    if isinstance(licence, list):
        licence = licence[0] if licence else None
    return licence[:40] if isinstance(licence, str) and licence.isprintable() else "see its page"
