"""What the folder of a translation model translates, told by its name and vocabulary; and why others are not used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from media_server import config
from media_server.engines.base import Pair
from media_server.engines.registry import Found, Routes, choose, translation_models
from media_server.engines.translation_models import TranslationModel, Unusable, inspect
from media_server.models.manifest import Manifest
from media_server.models.store import ModelStore
from tests.support.translation import EN_ES, EN_MUL

MODULES = frozenset({"ctranslate2", "sentencepiece"})


def made(root: Path, name: str, tokens: list[str], *, opus: bool = True, without: str = "") -> Path:
    """A folder with everything that a model of that kind has but real weights."""
    folder = root / name
    folder.mkdir(parents=True)
    files = ("source.spm", "target.spm") if opus else ("sentencepiece.bpe.model",)
    for file in ("model.bin", "config.json", "shared_vocabulary.json", *files):
        if file != without:
            (folder / file).write_text(json.dumps(tokens))
    return folder


def pairs(model: TranslationModel) -> set[tuple[str, str]]:
    return {(pair.source, pair.target) for pair in model.pairs()}


def test_a_pair_is_in_the_name_and_many_targets_are_in_the_vocabulary() -> None:
    assert inspect(EN_ES).pairs() == (Pair("en", "es", 85),)
    many = inspect(EN_MUL)
    assert many.target_tokens == {"es": ">>es<<", "fr": ">>fr<<"}
    assert pairs(many) == {("en", "es"), ("en", "fr")}
    assert all(pair.quality < 85 for pair in many.pairs())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("opus-mt-hi-en", ("hi", "en")),
        ("opus-mt-en-es-ctranslate2", ("en", "es")),
        ("marian-en-pt", ("en", "pt")),
        ("opus-mt-tc-big-eng-fra", ("en", "fr")),
        ("models--gaudi--opus-mt-de-en-ctranslate2", ("de", "en")),
    ],
)
def test_names_as_people_and_the_hub_write_them(tmp_path: Path, name: str, expected: tuple[str, str]) -> None:
    assert pairs(inspect(made(tmp_path, name, ["</s>"]))) == {expected}


def test_tokens_of_three_letters_and_variants_are_the_languages_that_people_choose(tmp_path: Path) -> None:
    folder = made(tmp_path, "opus-mt-en-ROMANCE", ["</s>", ">>fra<<", ">>pt_br<<", ">>pt<<", ">>lld<<"])
    assert inspect(folder).target_tokens == {"fr": ">>fra<<", "pt": ">>pt_br<<", "lld": ">>lld<<"}


def test_a_group_as_source_stands_for_its_languages(tmp_path: Path) -> None:
    assert ("uk", "en") in pairs(inspect(made(tmp_path, "opus-mt-sla-en", ["</s>"])))
    with pytest.raises(Unusable, match="which languages 'mul' stands for"):
        inspect(made(tmp_path, "opus-mt-mul-en", ["</s>"]))


def test_nllb_and_m2m100_are_told_by_their_vocabulary(tmp_path: Path) -> None:
    nllb = inspect(made(tmp_path, "nllb", ["eng_Latn", "zho_Hant", "zho_Hans", "hin_Deva"], opus=False))
    assert (nllb.family, nllb.target_tokens["zh"], len(nllb.pairs())) == ("nllb", "zho_Hans", 6)
    m2m = inspect(made(tmp_path, "m2m100", ["__en__", "__es__"], opus=False))
    assert (m2m.family, pairs(m2m)) == ("m2m100", {("en", "es"), ("es", "en")})


@pytest.mark.parametrize("file", ["model.bin", "source.spm", "shared_vocabulary.json"])
def test_half_a_model_is_named_with_what_it_lacks(tmp_path: Path, file: str) -> None:
    with pytest.raises(Unusable, match=file):
        inspect(made(tmp_path, "opus-mt-en-es", ["</s>"], without=file))


def look(tmp_path: Path, **environ: str) -> tuple[list[TranslationModel], list[str]]:
    return translation_models(config.load(environ), ModelStore(tmp_path / "models", Manifest([])))


def test_models_of_the_folder_are_found_and_half_ones_are_faults_in_words(tmp_path: Path) -> None:
    made(tmp_path / "models", "marian-en-es", ["</s>"])
    made(tmp_path / "models", "marian-es-en", ["</s>"], without="target.spm")
    made(tmp_path / "models", "whisper-base", ["</s>"])
    models, faults = look(tmp_path)
    assert [model.name for model in models] == ["marian-en-es"]
    assert faults == ["marian-es-en is not complete or damaged"]
    plan = choose(
        config.load({}), Found(MODULES, translation=tuple(models), translation_faults=tuple(faults)), "fetch"
    )
    told = {missing.message: missing.command for missing in plan.missing}
    assert (
        told["A translation model is not used: marian-es-en is not complete or damaged."]
        == "fetch --pairs es-en"
    )


def test_a_template_of_local_folders_names_languages_where_names_do_not(tmp_path: Path) -> None:
    made(tmp_path / "mine", "es from en", ["</s>"])
    made(tmp_path / "mine", "fr from en", ["</s>"])
    models, faults = look(tmp_path, MT_MODEL_TEMPLATE=f"{tmp_path}/mine/{{tgt}} from {{src}}")
    assert {pair for model in models for pair in pairs(model)} == {("en", "es"), ("en", "fr")}
    assert faults == []
    _, faults = look(tmp_path, MT_MODEL_TEMPLATE=f"{tmp_path}/nowhere/{{src}}")
    assert "there is no folder" in faults[0]


def test_the_plan_has_one_engine_for_all_opus_models_and_one_for_each_other(tmp_path: Path) -> None:
    for name in ("marian-en-es", "marian-hi-en"):
        made(tmp_path / "models", name, ["</s>"])
    made(tmp_path / "models", "nllb-200-distilled-600M", ["eng_Latn", "hin_Deva", "spa_Latn"], opus=False)
    found = Found(MODULES, translation=tuple(look(tmp_path)[0]), apertium=(Pair("en", "es", 60),), cores=2)
    plan = choose(config.load({}), found, "fetch")
    assert [spec.name for spec in plan.translate] == ["marian", "nllb", "apertium"]
    first = json.loads(str(plan.translate[0].settings["models"]))
    assert [entry[1:] for entry in first] == [["hi", "en"], ["en", "es"]], "the default pair is loaded first"
    routes = Routes({spec.name: spec.pairs for spec in plan.translate}, {})
    assert [route.by for route in routes.find("en", "es")] == ["Marian (OPUS-MT)", "NLLB", "Apertium"]
    assert routes.find("hi", "es")[0].by == "NLLB", "one step of a good model beats two"


@pytest.mark.parametrize(
    ("device", "cuda", "expected"),
    [("auto", False, "cpu"), ("auto", True, "auto"), ("cpu", True, "cpu"), ("cuda", False, "cuda")],
)
def test_the_device_is_the_settings(device: str, cuda: bool, expected: str) -> None:
    found = Found(MODULES, translation=(inspect(EN_ES),), cuda=cuda)
    plan = choose(config.load({"MT_DEVICE": device}), found, "fetch")
    assert plan.translate[0].settings["device"] == expected


def test_two_steps_by_the_best_models_there_are(tmp_path: Path) -> None:
    routes = Routes(
        {
            "marian": [Pair("hi", "en", 85), Pair("en", "es", 85)],
            "apertium": [Pair("en", "es", 60), Pair("es", "pt", 70)],
        },
        {"faster-whisper": [Pair("hi", "en", 50), Pair("fr", "en", 75)]},
    )
    assert routes.find("hi", "es")[0].by == "Marian (OPUS-MT) in two steps"
    assert routes.find("fr", "es")[0].by == "Whisper, then Marian (OPUS-MT)"
    assert routes.find("en", "pt")[0].by == "Marian (OPUS-MT), then Apertium"
    assert routes.find("hi", "pt") == (), "never three steps"
    assert routes.pairs()["hi", "es"] == routes.find("hi", "es")[0]
