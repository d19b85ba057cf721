"""Which package may import which: the house stays as ARCHITECTURE.md draws it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FORBIDDEN = {
    "media_server/engines": ("aiortc", "aioice", "aiohttp", "signaling", "compat_ws"),
    "media_server/audio": ("aiortc", "aioice", "aiohttp", "signaling", "compat_ws"),
    "media_server/uploads": ("aiortc", "aioice", "aiohttp", "media_server.rtc", "signaling", "compat_ws"),
    "media_server/pipeline": ("aiortc", "aioice", "aiohttp", "signaling", "compat_ws"),
    "media_server/models": ("aiortc", "aioice", "aiohttp", "signaling", "compat_ws"),
    "media_server/privacy": ("aiortc", "aioice", "aiohttp", "signaling", "compat_ws"),
    "media_server/rooms": ("aiortc", "aioice", "aiohttp", "media_server.rtc", "signaling", "compat_ws"),
    "media_server/rtc": ("aiohttp", "signaling", "compat_ws"),
    "signaling": ("aiortc", "aioice", "compat_ws"),
    "compat_ws": ("aiortc", "aioice", "signaling"),
}


def imported(path: Path) -> set[str]:
    """Every module a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_a_package_imports_only_what_it_may(project_root: Path, package: str) -> None:
    wrong = [
        f"{path.relative_to(project_root)} imports {name}"
        for path in (project_root / package).rglob("*.py")
        for name in imported(path)
        if any(name == banned or name.startswith(f"{banned}.") for banned in FORBIDDEN[package])
    ]
    assert wrong == []


def test_only_the_clock_module_reads_the_clock(project_root: Path) -> None:
    stages = [
        *(project_root / "media_server/pipeline").rglob("*.py"),
        *(project_root / "media_server/rooms").rglob("*.py"),
    ]
    wrong = [str(path) for path in stages if {"time", "datetime"} & imported(path)]
    assert wrong == []


def test_only_rtc_imports_aiortc(project_root: Path) -> None:
    files = [
        path for folder in ("media_server", "signaling") for path in (project_root / folder).rglob("*.py")
    ]
    users = {
        path.parent
        for path in files
        if any(name.split(".")[0] in {"aiortc", "aioice"} for name in imported(path))
    }
    assert all((project_root / "media_server/rtc") in (folder, *folder.parents) for folder in users)
