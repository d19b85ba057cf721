"""The k6 scripts: what older load tests rely on is in them, and k6 itself can read them where it is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = ("audio_ws_test.js", "interpreter_ws_test.js")


def k6(root: Path) -> str | None:
    """As scripts/find-k6.sh looks for it, without building it."""
    built = root / ".cache/k6/k6"
    return shutil.which("k6") or (str(built) if built.is_file() else None)


@pytest.mark.parametrize(("script", "address"), [(SCRIPTS[0], "/ws-audio"), (SCRIPTS[1], "/ws/audio")])
def test_a_script_names_its_settings_and_has_bars(project_root: Path, script: str, address: str) -> None:
    text = (project_root / "loadtest" / script).read_text(encoding="utf-8")
    head = text[: text.index("import ")]
    assert f"__ENV.WS_URL || 'ws://localhost:5000{address}'" in text
    assert {name for name in re.findall(r"__ENV\.(\w+)", text) if name not in head} == set()
    assert "thresholds: {" in text


@pytest.mark.parametrize("script", SCRIPTS)
def test_k6_reads_a_script_and_finds_its_bars(project_root: Path, script: str) -> None:
    program = k6(project_root)
    if program is None:
        pytest.skip("k6 is not here: `make loadtest` builds it and runs the scripts")
    outcome = subprocess.run(
        [
            program,
            "inspect",
            "--execution-requirements",
            "-e",
            "USERS=3",
            "-e",
            "SPEAKERS=3",
            f"loadtest/{script}",
        ],
        cwd=project_root,
        env=os.environ | {"K6_AUTO_EXTENSION_RESOLUTION": "false"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    read = json.loads(outcome.stdout)
    assert read["maxVUs"] == 3
    assert read["thresholds"]["checks"] == ["rate==1"]
