"""`scripts/find-python.sh`: a broken or old Python in front does not stop the search for a good one."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

BROKEN = '#!/bin/sh\necho "pyenv: $(basename $0): command not found" >&2\nexit 127\n'
SILENT = "#!/bin/sh\nexit 0\n"
TALKATIVE = "#!/bin/sh\necho 'Python is a snap, install it'\n"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def disguise(path: Path, version: tuple[int, int, int], *, without: str = "") -> Path:
    """A Python that claims to be another version, or to lack a module."""
    lines = ["import sys", "code = sys.argv[sys.argv.index('-c') + 1]"]
    lines.append(f"sys.version_info = ({version[0]}, {version[1]}, {version[2]}, 'final', 0)")
    lines.append(f"sys.executable = {str(path)!r}")
    if without:
        lines.append(f"sys.modules[{without!r}] = None")
    lines.append("exec(code)")
    script = path.with_name(path.name + ".py")
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("\n".join(lines) + "\n")
    return program(path, f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def find(project: Path, home: Path, folders: Sequence[Path], **environ: str) -> Path:
    """What the script answers with these folders in front on PATH."""
    path = os.pathsep.join([*map(str, folders), "/usr/bin", "/bin"])
    done = subprocess.run(
        ["sh", "scripts/find-python.sh"],
        cwd=project,
        env={"PATH": path, "HOME": str(home), **environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def test_shims_that_run_nothing_are_passed_over(project_root: Path, home: Path, tmp_path: Path) -> None:
    shims = tmp_path / "broken"
    program(shims / "python3.12", BROKEN)
    program(shims / "python3.13", SILENT)
    program(shims / "python3", TALKATIVE)
    good = disguise(tmp_path / "good" / "python3.12", (3, 12, 4))
    assert find(project_root, home, [shims, good.parent]) == good


def test_an_old_python3_in_front_is_passed_over(project_root: Path, home: Path, tmp_path: Path) -> None:
    old = disguise(tmp_path / "old" / "python3", (3, 11, 7))
    good = disguise(tmp_path / "good" / "python3", (3, 12, 1))
    assert find(project_root, home, [old.parent, good.parent]) == good


def test_3_12_is_taken_before_a_newer_one_that_stands_in_front(
    project_root: Path, home: Path, tmp_path: Path
) -> None:
    newer = disguise(tmp_path / "newer" / "python3.13", (3, 13, 0))
    disguise(newer.with_name("python3"), (3, 14, 0))
    good = disguise(tmp_path / "good" / "python", (3, 12, 0))
    assert find(project_root, home, [newer.parent, good.parent]) == good


@pytest.mark.parametrize(
    ("variable", "value", "place"),
    [
        ("PYENV_ROOT", "pyenv", "pyenv/versions/3.12.9/bin/python"),
        ("CONDA_PREFIX", "conda", "conda/bin/python"),
        ("CONDA_EXE", "conda/bin/conda", "conda/envs/speech/bin/python"),
        ("UV_PYTHON_INSTALL_DIR", "uv", "uv/cpython-3.12.3/bin/python3"),
    ],
)
def test_the_pythons_of_version_managers_are_found(
    project_root: Path, home: Path, tmp_path: Path, variable: str, value: str, place: str
) -> None:
    good = disguise(tmp_path / place, (3, 12, 9))
    assert find(project_root, home, [], **{variable: str(tmp_path / value)}) == good


@pytest.mark.parametrize("place", [".pyenv/versions/3.12.9/bin/python", "miniforge3/envs/a b/bin/python"])
def test_the_home_folder_is_searched_too(project_root: Path, home: Path, place: str) -> None:
    good = disguise(home / place, (3, 12, 9))
    assert find(project_root, home, []) == good


def test_pyenv_is_found_by_its_shims_when_the_home_folder_is_another(
    project_root: Path, home: Path, tmp_path: Path
) -> None:
    shims = tmp_path / "elsewhere" / "shims"
    program(shims / "python3.12", BROKEN)
    good = disguise(tmp_path / "elsewhere" / "versions" / "3.12.1" / "bin" / "python", (3, 12, 1))
    assert find(project_root, home, [shims]) == good


def test_a_python_that_cannot_make_environments_comes_after_one_that_can(
    project_root: Path, home: Path, tmp_path: Path
) -> None:
    bare = disguise(tmp_path / "debian" / "python3.12", (3, 12, 3), without="ensurepip")
    good = disguise(tmp_path / "good" / "python3.12", (3, 12, 0))
    assert find(project_root, home, [bare.parent, good.parent]) == good


def test_what_is_found_runs_and_is_new_enough(project_root: Path, home: Path, tmp_path: Path) -> None:
    program(tmp_path / "shims" / "python3.12", BROKEN)
    venv.create(tmp_path / "good", with_pip=False)
    found = find(project_root, home, [tmp_path / "shims", tmp_path / "good" / "bin"])
    code = "import sys; sys.exit(sys.version_info < (3, 12))"
    assert subprocess.run([found, "-c", code], check=False).returncode == 0
