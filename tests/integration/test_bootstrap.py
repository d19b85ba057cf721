"""The scripts of `make run` and `make test`: what they install, with which guarantees, and what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

FAKE_PYTHON = """#!/bin/sh
case "$*" in *"-m pip"*) echo "$*" >>"$PIP_LOG" ;; esac
exit ${FAKE_STATUS:-0}
"""
FAKE_BASE_PYTHON = """#!/bin/sh
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && cp "$0" "$3/bin/python" ;;
    *"-m pip"*) echo "$*" >>"$PIP_LOG" ;;
esac
"""
FAKE_APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND $*" >>"$APT_LOG"
case "$*" in
    *update*) touch "$APT_LOG.updated" ;;
    *install*)
        [ -f "$APT_LOG.updated" ] || { echo 'E: Unable to locate package coturn' >&2; exit 100; }
        printf '#!/bin/sh\\n' >"$FAKE_BIN/turnserver" && chmod +x "$FAKE_BIN/turnserver" ;;
esac
"""
FAKE_SUDO = '#!/bin/sh\nshift\nexec "$@"\n'
TOOLS = (
    "sh",
    "env",
    "id",
    "mktemp",
    "tail",
    "grep",
    "rm",
    "chmod",
    "touch",
    "cat",
    "dirname",
    "true",
    "sleep",
)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def read_lock(path: Path) -> dict[str, list[str]]:
    """Requirement (with its marker) -> hashes."""
    lock: dict[str, list[str]] = {}
    requirement = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            requirement = line.removesuffix("\\").strip()
            lock[requirement] = []
        else:
            lock[requirement].append(line.strip().removesuffix("\\").strip())
    return lock


@pytest.fixture
def checkout(project_root: Path, tmp_path: Path) -> Path:
    """The scripts and locks alone, in an empty folder."""
    folder = tmp_path / "a checkout"
    shutil.copytree(project_root / "scripts", folder / "scripts")
    for name in ("pyproject.toml", "requirements.lock", "requirements-test.lock", "Makefile"):
        shutil.copy(project_root / name, folder)
    return folder


def bootstrap(checkout: Path, goal: str = "run", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/bootstrap.sh", goal],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", "HOME": str(checkout), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def pip_log(checkout: Path) -> Path:
    """Where the fake Python of an existing environment writes what pip was asked."""
    program(checkout / ".venv/bin/python", FAKE_PYTHON)
    (checkout / ".venv/pyvenv.cfg").touch()
    return checkout / "pip.log"


def test_only_locked_wheels_are_installed_and_nothing_beside_them(checkout: Path, pip_log: Path) -> None:
    assert bootstrap(checkout, PIP_LOG=str(pip_log)).returncode == 0
    locked, project = pip_log.read_text().splitlines()
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "-r requirements.lock"):
        assert option in locked
    for option in ("--no-index", "--no-deps", "--no-build-isolation", "--editable ."):
        assert option in project


def test_the_second_start_asks_pip_for_nothing(checkout: Path, pip_log: Path) -> None:
    bootstrap(checkout, PIP_LOG=str(pip_log))
    pip_log.unlink()
    done = bootstrap(checkout, PIP_LOG=str(pip_log))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not pip_log.exists()


def test_a_new_lock_or_another_folder_is_installed_again(checkout: Path, pip_log: Path) -> None:
    bootstrap(checkout, PIP_LOG=str(pip_log))
    pip_log.unlink()
    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("\n")
    bootstrap(checkout, PIP_LOG=str(pip_log))
    assert pip_log.exists()
    pip_log.unlink()
    moved = checkout.rename(checkout.with_name("moved"))
    bootstrap(moved, PIP_LOG=str(moved / "pip.log"))
    assert (moved / "pip.log").exists()


def test_an_installation_that_fails_is_tried_again_at_the_next_start(checkout: Path, tmp_path: Path) -> None:
    python = program(checkout / ".venv/bin/python", "#!/bin/sh\ncase $* in *-m\\ pip*) exit 1 ;; esac\n")
    (checkout / ".venv/pyvenv.cfg").touch()
    failed = bootstrap(checkout)
    assert failed.returncode == 1
    assert "could not be installed" in failed.stderr
    program(python, FAKE_PYTHON)
    assert bootstrap(checkout, PIP_LOG=str(tmp_path / "pip.log")).returncode == 0
    assert (tmp_path / "pip.log").exists()


def test_without_any_python_it_says_in_plain_words_what_to_install(checkout: Path) -> None:
    program(checkout / "scripts/find-python.sh", "#!/bin/sh\nexit 1\n")
    program(checkout / "scripts/find-uv.sh", "#!/bin/sh\nexit 1\n")
    done = bootstrap(checkout)
    assert done.returncode == 1
    for words in ("Python 3.12 or newer", "apt-get install", "conda create", "pyenv install"):
        assert words in done.stderr


