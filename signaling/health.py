"""What the server says of itself: health, languages. Plain data made from the fleet and the hub."""

from __future__ import annotations

from typing import Any

from media_server import __version__
from media_server.config import AUTO
from media_server.engines.host import EngineHost
from media_server.names import language_name
from media_server.rooms.hub import Hub


def is_ready(hub: Hub) -> bool:
    """Would a new call be taken, with everything that was planned for it loaded?"""
    loading = any(host.state in {"loading", "restarting"} for host in hub.fleet.hosts)
    return hub.refusal() is None and not loading


def health(hub: Hub, denoiser: tuple[str, str]) -> dict[str, Any]:
    """The body of ``/health``. ``denoiser``: its name and the reason for it."""
    settings = hub.settings
    hosts = _distinct(hub.fleet.hosts)
    engines = [_engine(host, hub.fleet.trouble(host)) for host in hosts]
    engines.append(
        {"stage": "denoise", "name": denoiser[0], "model": "", "state": "ready", "reason": denoiser[1]}
        | {"fetch": None, "offMachine": None, "version": "", "licence": ""}
    )
    messages = []
    for missing in hub.fleet.missing():
        engines.append(
            {"stage": missing.stage, "name": "", "model": "", "state": "missing", "reason": missing.message}
            | {"fetch": missing.command, "offMachine": None, "version": "", "licence": ""}
        )
        messages.append({"level": "warning", "text": f"{missing.message} To get it: {missing.command}"})
    messages += [
        {"level": "error", "text": host.reason or f"{host.spec.name} does not work."}
        for host in hosts
        if host.state == "failed"
    ]
    messages += [
        {"level": "warning", "text": trouble} for host in hosts if (trouble := hub.fleet.trouble(host))
    ]
    messages += [
        {"level": "warning", "text": fault}
        for host in hub.fleet.hosts
        if host.capabilities is not None
        for fault in host.capabilities.faults
    ]
    refusal = hub.refusal()
    if refusal is not None:
        messages.append({"level": "warning", "text": refusal.message})
    return {
        "status": "ok",
        "ready": is_ready(hub),
        "draining": hub.draining,
        "version": __version__,
        "consentRequired": settings.consent_required,
        "sessions": {"active": len(hub), "max": settings.max_sessions},
        "loopLagMs": round(hub.loop_lag_s * 1000),
        "engines": engines,
        "messages": messages,
    }


def _distinct(hosts: list[EngineHost]) -> list[EngineHost]:
    """One host for each engine of a stage: the one that works best stands for its siblings."""
    order = {"ready": 0, "loading": 1, "restarting": 2}
    best: dict[tuple[str, ...], EngineHost] = {}
    for host in hosts:
        key = host.spec.sort
        if key not in best or order.get(host.state, 9) < order.get(best[key].state, 9):
            best[key] = host
    return list(best.values())


def _engine(host: EngineHost, trouble: str) -> dict[str, Any]:
    """``trouble``: why another engine does its work at present."""
    capabilities = host.capabilities
    reason = host.spec.reason if host.state in {"ready", "loading"} else host.reason
    return {
        "stage": host.spec.kind,
        "name": host.spec.name,
        "model": capabilities.model if capabilities else "",
        "state": host.state,
        "reason": trouble if trouble and host.state == "ready" else reason,
        "fetch": None,
        "offMachine": capabilities.off_machine if capabilities else host.spec.off_machine,
        "version": capabilities.version if capabilities else "",
        "licence": capabilities.licence if capabilities else "",
    }


def languages(hub: Hub) -> dict[str, Any]:
    """The body of ``/languages``: exactly the pairs that work here, and by what."""
    fleet = hub.fleet
    heard = set(fleet.heard_languages())
    pairs = []
    for (source, target), route in sorted(fleet.routes.pairs().items()):
        if source not in heard:
            continue
        voice = fleet.voice_of(target)
        pairs.append(
            {
                "source": source,
                "target": target,
                "by": route.by,
                "steps": len(route.steps),
                "quality": route.quality,
                "voice": voice.spec.name if voice else None,
                "note": "" if voice else "captions only",
            }
        )
    targets = {pair["target"] for pair in pairs} | heard
    return {
        "sources": _named(heard),
        "targets": _named({str(code) for code in targets}),
        "pairs": pairs,
        "defaults": {
            "source": hub.settings.default_src_lang if hub.settings.default_src_lang in heard else AUTO,
            "target": hub.settings.default_tgt_lang,
        },
    }


def _named(codes: set[str]) -> list[dict[str, str]]:
    named = [{"code": code, "name": language_name(code)} for code in codes]
    return sorted(named, key=lambda entry: entry["name"])
