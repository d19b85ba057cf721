"""Converts a model of transformers (OPUS-MT, NLLB, M2M100) for CTranslate2; `models convert`.

The only place that needs transformers and PyTorch, which are an extra of this package and of no use afterwards. The
original comes from the hub with its files verified, or from a folder; it is loaded without the network.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from media_server.models import manifest as manifests
from media_server.models.fetch import Source, fetch
from media_server.models.manifest import Model, ModelError, ModelFile, plain_name
from media_server.models.progress import Progress, human
from media_server.models.store import DOWNLOADS, ModelStore, sha256_of
from media_server.models.transfer import DiskFull, is_disk_full

EXTRA = "pip install 'meeting-voice-language[convert]'"
TOKENIZERS = ("source.spm", "target.spm", "sentencepiece.bpe.model")
QUANTIZATIONS = ("float16", "int8", "float32")


def need_extra() -> None:
    """ModelError with the command that installs what is missing."""
    missing = [name for name in ("transformers", "torch") if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"Converting needs {' and '.join(missing)}, which this server does without otherwise. To get them: {EXTRA}"
        )


def original(store: ModelStore, model: Model, sources: Sequence[Source], progress: Progress) -> Path:
    """The folder of an original that was fetched from the hub; kept until it was converted."""
    originals = ModelStore(store.root / DOWNLOADS / "originals", manifests.Manifest([model]))
    fetch(originals, model, sources, progress)
    progress.end("the original is here")
    return originals.root / model.name


def convert(
    store: ModelStore, name: str, folder: Path, quantization: str, progress: Progress, *, origin: str = ""
) -> None:
    """Makes the model ``name`` of the original in ``folder`` and records its files. ModelError in words for people."""
    target = store.root / plain_name(name)
    if target.exists():
        raise ModelError(f"{name} is here already, in {target}. Remove the folder to convert it again.")
    copied = [file for file in TOKENIZERS if (folder / file).is_file()]
    if not copied:
        raise ModelError(
            f"{folder} has no source.spm and no sentencepiece.bpe.model: it is no OPUS-MT, NLLB or M2M100."
        )
    need_extra()
    draft = store.root / DOWNLOADS / f"converted-{name}.{os.getpid()}" / name
    progress.say(f"{name}: converting to {quantization}, which takes a minute or more")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        _run(folder, draft, copied, quantization)
        files = sorted(path for path in draft.iterdir() if path.is_file())
        made = ModelStore(draft.parent, manifests.Manifest([]))
        model = Model(
            name=name, kind="mt", purpose="translates; converted here", licence="see the original's",
            repository=origin, revision="converted", default=False,
            files=tuple(ModelFile(path.name, path.stat().st_size, sha256_of(path), path.name, ()) for path in files),
        )  # fmt: skip
        made.record(model)
        draft.rename(target)
        store.mark(model)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(
                f"{name}: the disk is full; {store.root} has {human(shutil.disk_usage(store.root).free)} free."
            ) from error
        raise ModelError(f"{name}: cannot write to {store.root} ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(draft.parent, ignore_errors=True)
    progress.say(f"{name}: converted, {human(model.size)}")


def _run(folder: Path, target: Path, copied: list[str], quantization: str) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"  # the original is here: nothing is asked of anybody
    from ctranslate2.converters import TransformersConverter

    try:
        TransformersConverter(str(folder), copy_files=copied).convert(str(target), quantization=quantization)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise ModelError(f"{folder.name} cannot be converted: {_first_line(error)}") from error
    except Exception as error:  # whatever transformers raises about a folder that it cannot read
        raise ModelError(f"{folder.name} cannot be converted: {_first_line(error)}") from error


def default_name(origin: str) -> str:
    """The folder that a model of this repository or folder goes into: its own name, without what is said anyway."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", origin.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1])
    return name if name.startswith(("opus-mt-", "marian-", "nllb", "m2m100")) else f"marian-{name}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
