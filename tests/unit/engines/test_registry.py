"""Which engine runs, and which way a language takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from media_server import config
from media_server.engines.base import Pair
from media_server.engines.registry import Found, Plan, Routes, choose

ALL = frozenset({"faster_whisper", "ctranslate2", "piper", "espeakng_loader", "onnxruntime"})
FULL = Found(
    modules=ALL,
    whisper={"base": "/m/whisper-base", "tiny.en": "/m/whisper-tiny.en"},
    turn="/m/turn.onnx",
    piper={"en_US-joe-medium": "en"},
    apertium=(Pair("en", "es", 60),),
    cores=1,
)


def plan(found: Found = FULL, **environ: str) -> Plan:
    return choose(config.load(environ), found, "models fetch")


def test_everything_there_means_nothing_missing() -> None:
    chosen = plan()
    assert [spec.name for spec in chosen.specs] == [
        "faster-whisper",
        "smart-turn",
        "apertium",
        "piper",
        "espeak-ng",
    ]
    assert chosen.missing == ()
    assert all(spec.reason for spec in chosen.specs)


def test_an_explicit_size_wins_and_a_missing_one_falls_back_with_the_command() -> None:
    assert plan(ASR_MODEL_SIZE="tiny.en").recognize[0].settings["model_dir"] == "/m/whisper-tiny.en"
    fallen = plan(ASR_MODEL_SIZE="small")
    assert fallen.recognize[0].settings["model_dir"] == "/m/whisper-base"
    assert fallen.missing[0].command == "models fetch whisper-small"


def test_with_nothing_at_all_the_server_has_words_for_everything() -> None:
    empty = plan(Found())
    assert empty.specs == ()
    assert {missing.stage for missing in empty.missing} == {"recognize", "turn", "translate", "speak"}
    assert all(missing.command for missing in empty.missing)


def test_the_number_format_follows_the_device() -> None:
    cpu = plan().recognize[0].settings
    assert (cpu["device"], cpu["compute_type"], cpu["threads"]) == ("cpu", "int8", 1)
    gpu = Found(modules=ALL, whisper={"base": "b", "large-v3-turbo": "t"}, cuda=True)
    settings = plan(gpu).recognize[0].settings
    assert (settings["device"], settings["compute_type"], settings["model_dir"]) == ("cuda", "float16", "t")
    assert plan(gpu, ASR_DEVICE="cpu").recognize[0].settings["model_dir"] == "b"


@pytest.mark.parametrize(
    ("precision", "on_gpu", "on_cpu"),
    [("fp16", "float16", "int8"), ("fp32", "float32", "float32"), ("int8", "int8_float16", "int8")],
)
def test_the_precision_is_what_the_device_can_do(precision: str, on_gpu: str, on_cpu: str) -> None:
    gpu = Found(modules=ALL, whisper={"base": "b"}, cuda=True)
    specs = plan(gpu, MODEL_PRECISION=precision).recognize
    assert [spec.settings["compute_type"] for spec in specs] == [on_gpu, on_cpu]
    (explicit, *_) = plan(MODEL_PRECISION=precision, ASR_COMPUTE_TYPE="int16").recognize
    assert explicit.settings["compute_type"] == "int16"


def test_a_gpu_that_turns_out_to_be_of_no_use_has_the_cpu_behind_it() -> None:
    gpu = Found(modules=ALL, whisper={"base": "b", "small": "s"}, cuda=True, cores=8)
    specs = plan(gpu, ASR_COMPUTE_TYPE="int8_float16").recognize
    assert [(spec.settings["device"], spec.settings["model_dir"]) for spec in specs] == [
        ("cuda", "s"),
        ("cpu", "b"),
    ]
    assert [spec.settings["compute_type"] for spec in specs] == ["int8_float16", "int8"]
    assert "takes over" in specs[1].reason


@pytest.mark.parametrize(
    ("wanted", "source", "there", "chosen"),
    [
        ("tiny", "auto", ("tiny", "tiny.en"), "tiny"),
        ("tiny", "en", ("tiny", "tiny.en"), "tiny.en"),
        ("tiny", "en", ("tiny",), "tiny"),
        ("tiny", "auto", ("tiny.en", "base"), "base"),
        ("whisper-small", "auto", ("small", "base"), "small"),
        ("turbo", "auto", ("large-v3-turbo", "base"), "large-v3-turbo"),
        ("distil-large-v3", "en", ("distil-large-v3", "base"), "distil-large-v3"),
        ("auto", "auto", ("small", "medium"), "small"),
        ("auto", "auto", ("large-v3-turbo", "base", "tiny"), "base"),
        ("auto", "auto", ("tiny.en",), "tiny.en"),
    ],
)
def test_the_size_follows_the_setting_and_what_is_there(
    wanted: str, source: str, there: tuple[str, ...], chosen: str
) -> None:
    found = Found(modules=ALL, whisper={size: f"/m/{size}" for size in there})
    (spec, *_) = plan(found, ASR_MODEL_SIZE=wanted, DEFAULT_SRC_LANG=source).recognize
    assert spec.settings["model_dir"] == f"/m/{chosen}"


def test_a_size_that_is_not_here_is_named_with_what_stands_in() -> None:
    fallen = plan(ASR_MODEL_SIZE="turbo")
    assert fallen.missing[0].command == "models fetch whisper-large-v3-turbo"
    assert fallen.recognize[0].reason.startswith("ASR_MODEL_SIZE=turbo is not here")
    folder = plan(ASR_MODEL_SIZE="/srv/mine")
    assert "/srv/mine" in folder.missing[0].message
    assert folder.missing[0].command == "models fetch whisper-base"


def test_how_windows_are_decoded_together_is_set() -> None:
    chosen = plan(ASR_MAX_BATCH="4", ASR_BATCH_WINDOW_MS="25", ASR_THREADS="2")
    assert (chosen.recognize[0].settings["batch"], chosen.recognize[0].settings["threads"]) == (4, 2)
    assert chosen.gather_s == 0.025


def test_more_cores_mean_more_recognizers_unless_told() -> None:
    workers = plan(Found(modules=ALL, whisper={"base": "b"}, cores=12)).recognize
    assert len({spec.name for spec in workers}) == 8
    assert len(plan(ASR_WORKERS="3").recognize) == 3


def test_a_voice_engine_can_be_asked_for() -> None:
    assert [spec.name for spec in plan(TTS_ENGINE="espeak-ng").speak] == ["espeak-ng"]


def test_the_direct_way_is_better_than_a_detour_of_equal_steps() -> None:
    routes = Routes({"apertium": [Pair("en", "es", 60), Pair("es", "pt", 60), Pair("fr", "es", 60)]}, {})
    assert [step.target for step in routes.find("en", "pt")[0].steps] == ["es", "pt"]
    assert routes.find("en", "pt")[0].by == "Apertium in two steps"
    assert routes.find("fr", "es")[0].by == "Apertium"
    assert routes.find("pt", "en") == ()


def test_speech_into_english_by_the_recognizer_beats_a_poorer_text_pair_and_can_only_come_first() -> None:
    routes = Routes(
        {"apertium": [Pair("es", "en", 60), Pair("en", "es", 60), Pair("fr", "es", 60)]},
        {"faster-whisper": [Pair("es", "en", 75), Pair("fr", "en", 75), Pair("de", "en", 75)]},
    )
    assert [route.by for route in routes.find("es", "en")[:2]] == ["Whisper", "Apertium"]
    assert routes.find("de", "es")[0].by == "Whisper, then Apertium"
    assert routes.find("fr", "es")[0].by == "Apertium"
    assert all(not step.from_speech for route in routes.pairs().values() for step in route.steps[1:])


def test_the_same_language_needs_no_step() -> None:
    (route,) = Routes({}, {}).find("en", "en")
    assert route.steps == ()


OPENAI = {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": "https://speech.example/v1"}


def test_a_provider_that_is_asked_for_comes_first_and_the_local_engines_stand_behind_it() -> None:
    chosen = plan(FULL, ASR_PROVIDER="openai", MT_PROVIDER="openai", TTS_PROVIDER="openai", **OPENAI)
    assert [spec.name for spec in chosen.recognize] == ["openai", "faster-whisper"]
    assert [spec.name for spec in chosen.translate] == ["openai", "apertium"]
    assert [spec.name for spec in chosen.speak] == ["openai", "piper", "espeak-ng"]
    first = chosen.recognize[0]
    assert first.settings["model"] == "gpt-4o-mini-transcribe"
    assert first.reason == "ASR_PROVIDER asks for it: speech.example"
    assert first.off_machine == "speech.example"
    assert "sk-secret" not in repr(chosen)
    assert [spec.name for spec in plan(FULL, MT_PROVIDER="openai", **OPENAI).recognize] == ["faster-whisper"]


def test_behind_a_provider_a_missing_model_is_only_missed_when_it_fails() -> None:
    chosen = plan(Found(), ASR_PROVIDER="openai", **OPENAI)
    words = {missing.stage: missing.message for missing in chosen.missing}
    assert "It would take over when speech.example does not answer." in words["recognize"]
    assert "take over" not in words["speak"]


def test_an_engine_that_knows_every_pair_makes_no_detours_and_others_stay_behind_it() -> None:
    languages = [f"l{number}" for number in range(57)]
    everything = [Pair(a, b, 95) for a in languages for b in languages if a != b]
    routes = Routes(
        {"openai": everything, "apertium": [Pair("l1", "l2", 60), Pair("zz", "l1", 60)]},
        {"ears": [Pair("l3", "l1", 75), Pair("yy", "l1", 75)]},
    )
    assert [route.by for route in routes.find("l1", "l2")] == ["OpenAI-compatible server", "Apertium"]
    assert [step.engine for step in routes.find("zz", "l5")[0].steps] == ["apertium", "openai"]
    assert [step.engine for step in routes.find("yy", "l5")[0].steps] == ["ears", "openai"]
    assert len(routes.find("l4", "l5")) == 1


def test_google_gets_texts_only_where_tts_engine_asks_for_it_and_local_voices_stand_behind() -> None:
    found = replace(FULL, modules=FULL.modules | {"gtts"})
    assert "gtts" not in [spec.name for spec in plan(found, GTTS_LANG="hi").speak]
    asked = plan(found, TTS_ENGINE="gtts", GTTS_LANG="pt-PT")
    assert [spec.name for spec in asked.speak] == ["gtts", "piper", "espeak-ng"]
    assert asked.speak[0].settings["language"] == "pt-PT"
    assert [spec.off_machine for spec in asked.speak] == ["Google", None, None]  # known before it is loaded
    without = plan(FULL, TTS_ENGINE="gtts")
    assert [spec.name for spec in without.speak] == ["piper", "espeak-ng"]
    assert any("gTTS is not installed" in entry.message for entry in without.missing)
