"""Calls over a bad network: a seeded relay between an unmodified aiortc client and the server."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from media_server.rtc.inbound import InboundAudio
from tests.support.relay import Network, Relay
from tests.support.webrtc import call, no_leaked_tasks, only_loopback, until

__all__ = ["no_leaked_tasks", "only_loopback"]

pytestmark = pytest.mark.usefixtures("only_loopback", "no_leaked_tasks")

SECONDS = 3


@pytest.mark.parametrize(
    "network",
    [
        Network(loss=0.05),
        Network(loss=0.10, jitter_s=0.008),
        Network(jitter_s=0.015, twice=0.05, delay_s=0.04),
    ],
    ids=["5% loss", "10% loss and jitter", "reordering and duplicates"],
)
async def test_what_arrives_is_played_and_what_does_not_is_filled(network: Network) -> None:
    async with Relay(seed=5, up=network) as relay, call(rewrite=relay.rewrite) as here:
        await until(lambda: len(here.handler.frames) >= SECONDS * 50, SECONDS * 3)
        inbound: InboundAudio = here.peer._inbound
        frames, stats = inbound.frames, here.peer.stats()
        came = {
            seen.data[2:4]
            for seen in relay.passed_up
            if 128 <= seen.data[0] < 192 and seen.data[1] & 127 == 96
        }
        jitter = inbound.stats
        played = jitter.received - jitter.late - jitter.duplicate
        assert played >= 0.99 * len(came) - 5
        assert frames >= (played + stats.concealed + stats.recovered) * 0.97
        assert here.handler.gap_ms <= 200
        if network.loss:
            assert stats.loss == pytest.approx(network.loss, abs=0.06)
            assert stats.concealed + stats.recovered > 3
        heard = np.concatenate(here.handler.frames[-100:])
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        assert np.argmax(spectrum) * 48_000 / len(heard) == pytest.approx(440, abs=4)


async def test_fec_goes_out_when_the_listener_reports_loss() -> None:
    async with Relay(seed=6, down=Network(loss=0.15)) as relay, call(rewrite=relay.rewrite) as here:
        tone = np.sign(np.sin(np.arange(48_000 * 6) / 48_000 * 2 * np.pi * 130)) * 3_000
        here.peer.speech.play(tone.astype(np.int16), clip="a", last=True)
        await until(lambda: here.peer.stats().remote_loss > 0.02, 6)
        assert here.peer.speech._encoder.packet_loss > 0  # type: ignore[attr-defined]
        here.peer.speech.skip()


async def test_a_network_that_is_gone_for_three_seconds_costs_three_seconds() -> None:
    async with Relay() as relay, call(rewrite=relay.rewrite) as here:
        await until(lambda: len(here.handler.frames) > 20)
        relay.up.drop_all = relay.down.drop_all = True
        await until(lambda: here.handler.gap_ms >= 2_800, 5)
        relay.up.drop_all = relay.down.drop_all = False
        start = len(here.handler.frames)
        await until(lambda: len(here.handler.frames) > start + 25, 5)
        assert here.handler.closed == []
        assert here.handler.gap_ms == pytest.approx(3_000, abs=500)
        await asyncio.sleep(0)
