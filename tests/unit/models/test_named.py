"""`models fetch --asr ... --pairs ... --voices ...` from a hub that behaves as the real one, and misbehaves."""

from __future__ import annotations

import errno
import json
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_server.models import convert, manifest
from media_server.models.command import run
from media_server.models.store import RECORD, ModelStore
from media_server.models.transfer import Transfer
from tests.unit.models.support import small_manifest
from tests.unit.models.whole_hub import COMMIT, WholeHub, whole_hub

WEIGHTS = random.Random(3).randbytes(300_000)
PAIR = {
    "README.md": b"# a model",
    "model.bin": WEIGHTS,
    "config.json": b'{"add_source_eos": false}',
    "shared_vocabulary.json": b'["</s>", "<unk>", "a"]',
    "source.spm": b"source" * 50,
    "target.spm": b"target" * 50,
    "tf_model.h5": b"not needed",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeHub]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with whole_hub() as hub:
        hub.repositories["gaudi/opus-mt-en-es-ctranslate2"] = dict(PAIR)
        hub.repositories["rhasspy/piper-voices"] = {
            "es/es_ES/davefx/medium/es_ES-davefx-medium.onnx": b"sound" * 999,
            "es/es_ES/davefx/medium/es_ES-davefx-medium.onnx.json": b'{"audio": {}}',
            "es/es_ES/davefx/medium/MODEL_CARD": b"a card",
            "es/es_ES/other/medium/es_ES-other-medium.onnx": b"other",
        }
        hub.repositories["Systran/faster-whisper-small"] = {
            "model.bin": WEIGHTS, "config.json": b"{}", "tokenizer.json": b"{}", "vocabulary.txt": b"a",
        }  # fmt: skip
        yield hub


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: WholeHub) -> dict[str, str]:
    monkeypatch.setattr(manifest, "load", small_manifest)
    monkeypatch.chdir(tmp_path)
    return {"MODELS_DIR": str(tmp_path / "models"), "PIP_NO_INDEX": "1", **hub.environ}


def store(environ: dict[str, str]) -> ModelStore:
    return ModelStore(Path(environ["MODELS_DIR"]), small_manifest())


