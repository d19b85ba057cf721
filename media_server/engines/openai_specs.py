"""Engines of an OpenAI-compatible server as the settings ask for them. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from media_server.config import Settings
from media_server.engines.base import EngineKind, EngineSpec
from media_server.engines.openai_http import DEFAULT_URL, off_machine

_FACTORIES = {
    "recognize": ("media_server.engines.openai_asr:OpenAiRecognizer", "ASR_PROVIDER"),
    "translate": ("media_server.engines.openai_mt:OpenAiTranslator", "MT_PROVIDER"),
    "speak": ("media_server.engines.openai_tts:OpenAiVoice", "TTS_PROVIDER"),
}


def providers(settings: Settings) -> dict[EngineKind, str]:
    """``local`` or ``openai`` for each stage that has the choice."""
    return {
        "recognize": settings.asr_provider,
        "translate": settings.mt_provider,
        "speak": settings.tts_provider,
    }


def server_name(settings: Settings) -> str:
    """The host of ``OPENAI_BASE_URL``, for people."""
    return urlsplit(settings.openai_base_url or DEFAULT_URL).hostname or ""


def remote(kind: EngineKind, settings: Settings) -> tuple[EngineSpec, ...]:
    """The stage's engine at the server; none where the provider is ``local``."""
    if providers(settings).get(kind) != "openai":
        return ()
    factory, asked_by = _FACTORIES[kind]
    own: dict[str, str] = {
        "recognize": {"model": settings.openai_asr_model},
        "translate": {"model": settings.openai_mt_model},
        "speak": {"model": settings.openai_tts_model, "voice": settings.openai_tts_voice},
    }[kind]
    return (
        EngineSpec(
            kind=kind,
            name="openai",
            factory=factory,
            settings={
                **own,
                "base_url": settings.openai_base_url,
                "timeout_s": settings.openai_timeout_secs,
                "consent": settings.consent_required,
            },
            secrets={"api_key": settings.openai_api_key, "organization": settings.openai_org},
            reason=f"{asked_by} asks for it: {server_name(settings)}",
            off_machine=off_machine(server_name(settings)),
        ),
    )
