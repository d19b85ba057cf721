"""The command `meeting-voice-language models list | fetch | verify | convert`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from media_server.config import default_models_dir, read_dotenv
from media_server.models.manifest import Manifest, ModelError, plain_name
from media_server.models.progress import Progress, human
from media_server.models.store import ModelStore

if TYPE_CHECKING:
    from media_server.models.fetch import Source
    from media_server.models.hub import Hub
    from media_server.models.resolve import Small
    from media_server.models.wanted import Wanted


def run(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Runs the command. Exit status: 0 all is well, 1 a model is missing or damaged, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    settings = {**read_dotenv(Path(".env")), **(os.environ if environ is None else environ)}
    store = ModelStore(Path(settings.get("MODELS_DIR") or default_models_dir()).expanduser())
    try:
        if arguments.action == "fetch":
            return _fetch(store, arguments, settings)
        if arguments.action == "convert":
            return _convert(store, arguments, settings)
        if arguments.action == "verify":
            return _verify(store, arguments.names)
        return _list(store)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # `models list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where this one was.", file=sys.stderr)
        return 130


def default_names(manifest: Manifest, settings: Mapping[str, str]) -> list[str]:
    """The default set, with the recognizer that ``ASR_MODEL_SIZE`` asks for."""
    names = manifest.default_names
    wanted = f"whisper-{settings.get('ASR_MODEL_SIZE', '').strip()}"
    if wanted in manifest:
        names = [wanted if manifest[name].kind == "asr" else name for name in names]
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meeting-voice-language models",
        description="Lists, fetches and verifies models. They lie in MODELS_DIR, one folder each.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="which models there are, and which are here")
    fetch = actions.add_parser("fetch", help="fetch models that are not here yet")
    fetch.add_argument("names", nargs="*", help="models to fetch; none: the default set")
    _add_wanted(fetch)
    fetch.add_argument("--all", action="store_true", help="every model of the manifest")
    fetch.add_argument(
        "--from",
        dest="folder",
        type=Path,
        metavar="FOLDER",
        help="look in this folder first, for instance a copy",
    )
    fetch.add_argument("--quiet", action="store_true", help="print nothing but failures")
    verify = actions.add_parser("verify", help="hash the files of models again")
    verify.add_argument("names", nargs="*", help="models to verify; none: all that are here")
    convert = actions.add_parser(
        "convert", help="convert models of transformers for CTranslate2 (needs the extra `convert`)"
    )
    convert.add_argument(
        "originals", nargs="*", metavar="ORIGINAL", help="repository or folder of an original"
    )
    convert.add_argument("--pairs", help="pairs whose originals are converted: en-hi,hi-en")
    convert.add_argument("--name", help="folder for the model; only with one original")
    convert.add_argument("--revision", default="main", help="branch, tag or commit of the originals")
    convert.add_argument("--quantization", default="float16", choices=("float16", "int8", "float32"))
    convert.add_argument("--quiet", action="store_true", help="print nothing but failures")
    return parser


def _add_wanted(fetch: argparse.ArgumentParser) -> None:
    fetch.add_argument("--asr", metavar="SIZES", help="sizes of Whisper: base,large-v3-turbo")
    fetch.add_argument("--pairs", metavar="PAIRS", help="translation models by pair: hi-en,en-es")
    fetch.add_argument("--voices", metavar="VOICES", help="Piper voices: es_ES-davefx-medium")
    fetch.add_argument(
        "--revision", default="main", metavar="REVISION",
        help="branch, tag or commit of what --asr, --pairs and --voices name",
    )  # fmt: skip


def _list(store: ModelStore) -> int:
    print(f"Models in {store.root}:")
    for model in store.manifest.values():
        state = "here" if store.path(model.name) is not None else "missing"
        mark = "*" if model.default else " "
        print(
            f"{mark} {model.name:<24} {state:<8} {human(model.size):>7}  {model.licence:<13} {model.purpose}"
        )
    for name in store.installed():
        if name not in store.manifest:
            size, licence, purpose = "", "", "yours"
            if (known := store.known(name)) is not None:
                size, licence, purpose = human(known.size), known.licence, known.purpose
            print(f"  {name:<24} {'here':<8} {size:>7}  {licence:<13} {purpose}")
    print("* fetched when no name is given")
    return 0


def _fetch(store: ModelStore, arguments: argparse.Namespace, settings: Mapping[str, str]) -> int:
    wanted = _wanted(arguments, settings)
    names = [*arguments.names, *(entry.name for entry in wanted)] or default_names(store.manifest, settings)
    if arguments.all:
        names = list(dict.fromkeys([*store.manifest, *names]))
    progress = Progress(sys.stderr, quiet=arguments.quiet)
    absent = [name for name in names if store.path(name) is None]
    unknown = {entry.name: entry for entry in wanted if entry.name not in store.manifest}
    for name in absent:
        if name not in unknown:
            store.manifest.named(name)
    if not absent:
        progress.say(f"All {len(names)} models are here already, in {store.root}.")
        return 0
    # With the network's modules, which the other actions do not need.
    from media_server.models.fetch import fetch
    from media_server.models.resolve import resolve

    hub, small, sources = _sources(arguments.folder, settings)
    failures = 0
    for name in absent:
        try:
            entry = unknown.get(name)
            model = store.manifest[name] if entry is None else resolve(hub, entry, arguments.revision, small)
        except ModelError as error:
            print(error, file=sys.stderr)
            failures += 1
            continue
        try:
            fetched = fetch(store, model, sources, progress)
            progress.end("complete and verified" if fetched else "is here now")
        except ModelError as error:
            progress.end("not complete")
            print(error, file=sys.stderr)
            failures += 1
    return 1 if failures else 0


def _wanted(arguments: argparse.Namespace, settings: Mapping[str, str]) -> list[Wanted]:
    """What --asr, --pairs and --voices ask for; all names are checked before anything is fetched."""
    from media_server.models import wanted

    found: list[Wanted] = []
    if arguments.asr is not None:
        found += wanted.sizes(arguments.asr)
    if arguments.pairs is not None:
        found += wanted.pairs(arguments.pairs, settings.get("MT_MODEL_TEMPLATE") or wanted.DEFAULT_TEMPLATE)
    if arguments.voices is not None:
        found += wanted.voices(arguments.voices)
    return found


def _convert(store: ModelStore, arguments: argparse.Namespace, settings: Mapping[str, str]) -> int:
    from media_server.models import convert, wanted
    from media_server.models.resolve import resolve

    jobs: list[tuple[str, Path | Wanted]] = []
    for pair in wanted.pairs_of(arguments.pairs) if arguments.pairs is not None else []:
        jobs.append((f"marian-{pair[0]}-{pair[1]}", wanted.original(*pair)))
    for name in arguments.originals:
        folder = Path(name).expanduser()
        source = folder if folder.is_dir() else wanted.original_of(name)
        jobs.append((plain_name(arguments.name or convert.default_name(name)), source))
    if not jobs or (arguments.name and len(jobs) > 1):
        raise ModelError(
            "Name what to convert: --pairs en-hi, or one repository or folder (with --name, only one)."
        )
    convert.need_extra()
    progress = Progress(sys.stderr, quiet=arguments.quiet)
    hub, small, sources = _sources(None, settings)
    failures = 0
    for name, source in jobs:
        try:
            if store.path(name) is not None:
                progress.say(f"{name} is here already.")
                continue
            if isinstance(source, Path):
                convert.convert(store, name, source, arguments.quantization, progress)
                continue
            model = resolve(hub, source, arguments.revision, small)
            folder = convert.original(store, model, sources, progress)
            origin = f"{model.repository}@{model.revision}"
            convert.convert(store, name, folder, arguments.quantization, progress, origin=origin)
            shutil.rmtree(folder, ignore_errors=True)
        except ModelError as error:
            print(error, file=sys.stderr)
            failures += 1
    return 1 if failures else 0


def _sources(folder: Path | None, settings: Mapping[str, str]) -> tuple[Hub, Small, list[Source]]:
    from media_server.models.folder import Folder
    from media_server.models.hub import Hub
    from media_server.models.packages import Packages
    from media_server.models.resolve import Small

    given: list[Source] = [Folder(folder.expanduser())] if folder is not None else []
    hub, small = Hub(settings), Small()
    return hub, small, [*given, small, hub, Packages(settings)]


def _verify(store: ModelStore, names: Sequence[str]) -> int:
    here = [folder.name for folder in store.folders()]
    present = [name for name in store.manifest if name in here]
    present += [name for name in here if name not in store.manifest and store.known(name) is not None]
    faulty = []
    for name in names or present:
        faults = store.verify(store.known(name) or store.manifest.named(name))
        print(f"{name}: {'; '.join(faults) if faults else 'every file is right'}")
        if faults:
            faulty.append(name)
    if not names and not present:
        print(f"No models in {store.root}.")
    if faulty:
        print(f"To get them again: {store.command_for(faulty)}", file=sys.stderr)
    return 1 if faulty else 0
