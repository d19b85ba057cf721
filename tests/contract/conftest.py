"""Every engine that this project has, with the models that `make test` fetches, each in a real child process.

A missing model or program fails the tests that need it. An engine that is written later is added to
``SPECS`` and has to pass the same tests as the others of its kind.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import replace

import pytest
import pytest_asyncio

from media_server import config
from media_server.engines.base import EngineSpec
from media_server.engines.host import EngineHost
from media_server.metrics import Metrics
from tests.support.google import Google
from tests.support.translation import EN_ES, EN_MUL, marian

MODELS = config.load(os.environ).models_path

SPECS = {
    spec.kind + " " + spec.name: spec
    for spec in (
        EngineSpec(
            "recognize",
            "whisper-base",
            "media_server.engines.faster_whisper:FasterWhisperRecognizer",
            {"model_dir": str(MODELS / "whisper-base"), "compute_type": "int8"},
        ),
        EngineSpec(
            "recognize",
            "whisper-tiny.en",
            "media_server.engines.faster_whisper:FasterWhisperRecognizer",
            {"model_dir": str(MODELS / "whisper-tiny.en"), "compute_type": "int8"},
        ),
        EngineSpec(
            "turn",
            "smart-turn",
            "media_server.engines.smart_turn:SmartTurnDetector",
            {"model_path": str(MODELS / "smart-turn-v3.2" / "smart-turn-v3.2-cpu.onnx")},
        ),
        EngineSpec("translate", "apertium", "media_server.engines.apertium:ApertiumTranslator"),
        marian(EN_ES),
        replace(marian(EN_MUL), name="marian-of-many-targets"),
        EngineSpec("speak", "piper", "media_server.engines.piper:PiperVoice", {"models_dir": str(MODELS)}),
        EngineSpec("speak", "espeak-ng", "media_server.engines.espeak_ng:EspeakVoice"),
        EngineSpec(
            "speak",
            "gtts",
            "media_server.engines.gtts:GttsVoice",
            {"requests_a_second": 1000.0, "at_once": 1000.0},
        ),
    )
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def host(request: pytest.FixtureRequest) -> AsyncIterator[EngineHost]:
    """A running host of the spec that a test module asks for by name; one child serves all of its tests."""
    spec = SPECS[request.param]
    with Google() if spec.name == "gtts" else nullcontext() as google:
        if google is not None:
            spec = replace(spec, settings=spec.settings | {"url": google.url})
        host = EngineHost(spec, metrics=Metrics())
        await host.start()
        try:
            await host.wait_ready(60)
            yield host
        finally:
            await host.stop()
    assert host.restarts == 0, "a test of the contract crashed the engine"


def of_kind(kind: str) -> pytest.MarkDecorator:
    """Runs a module's tests on every engine of a kind."""
    names = [name for name in SPECS if name.startswith(f"{kind} ")]
    return pytest.mark.parametrize("host", names, indirect=True, scope="module")
