"""The command `meeting-voice-language models list | fetch | verify`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from media_server.config import default_models_dir, read_dotenv
from media_server.models.manifest import Manifest, ModelError
from media_server.models.progress import Progress, human
from media_server.models.store import ModelStore

if TYPE_CHECKING:
    from media_server.models.fetch import Source


def run(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Runs the command. Exit status: 0 all is well, 1 a model is missing or damaged, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    settings = {**read_dotenv(Path(".env")), **(os.environ if environ is None else environ)}
    store = ModelStore(Path(settings.get("MODELS_DIR") or default_models_dir()).expanduser())
    try:
        if arguments.action == "fetch":
            return _fetch(store, arguments, settings)
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
    return parser


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
            print(f"  {name:<24} {'here':<8} {'':>7}  {'':<13} yours")
    print("* fetched when no name is given")
    return 0


def _fetch(store: ModelStore, arguments: argparse.Namespace, settings: Mapping[str, str]) -> int:
    names = list(arguments.names) or default_names(store.manifest, settings)
    if arguments.all:
        names = list(store.manifest)
    models = [store.manifest.named(name) for name in names]
    progress = Progress(sys.stderr, quiet=arguments.quiet)
    absent = [model for model in models if store.path(model.name) is None]
    if not absent:
        progress.say(f"All {len(models)} models are here already, in {store.root}.")
        return 0
    from media_server.models.fetch import (
        fetch,
    )  # with the network's modules, which the other actions do not need

    sources = _sources(arguments.folder, settings)
    failures = 0
    for model in absent:
        try:
            fetched = fetch(store, model, sources, progress)
            progress.end("complete and verified" if fetched else "is here now")
        except ModelError as error:
            progress.end("not complete")
            print(error, file=sys.stderr)
            failures += 1
    return 1 if failures else 0


def _sources(folder: Path | None, settings: Mapping[str, str]) -> list[Source]:
    from media_server.models.folder import Folder
    from media_server.models.hub import Hub
    from media_server.models.packages import Packages

    given: list[Source] = [Folder(folder.expanduser())] if folder is not None else []
    return [*given, Hub(settings), Packages(settings)]


def _verify(store: ModelStore, names: Sequence[str]) -> int:
    present = [model.name for model in store.manifest.values() if (store.root / model.name).is_dir()]
    faulty = []
    for name in names or present:
        faults = store.verify(store.manifest.named(name))
        print(f"{name}: {'; '.join(faults) if faults else 'every file is right'}")
        if faults:
            faulty.append(name)
    if not names and not present:
        print(f"No models in {store.root}.")
    if faulty:
        print(f"To get them again: {store.command_for(faulty)}", file=sys.stderr)
    return 1 if faulty else 0