def test_pairs_and_voices_come_with_the_files_they_need_at_the_resolved_revision(
    environ: dict[str, str], hub: WholeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--pairs", "en-es", "--voices", "es_ES-davefx-medium"]
    assert run(["fetch", *wanted], environ) == 0
    models = Path(environ["MODELS_DIR"])
    pair = models / "marian-en-es"
    assert sorted(path.name for path in pair.iterdir() if path.name[0] != ".") == sorted(
        {*PAIR} - {"README.md", "tf_model.h5"}
    )
    assert (pair / "model.bin").read_bytes() == WEIGHTS
    voice = models / "piper-es_ES-davefx-medium"
    assert (voice / "es_ES-davefx-medium.onnx").read_bytes() == b"sound" * 999
    assert not (voice / "es_ES-other-medium.onnx").exists()
    record = json.loads((pair / RECORD).read_text())
    assert (record["revision"], record["licence"]) == (COMMIT, "cc-by-4.0")
    assert "complete and verified" in capsys.readouterr().err
    asked = len(hub.seen)
    assert run(["fetch", *wanted], environ) == 0
    assert len(hub.seen) == asked, "what is here is not asked for again"


def test_a_size_that_no_manifest_knows_comes_from_its_repository(
    environ: dict[str, str], hub: WholeHub
) -> None:
    hub.repositories["Systran/faster-distil-whisper-large-v3"] = hub.repositories[
        "Systran/faster-whisper-small"
    ]
    assert run(["fetch", "--asr", "distil-large-v3"], environ) == 0
    assert store(environ).path("whisper-distil-large-v3") is not None


def test_verify_finds_damage_in_what_no_manifest_knows(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["fetch", "--pairs", "en-es"], environ)
    assert run(["verify"], environ) == 0
    assert "marian-en-es: every file is right" in capsys.readouterr().out
    damaged = Path(environ["MODELS_DIR"]) / "marian-en-es" / "source.spm"
    damaged.write_bytes(b"Source" + PAIR["source.spm"][6:])
    assert store(environ).path("marian-en-es") is None
    assert run(["verify"], environ) == 1
    said = capsys.readouterr()
    assert "source.spm is damaged" in said.out
    assert "models fetch --pairs en-es" in said.err
    assert run(["fetch", "--pairs", "en-es"], environ) == 0
    assert run(["verify"], environ) == 0


@pytest.mark.parametrize("file", ["model.bin", "config.json"])
def test_other_bytes_than_the_hub_itself_lists_are_refused(
    environ: dict[str, str], hub: WholeHub, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    hub.lies[file] = bytes(len(PAIR[file]))
    assert run(["fetch", "--pairs", "en-es"], environ) == 1
    assert f"the bytes there are not those of {file}" in capsys.readouterr().err
    assert store(environ).path("marian-en-es") is None
    assert not (Path(environ["MODELS_DIR"]) / "marian-en-es" / file).exists()


def test_a_fetch_that_broke_off_leaves_no_usable_model_and_is_gone_on_with(
    environ: dict[str, str], hub: WholeHub
) -> None:
    hub.lies["target.spm"] = b"x" * len(PAIR["target.spm"])
    assert run(["fetch", "--pairs", "en-es"], environ) == 1
    assert (Path(environ["MODELS_DIR"]) / "marian-en-es" / "model.bin").exists()
    assert store(environ).path("marian-en-es") is None
    assert "marian-en-es" not in store(environ).installed()
    hub.lies.clear()
    hub.seen.clear()
    assert run(["fetch", "--pairs", "en-es"], environ) == 0
    assert not any(path.endswith("/model.bin") for _, path, _, _ in hub.seen), "what came before is kept"


def test_a_large_file_goes_on_where_it_broke_off(environ: dict[str, str], hub: WholeHub) -> None:
    hub.break_after["model.bin"] = 120_000
    assert run(["fetch", "--pairs", "en-es"], environ) == 0
    spans = [span for host, path, _, span in hub.seen if path.endswith("model.bin") and "localhost" in host]
    assert spans == [None, "bytes=120000-"]


def test_a_token_goes_to_the_hub_alone_and_into_no_message(
    environ: dict[str, str], hub: WholeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.token = "hf_swordfish"
    assert run(["fetch", "--pairs", "en-es"], environ) == 1
    assert "HUGGINGFACE_TOKEN" in capsys.readouterr().err
    assert run(["fetch", "--pairs", "en-es"], environ | {"HUGGINGFACE_TOKEN": "hf_wrong"}) == 1
    said = capsys.readouterr().err
    assert "HUGGINGFACE_TOKEN is not enough" in said
    assert "hf_wrong" not in said
    hub.seen.clear()
    assert run(["fetch", "--pairs", "en-es"], environ | {"HUGGINGFACE_TOKEN": "hf_swordfish"}) == 0
    assert "swordfish" not in "".join(capsys.readouterr())
    shown = {host.partition(":")[0]: token for host, _, token, _ in hub.seen}
    assert shown == {"127.0.0.1": "Bearer hf_swordfish", "localhost": None}


def test_a_repository_that_is_not_there_is_named_with_what_to_try(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fetch", "--pairs", "en-xx"], environ) == 1
    said = capsys.readouterr().err
    assert "gaudi/opus-mt-en-xx-ctranslate2" in said
    assert "models convert --pairs en-xx" in said


def test_a_repository_without_weights_for_ctranslate2_is_refused_before_anything_is_placed(
    environ: dict[str, str], hub: WholeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    del hub.repositories["gaudi/opus-mt-en-es-ctranslate2"]["model.bin"]
    assert run(["fetch", "--pairs", "en-es"], environ) == 1
    assert "lacks model.bin" in capsys.readouterr().err
    assert not (Path(environ["MODELS_DIR"]) / "marian-en-es").exists()


def test_a_template_names_other_repositories_and_a_local_one_fetches_nothing(
    environ: dict[str, str], hub: WholeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["mine/es.from.en"] = dict(PAIR)
    assert run(["fetch", "--pairs", "en-es"], environ | {"MT_MODEL_TEMPLATE": "mine/{tgt}.from.{src}"}) == 0
    assert store(environ).path("marian-en-es") is not None
    hub.seen.clear()
    assert run(["fetch", "--pairs", "en-fr"], environ | {"MT_MODEL_TEMPLATE": "/srv/{src}-{tgt}"}) == 1
    assert "folders of this machine" in capsys.readouterr().err
    assert hub.seen == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--pairs", "en"],
        ["--pairs", "en-en"],
        ["--pairs", "../../etc-es"],
        ["--pairs", "en-es,..-x"],
        ["--pairs", "en-e/s"],
        ["--pairs", ""],
        ["--asr", "../base"],
        ["--asr", "huge"],
        ["--asr", "distil-../.."],
        ["--voices", "es_ES-../../x-medium"],
        ["--voices", "davefx"],
        ["--pairs", "en-es", "--revision", "../main"],
        ["--pairs", "en-es", "--revision", "a/b"],
    ],
)
def test_names_that_are_none_are_refused_before_the_hub_is_asked(
    environ: dict[str, str], hub: WholeHub, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(["fetch", *arguments], environ) == 1
    assert capsys.readouterr().err.strip()
    assert hub.seen == []
    assert not Path(environ["MODELS_DIR"]).exists()


@pytest.mark.parametrize("template", ["../{src}", "a/b/c-{src}", "no-owner-{src}{tgt}", "a/..", "a b/{src}"])
def test_a_template_that_leads_elsewhere_is_refused(
    environ: dict[str, str], hub: WholeHub, capsys: pytest.CaptureFixture[str], template: str
) -> None:
    assert run(["fetch", "--pairs", "en-es"], environ | {"MT_MODEL_TEMPLATE": template}) == 1
    assert capsys.readouterr().err.strip()
    assert hub.seen == []


def test_a_hub_that_refuses_everything_or_is_not_there_is_told_in_words(
    environ: dict[str, str], hub: WholeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.status = 503
    assert run(["fetch", "--pairs", "en-es"], environ) == 1
    assert "HTTP 503" in capsys.readouterr().err
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refused
        nowhere = {"HF_ENDPOINT": f"http://127.0.0.1:{unused.getsockname()[1]}"}
        assert run(["fetch", "--pairs", "en-es"], environ | nowhere) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert run(["fetch", "--pairs", "en-es"], environ | {"HF_HUB_OFFLINE": "1"}) == 1
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err


def test_a_disk_that_fills_up_leaves_nothing_of_the_model(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Transfer.write

    def full(transfer: Transfer, chunk: bytes) -> None:
        if transfer.file.name == "target.spm":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(transfer, chunk)

    monkeypatch.setattr(Transfer, "write", full)
    assert run(["fetch", "--pairs", "en-es"], environ) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert not (Path(environ["MODELS_DIR"]) / "marian-en-es").exists()


def test_a_real_disk_that_is_too_small_leaves_nothing_of_the_model(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root; a full disk is also tested with a write that fails")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], check=True)
    try:
        assert run(["fetch", "--pairs", "en-es"], environ | {"MODELS_DIR": str(disk / "models")}) == 1
        assert "the disk is full" in capsys.readouterr().err
        assert not (disk / "models" / "marian-en-es").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_record_in_pieces_makes_the_folder_nobodys(environ: dict[str, str]) -> None:
    run(["fetch", "--pairs", "en-es"], environ)
    record = Path(environ["MODELS_DIR"]) / "marian-en-es" / RECORD
    for text in ("{", "[]", '{"kind": "mt"}', record.read_text().replace("model.bin", "../model.bin")):
        record.write_text(text)
        assert store(environ).path("marian-en-es") is None


def test_converting_without_the_extra_says_how_to_get_it(
    environ: dict[str, str], hub: WholeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "--pairs", "en-es"], environ) == 1
    said = capsys.readouterr().err
    assert "transformers" in said
    assert "meeting-voice-language[convert]" in said
    assert hub.seen == []


ORIGINAL = {
    "config.json": b'{"model_type": "marian"}',
    "vocab.json": b"{}",
    "source.spm": b"source",
    "target.spm": b"target",
    "pytorch_model.bin": WEIGHTS,
    "model.safetensors": WEIGHTS[:1000],
}


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """In place of transformers: keeps what it was given, makes a model of it."""
    given: list[set[str]] = []

    def run_(folder: Path, target: Path, copied: list[str], quantization: str) -> None:
        given.append({path.name for path in folder.iterdir() if path.name[0] != "."})
        target.mkdir(parents=True)
        for name in (*copied, "config.json"):
            (target / name).write_bytes((folder / name).read_bytes())
        (target / "model.bin").write_bytes(quantization.encode())
        (target / "shared_vocabulary.json").write_bytes(b"[]")

    monkeypatch.setattr(convert, "need_extra", lambda: None)
    monkeypatch.setattr(convert, "_run", run_)
    return given


def test_an_original_is_fetched_verified_converted_and_recorded(
    environ: dict[str, str], hub: WholeHub, converter: list[set[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["Helsinki-NLP/opus-mt-en-hi"] = dict(ORIGINAL)
    assert run(["convert", "--pairs", "en-hi", "--quantization", "int8"], environ) == 0
    assert converter == [{*ORIGINAL} - {"pytorch_model.bin"}], "one of two formats of the same weights"
    folder = store(environ).path("marian-en-hi")
    assert folder is not None
    assert (folder / "model.bin").read_bytes() == b"int8"
    assert run(["verify", "marian-en-hi"], environ) == 0
    left = list((Path(environ["MODELS_DIR"]) / ".downloads").rglob("*.safetensors"))
    assert left == [], "the original is not kept"
    capsys.readouterr()
    assert run(["convert", "--pairs", "en-hi"], environ) == 0
    assert "is here already" in capsys.readouterr().err
    assert len(converter) == 1


def test_a_folder_is_converted_without_the_hub(
    environ: dict[str, str], hub: WholeHub, converter: list[set[str]], tmp_path: Path
) -> None:
    original = tmp_path / "opus-mt-fi-en"
    original.mkdir()
    for name, content in ORIGINAL.items():
        (original / name).write_bytes(content)
    assert run(["convert", str(original)], environ) == 0
    assert store(environ).path("opus-mt-fi-en") is not None
    assert hub.seen == []


def test_a_conversion_that_fails_leaves_nothing(
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(folder: Path, target: Path, copied: list[str], quantization: str) -> None:
        target.mkdir(parents=True)
        (target / "model.bin").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(convert, "need_extra", lambda: None)
    monkeypatch.setattr(convert, "_run", full)
    original = tmp_path / "opus-mt-fi-en"
    original.mkdir()
    (original / "source.spm").write_bytes(b"source")
    assert run(["convert", str(original)], environ) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert store(environ).installed() == []
    assert [path for path in Path(environ["MODELS_DIR"]).rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "arguments",
    [[], ["../../x/y"], ["a/b", "c/d", "--name", "n"], ["a/b", "--name", "../n"], ["--pairs", "x"]],
)
def test_what_cannot_be_converted_is_said_before_the_hub_is_asked(
    environ: dict[str, str], hub: WholeHub, converter: list[set[str]], arguments: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(["convert", *arguments], environ) == 1
    assert capsys.readouterr().err.strip()
    assert hub.seen == []
