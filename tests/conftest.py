"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "busy", deadline=None
)  # what else runs here decides how long an example takes
hypothesis.settings.load_profile("busy")

ROOT = Path(__file__).resolve().parent.parent

REAL_TIME = ("integration", "browser", "chaos")
"""Folders of tests that run calls, engines and browsers in real time, on a machine that others may use, too."""


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds pyproject.toml."""
    return ROOT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What others on the machine may hold up is tried up to three times; the summary names each further try."""
    for item in items:
        if item.path.relative_to(ROOT).parts[1] in REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=2))
