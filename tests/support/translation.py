"""The tests' own translation models: small, but of the same kind and layout as real ones (tests/models/README.md)."""

from __future__ import annotations

import json
from pathlib import Path

from media_server.engines.base import EngineSpec

MODELS = Path(__file__).resolve().parents[1] / "models"
EN_ES = MODELS / "opus-mt-en-es"
EN_MUL = MODELS / "opus-mt-en-mul"


def marian(*folders: Path, **settings: str | int) -> EngineSpec:
    """The engine with these models, which tell their languages themselves."""
    models = json.dumps([[str(folder), "", ""] for folder in folders or (EN_ES,)])
    return EngineSpec(
        "translate", "marian", "media_server.engines.marian:MarianTranslator", {"models": models, **settings}
    )
