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