def test_a_missing_python_is_got_with_uv(checkout: Path, tmp_path: Path) -> None:
    program(checkout / "scripts/find-python.sh", "#!/bin/sh\nexit 1\n")
    log = tmp_path / "uv.log"
    python = program(tmp_path / "managed/python", FAKE_BASE_PYTHON)
    uv = program(
        tmp_path / "uv", f'#!/bin/sh\necho "$*" >>"{log}"\n[ $2 = find ] && echo "{python}"\nexit 0\n'
    )
    program(checkout / "scripts/find-uv.sh", f'#!/bin/sh\necho "{uv}"\n')
    assert bootstrap(checkout, PIP_LOG=str(tmp_path / "pip.log")).returncode == 0
    assert log.read_text().splitlines() == ["python install 3.12", "python find --no-project 3.12"]
    assert "-r requirements.lock" in (tmp_path / "pip.log").read_text()


def test_a_folder_that_is_no_environment_is_left_alone(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv/thesis.txt").write_text("years of work")
    done = bootstrap(checkout)
    assert done.returncode == 1
    assert "no virtual environment" in done.stderr
    assert (checkout / ".venv/thesis.txt").exists()


@pytest.fixture
def bare_system(tmp_path: Path) -> Path:
    """A PATH with the usual tools and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        where = shutil.which(tool)
        assert where is not None, tool
        (folder / tool).symlink_to(where)
    return folder


def system_packages(
    project: Path, folder: Path, what: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "sh", "scripts/system-packages.sh", what],
        cwd=project,
        env={"PATH": str(folder), "HOME": str(folder), "FAKE_BIN": str(folder), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("what", ["apertium", "coturn"])
def test_a_system_without_apt_is_told_what_to_install(
    project_root: Path, bare_system: Path, what: str
) -> None:
    done = system_packages(project_root, bare_system, what, APERTIUM_MODES=str(bare_system))
    assert done.returncode == 1
    assert f"{what} is not installed" in done.stderr
    assert "Elsewhere:" in done.stderr


def test_packages_are_installed_without_a_question_after_fetching_missing_lists(
    project_root: Path, bare_system: Path
) -> None:
    program(bare_system / "apt-get", FAKE_APT)
    program(bare_system / "sudo", FAKE_SUDO)
    log = bare_system / "apt.log"
    assert system_packages(project_root, bare_system, "coturn", APT_LOG=str(log)).returncode == 0
    first, update, second = log.read_text().splitlines()
    assert "install -y" in first and "update" in update and "install -y" in second
    assert all(
        line.startswith("noninteractive ") and "DPkg::Lock::Timeout" in line for line in (first, second)
    )
    log.unlink()
    assert system_packages(project_root, bare_system, "coturn", APT_LOG=str(log)).returncode == 0
    assert not log.exists()


def test_every_script_is_understood_by_a_plain_posix_shell(project_root: Path) -> None:
    shell = shutil.which("dash") or "sh"
    scripts = sorted((project_root / "scripts").glob("*.sh"))
    assert scripts
    for script in scripts:
        subprocess.run([shell, "-n", script], check=True)


def test_the_locks_hold_hashes_and_no_address(project_root: Path) -> None:
    for name in ("requirements.lock", "requirements-test.lock"):
        lock = read_lock(project_root / name)
        assert all(hashes and all(h.startswith("--hash=sha256:") for h in hashes) for hashes in lock.values())
        assert all(re.match(r"[a-z0-9.-]+==\S+", requirement) for requirement in lock)
        assert "://" not in (project_root / name).read_text(encoding="utf-8")


def test_the_tests_run_with_what_the_server_runs_with(project_root: Path) -> None:
    runtime = read_lock(project_root / "requirements.lock")
    tests = read_lock(project_root / "requirements-test.lock")
    assert {line.split(";")[0].strip() for line in runtime} <= {line.split(";")[0].strip() for line in tests}


def test_every_dependency_of_the_project_is_locked(project_root: Path) -> None:
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    locked = {line.split("==")[0] for line in read_lock(project_root / "requirements-test.lock")}
    groups = project["dependency-groups"]
    for requirement in [*project["project"]["dependencies"], *groups["dev"], *groups["build"]]:
        assert re.split(r"[^a-z0-9-]", requirement)[0] in locked


def test_an_installed_package_brings_the_page_and_the_manifest(project_root: Path, tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns(".git", ".venv*", ".cache", ".*_cache", "tests", "__pycache__")
    shutil.copytree(project_root, tmp_path / "source", ignore=ignore)
    wheel_options = ["-q", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *wheel_options, "."],
        cwd=tmp_path / "source",
        env={key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PIP_FIND_LINKS")},
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assert {"media_server/web/index.html", "media_server/models/manifest.toml", "signaling/app.py"} <= names
    assert not [name for name in names if name.startswith(("tests/", "scripts/", "web/"))]
    show = "from media_server.__main__ import web_folder; print(web_folder())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", show],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == tmp_path / "installed/media_server/web"
