"""Settings: read, checked, documented."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from media_server import config
from media_server.errors import ConfigError


def test_defaults_need_no_environment() -> None:
    settings = config.load({})
    assert (settings.port, settings.host, settings.consent_required) == (5000, "0.0.0.0", False)


def test_environment_wins_over_dotenv(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=6000\nexport LOG_FORMAT='json'\n# PORT=1\nAPI_KEYS=a, b # two\nHOST=\n")
    settings = config.load({"PORT": "7000"}, dotenv)
    assert (settings.port, settings.log_format, settings.api_keys, settings.host) == (
        7000,
        "json",
        ("a", "b"),
        "0.0.0.0",
    )


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PORT": "many"}, "PORT='many': should be a whole number"),
        ({"PORT": "70000"}, "should be a port"),
        ({"TLS": "perhaps"}, "TLS='perhaps': should be 0 or 1"),
        ({"STORE_TRANSCRIPTS": "1"}, "no encrypted store"),
        ({"LOG_FORMAT": "xml"}, "should be one of text, json"),
        ({"RTC_PORT_MIN": "50000"}, "go together|above"),
        ({"RTC_PUBLIC_IP": "example.org"}, "should be an IP address"),
        ({"RTC_DENY_CIDRS": "10.0.0.0/99"}, "is no network"),
        ({"TLS_CERTFILE": "a.pem"}, "go together"),
        ({"ASR_HANGOVER_MIN_MS": "900", "ASR_HANGOVER_MAX_MS": "300"}, "in that order"),
        ({"ASR_COMPUTE_TYPE": "int9"}, "should be one of auto, default, int8"),
        ({"MODEL_PRECISION": "fp8"}, "should be one of fp16, fp32, int8"),
        ({"TTS_DEVICE": "gpu"}, "should be one of auto, cpu, cuda"),
        ({"MAX_CONNECTIONS_PER_ADDRESS": "0"}, "should be 1 or more"),
        ({"TURN_TTL_SECS": "7200"}, "1 to 3600"),
        ({"ASR_PROVIDER": "cloud"}, "should be one of local, openai"),
        ({"MT_PROVIDER": "openai"}, "MT_PROVIDER=openai needs OPENAI_API_KEY"),
        ({"OPENAI_BASE_URL": "speech.example/v1"}, "https://host:port/v1"),
        ({"OPENAI_BASE_URL": "ftp://speech.example/v1"}, "https://host:port/v1"),
        ({"OPENAI_BASE_URL": "http://speech.example:99999/v1"}, "https://host:port/v1"),
        ({"OPENAI_BASE_URL": "http://a:b@speech.example/v1"}, "no user or password"),
        ({"OPENAI_API_KEY": "sk-1\nX-Evil: 1"}, "a character that no key has"),
        ({"OPENAI_TIMEOUT_SECS": "60"}, "1 to 10"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_reason(environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config.load(environ)


def test_choices_are_taken_in_any_case() -> None:
    assert config.load({"LOG_LEVEL": "debug"}).log_level == "DEBUG"


def test_secrets_never_show() -> None:
    shown = repr(config.load({"API_KEYS": "hunter2", "TURN_SECRET": "swordfish", "OPENAI_API_KEY": "sk-1"}))
    assert "hunter2" not in shown
    assert "sk-1" not in shown
    assert "swordfish" not in shown


@pytest.mark.parametrize("document", ["README.md", "example.env"])
def test_every_setting_is_documented(project_root: Path, document: str) -> None:
    text = (project_root / document).read_text(encoding="utf-8")
    missing = [item.name.upper() for item in fields(config.Settings) if item.name.upper() not in text]
    assert missing == []


def test_example_env_shows_the_defaults_and_asks_for_consent(project_root: Path) -> None:
    lines = (project_root / "example.env").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["CONSENT_REQUIRED=1"]
    uncommented = "\n".join(
        line.removeprefix("# ") for line in lines if "=" in line and " " not in line.split("=")[0][2:]
    )
    values = dict(line.split("=", 1) for line in uncommented.splitlines() if line.split("=")[0].isupper())
    values.pop("CONSENT_REQUIRED")
    assert config.load(values) == config.load({})


OLDER = {
    "HOST": "0.0.0.0", "PORT": "5000", "LOG_LEVEL": "INFO", "ENABLE_METRICS": "1", "CONSENT_REQUIRED": "",
    "STORE_TRANSCRIPTS": "0", "TRANSCRIPTS_PATH": "/data/transcripts", "DEFAULT_SAMPLE_RATE": "48000",
    "DEFAULT_CHANNELS": "1", "DEFAULT_FRAME_SIZE": "480", "ENABLE_RNNOISE": "1", "NOISE_GATE_THRESHOLD": "0.015",
    "NOISE_GATE_ATTENUATION": "0.2", "ASR_PROVIDER": "local", "MT_PROVIDER": "local", "TTS_PROVIDER": "local",
    "DEFAULT_SRC_LANG": "hi", "DEFAULT_TGT_LANG": "en", "ASR_MODEL_SIZE": "tiny", "ASR_COMPUTE_TYPE": "int8",
    "ASR_DEVICE": "cpu", "MT_DEFAULT_SRC": "hi", "MT_DEFAULT_TGT": "en", "MT_DEVICE": "cpu", "GTTS_LANG": "en",
    "TTS_DEVICE": "cpu", "MODEL_PRECISION": "fp16", "OPENAI_API_KEY": "", "OPENAI_ORG": "", "OPENAI_BASE_URL": "",
    "OPENAI_ASR_MODEL": "gpt-4o-mini-transcribe", "OPENAI_MT_MODEL": "gpt-4o-mini", "OPENAI_TTS_MODEL": "tts-1",
    "HUGGINGFACE_TOKEN": "", "HISTORY_RETENTION_SECS": "1800",
}  # fmt: skip
"""Every setting of the older servers with its default."""

HEARS_MORE = {
    "DEFAULT_SRC_LANG", "ASR_DEVICE", "MT_DEVICE", "TTS_DEVICE", "ASR_COMPUTE_TYPE", "ASR_MODEL_SIZE",
}  # fmt: skip
"""Where the older default would make the server do less than it can, ours is ``auto``."""

PENDING = {"HISTORY_RETENTION_SECS"}


def test_every_setting_of_the_older_servers_is_taken_and_has_its_default() -> None:
    assert set(OLDER) - PENDING <= {item.name.upper() for item in fields(config.Settings)}
    older, ours = config.load(OLDER), config.load({})
    differing = {
        item.name.upper()
        for item in fields(config.Settings)
        if getattr(older, item.name) != getattr(ours, item.name)
    }
    assert differing == HEARS_MORE
    assert {getattr(ours, name.lower()) for name in HEARS_MORE} == {"auto"}


def test_a_name_that_is_nearly_a_setting_is_noticed() -> None:
    names = ("ASR_DEVCE", "CONSENT_REQUIRE", "PORT", "PATH", "HOSTNAME", "ASR_DEVICE", "OPENAI_API_KEYS")
    assert config.misspelt(names) == {
        "ASR_DEVCE": "ASR_DEVICE",
        "CONSENT_REQUIRE": "CONSENT_REQUIRED",
        "OPENAI_API_KEYS": "OPENAI_API_KEY",
    }
