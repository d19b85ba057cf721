"""The engine for OPUS-MT's models, with models that were trained for the tests: see tests/models/README.md."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.random_model import make
from media_server.engines.base import TranslateRequest
from media_server.engines.marian import MarianTranslator
from media_server.errors import EngineFailed, EngineUnavailable
from tests.models.grammar import Grammar, Sentence
from tests.support.translation import EN_ES, EN_MUL

SENTENCES = 60


def loaded(*folders: Path, kept: int = 6, device: str = "cpu") -> MarianTranslator:
    engine = MarianTranslator(
        json.dumps([[str(folder), "", ""] for folder in folders]), kept=kept, device=device
    )
    engine.load()
    return engine


def unseen(seed: int, count: int = SENTENCES) -> list[Sentence]:
    """Sentences that no model was trained on, without made-up names and numbers, which a model this small misspells."""
    grammar = Grammar(seed)
    found: list[Sentence] = []
    while len(found) < count:
        one = grammar.unseen()
        shared = {word.strip(".,!?") for word in one.en.split()} & {
            word.strip(".,!¡¿?") for word in one.es.split()
        }
        if not {word for word in shared if word[:1].isupper() or word[:1].isdigit()} - {"No"}:
            found.append(one)
    return found


@pytest.fixture(scope="module")
def engine() -> MarianTranslator:
    return loaded(EN_ES, EN_MUL)


def translate(engine: MarianTranslator, target: str, *texts: str) -> list[str]:
    return list(engine.translate(TranslateRequest(texts, "en", target)).texts)


def right(answers: list[str], expected: list[str]) -> float:
    return sum(answer == text for answer, text in zip(answers, expected, strict=True)) / len(expected)


@pytest.mark.parametrize("target", ["es", "fr"])
def test_sentences_that_were_not_in_the_training_are_translated(
    engine: MarianTranslator, target: str
) -> None:
    sentences = unseen(2026)
    answers = translate(engine, target, *(one.en for one in sentences))
    assert right(answers, [getattr(one, target) for one in sentences]) >= 0.9


def test_the_token_in_front_chooses_the_language_of_a_model_with_many() -> None:
    many = loaded(EN_MUL)
    sentences = unseen(7, 20)
    texts = [one.en for one in sentences]
    spanish, french = translate(many, "es", *texts), translate(many, "fr", *texts)
    assert right(spanish, [one.es for one in sentences]) >= 0.8
    assert right(french, [one.fr for one in sentences]) >= 0.8
    assert not any(">>" in text for text in (*spanish, *french))


def test_a_model_of_its_own_for_a_pair_is_taken_before_one_for_many() -> None:
    capabilities = MarianTranslator(json.dumps([[str(EN_MUL), "", ""], [str(EN_ES), "", ""]])).load()
    assert {(pair.target, pair.quality) for pair in capabilities.pairs} == {("es", 85), ("fr", 78)}
    assert "int8" in capabilities.model


def test_requests_of_a_batch_get_their_own_answers_whatever_their_pair(engine: MarianTranslator) -> None:
    sentences = unseen(11, 12)
    requests = [
        TranslateRequest((one.en, "", f"{one.en} {one.en}")[: 1 + number % 3], "en", ("es", "fr")[number % 2])
        for number, one in enumerate(sentences)
    ]
    together = engine.translate_batch(requests)
    assert together == [engine.translate(request) for request in requests]


def test_a_long_text_is_translated_sentence_by_sentence(engine: MarianTranslator) -> None:
    sentences = [one for one in unseen(13, 30) if one.en[-1] in ".!?"]
    (answer,) = translate(engine, "es", " ".join(one.en for one in sentences))
    alone = translate(engine, "es", *(one.en for one in sentences))
    assert answer == " ".join(alone)


def test_the_end_of_a_sentence_is_marked_once_whoever_does_it(tmp_path: Path) -> None:
    folder = tmp_path / "opus-mt-en-es"
    shutil.copytree(EN_ES, folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["add_source_eos"] is False
    (folder / "config.json").write_text(json.dumps(config | {"add_source_eos": True}))
    texts = [one.en for one in unseen(17, 20)]
    assert translate(loaded(folder), "es", *texts) == translate(loaded(EN_ES), "es", *texts)


def test_more_models_than_are_kept_take_turns() -> None:
    engine = loaded(EN_ES, EN_MUL, kept=1)
    text = unseen(19, 1)[0]
    for _ in range(2):
        assert translate(engine, "es", text.en) == translate(loaded(EN_ES), "es", text.en)
        assert translate(engine, "fr", text.en) == translate(loaded(EN_MUL), "fr", text.en)
    assert len(engine._loaded) == 1


def test_a_broken_folder_costs_its_own_pairs_and_says_so(tmp_path: Path) -> None:
    broken = tmp_path / "opus-mt-en-fr"
    shutil.copytree(EN_ES, broken)
    (broken / "model.bin").write_bytes((EN_ES / "model.bin").read_bytes()[:5000])
    capabilities = MarianTranslator(json.dumps([[str(broken), "", ""], [str(EN_ES), "", ""]])).load()
    assert [(pair.source, pair.target) for pair in capabilities.pairs] == [("en", "es")]
    assert "opus-mt-en-fr cannot be loaded" in capabilities.faults[0]


@pytest.mark.parametrize("damaged", ["model.bin", "source.spm", "config.json", "shared_vocabulary.json"])
def test_with_no_model_that_works_it_says_which_and_why(tmp_path: Path, damaged: str) -> None:
    folder = tmp_path / "opus-mt-en-es"
    shutil.copytree(EN_ES, folder)
    (folder / damaged).write_bytes(b"\x00nonsense")
    with pytest.raises(EngineUnavailable, match="opus-mt-en-es"):
        loaded(folder)
    with pytest.raises(EngineUnavailable, match="is not there or cannot be read"):
        loaded(tmp_path / "opus-mt-en-xx")


def test_a_gpu_that_is_asked_for_by_name_and_not_there_is_said_so() -> None:
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        assert translate(loaded(EN_ES, device="cuda"), "es", "The house is red.") == ["La casa es roja."]
        return
    with pytest.raises(EngineUnavailable, match="MT_DEVICE=cuda"):
        loaded(EN_ES, device="cuda")
    assert translate(loaded(EN_ES, device="auto"), "es", "The house is red.") == ["La casa es roja."]


def test_a_pair_that_is_not_here_is_refused_with_words(engine: MarianTranslator) -> None:
    with pytest.raises(EngineFailed, match="en-de"):
        translate(engine, "de", "hello")


@pytest.mark.parametrize(
    ("family", "english", "spanish"), [("nllb", "eng_Latn", "spa_Latn"), ("m2m100", "__en__", "__es__")]
)
def test_models_of_many_languages_are_told_both_and_show_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, english: str, spanish: str
) -> None:
    import ctranslate2

    asked: list[tuple[list[list[str]], list[list[str]]]] = []
    real = ctranslate2.Translator.translate_batch

    def spying(
        self: object, source: list[list[str]], target_prefix: list[list[str]], **how: object
    ) -> object:
        asked.append((source, target_prefix))
        return real(self, source, target_prefix=target_prefix, **how)

    pieces = json.loads((EN_ES / "shared_vocabulary.json").read_text())
    folder = tmp_path / family
    make(
        folder, ["<s>", *pieces, english, spanish], layers=1, dim=32, heads=2, inner=64,
        tokenizers={"sentencepiece.bpe.model": EN_ES / "source.spm"},
    )  # fmt: skip
    engine = loaded(folder)
    monkeypatch.setattr(ctranslate2.Translator, "translate_batch", spying)
    answers = translate(engine, "es", "The house is red.", "The dog!")
    ((sources, prefixes),) = asked
    assert [(tokens[0], tokens[-1]) for tokens in sources] == [(english, "</s>")] * 2
    assert prefixes == [[spanish]] * 2
    assert all(answers)
    assert not any(token in answer for answer in answers for token in (english, spanish, "</s>"))
