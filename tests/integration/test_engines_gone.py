"""Calls go on when engines die, and the server runs without any."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.support.caller import FRAME, RATE, Caller, recording
from tests.support.server import Server
from tests.support.stalls import Stalls

KILLS = 20
CALLS = 4


@pytest.mark.timeout(180)
async def test_engines_killed_twenty_times_under_four_calls_lose_no_call_and_no_sound() -> None:
    speech = recording("jfk.wav")
    # The gate in place of RNNoise lets a trace of noise through: no frame is silence, which would not be sent.
    made = Server(ASR_MODEL_SIZE="tiny.en", RESUME_SECS="2", ENABLE_RNNOISE="0", MAX_SPEECH_LOAD="100")
    with made as server, Stalls() as stalls:
        async with AsyncExitStack() as stack:
            callers = [
                await stack.enter_async_context(Caller(server, sourceLang="en", targetLang="es"))
                for _ in range(CALLS)
            ]
            hiss = np.random.default_rng(1).integers(-200, 200, FRAME, np.int16)
            callers[0].microphone.shape = lambda frame: np.clip(
                frame.astype(np.int32) + hiss, -32768, 32767
            ).astype(np.int16)
            callers[0].send(type="loopback", on=True)
            await callers[0].until(lambda: callers[0].of("ack") and callers[0].sound)
            for caller in callers:
                caller.microphone.say(np.tile(speech, 3))
            started, first = time.monotonic(), len(callers[0].sound)
            kills = 0
            while kills < KILLS:
                await asyncio.sleep(1.2)
                kills += kill_engines(server, kills)
            ended_at = time.monotonic()
            heard_s = (len(callers[0].sound) - first) * 0.020
            stood_still_s = stalls.between_ms(started, ended_at) / 1000
            for caller in callers:
                await caller.microphone.done.wait()
                await caller.until(partial(ended, caller), timeout_s=30)
                assert caller.pc.connectionState == "connected"
                assert caller.finals, "something was heard between the kills"
            assert heard_s >= 0.98 * (ended_at - started) - stood_still_s, (
                "the loopback came on while engines died"
            )
        assert await server.metric("lai_engine_restarts_total") >= KILLS / 2
        assert server.process.poll() is None


def kill_engines(server: Server, turn: int) -> int:
    """Kills one child, another one each turn; 1 if there was one."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    if not children:
        return 0
    os.kill(int(children[turn % len(children)]), signal.SIGKILL)
    return 1


def ended(caller: Caller) -> bool:
    """Every utterance that was shown has become final or was said to be lost."""
    shown = {message["id"] for message in caller.of("partial")}
    return shown <= {message["id"] for message in caller.of("final") + caller.of("lost")}


async def test_without_any_model_the_server_says_what_is_missing_and_the_microphone_can_be_heard(
    tmp_path: Path,
) -> None:
    with Server(MODELS_DIR=str(tmp_path), HF_HUB_OFFLINE="1") as server:
        _, health = await server.get("/health")
        missing = [engine for engine in health["engines"] if engine["state"] == "missing"]
        assert {engine["stage"] for engine in missing} == {"recognize", "turn", "speak"}
        assert all("models fetch" in engine["fetch"] for engine in missing)
        async with Caller(server) as caller:
            caller.send(type="loopback", on=True)
            await caller.until(lambda: caller.of("ack"))
            caller.microphone.say(recording("jfk.wav")[: RATE * 2])
            await caller.until(lambda: caller.heard_seconds() > 1.0)
            assert not caller.of("lost")


async def test_a_recognizer_whose_weights_are_broken_is_said_and_speech_is_said_to_be_lost(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes(b"{}")
    with Server(ready=False, ASR_MODEL_SIZE=str(folder)) as server:
        async with Caller(server, targetLang="es") as caller:
            await caller.until(
                lambda: any(s["stage"] == "recognize" and s["level"] == "error" for s in caller.of("status"))
            )
            caller.microphone.say(recording("jfk.wav")[: RATE * 3])
            await caller.until(lambda: caller.of("lost"))
            assert caller.of("lost")[0]["message"]
        _, health = await server.get("/health")
        assert not health["ready"] or any(engine["state"] == "failed" for engine in health["engines"])
