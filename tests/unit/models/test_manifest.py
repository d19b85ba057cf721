"""The manifest that ships, and manifests that cannot be used."""

from __future__ import annotations

import pytest

from media_server.models import manifest
from media_server.models.manifest import ModelError

GOOD = """
[voice]
kind = "tts"
purpose = "speaks"
licence = "MIT"
[[voice.files]]
name = "voice.onnx"
size = 3
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
parts = ["some-package==1.0:some_package/voice.onnx"]
"""


def test_the_default_set_hears_speaks_and_knows_when_somebody_has_finished() -> None:
    shipped = manifest.load()
    assert shipped.default_names == ["whisper-base", "piper-en_US-joe-medium", "smart-turn-v3.2"]
    assert {shipped[name].kind for name in shipped.default_names} == {"asr", "tts", "turn"}


def test_every_file_of_the_shipped_manifest_has_two_sources() -> None:
    for model in manifest.load().values():
        assert model.repository and model.revision and model.licence
        for file in model.files:
            assert file.parts, f"{model.name}/{file.name} is in no package"


def test_a_part_names_package_version_and_path() -> None:
    part = manifest.parse(GOOD)["voice"].files[0].parts[0]
    assert (part.package, part.version, part.path) == ("some-package", "1.0", "some_package/voice.onnx")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"voice.onnx"', '"../voice.onnx"', "no plain file name"),
        ('"voice.onnx"', '".verified.json"', "no plain file name"),
        ("ba7816", "BA7816", "sha256 or size"),
        ("size = 3", "size = 0", "sha256 or size"),
        ("==1.0:", ":", "PACKAGE==VERSION:PATH"),
        ('licence = "MIT"', "", "lacks 'licence'"),
    ],
)
def test_an_entry_that_cannot_be_used_is_refused(old: str, new: str, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        manifest.parse(GOOD.replace(old, new))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="whisper-base"):
        manifest.load().named("whisper-gigantic")
