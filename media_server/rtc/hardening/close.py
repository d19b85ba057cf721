"""Ending a peer connection within a bound, whatever state it is in."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiortc import RTCPeerConnection

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 3.0  # s


async def hard_close(pc: RTCPeerConnection, timeout: float = CLOSE_TIMEOUT) -> bool:
    """Close ``pc``; when that hangs or raises, stop its parts one by one. Says whether it went by itself.

    Stock ``close()`` waits for tasks that may have died, and raises from some half-made states.
    """
    try:
        async with asyncio.timeout(timeout):
            await pc.close()
        return True
    except TimeoutError:
        logger.warning("a peer connection did not close within %.0f s and is taken apart", timeout)
    except Exception as error:  # whatever aiortc raises from a state it did not expect
        logger.warning("a peer connection failed to close (%s) and is taken apart", type(error).__name__)
    transports: set[Any] = set()
    for transceiver in pc.getTransceivers():
        for part, prefix in ((transceiver.sender, "RTCRtpSender"), (transceiver.receiver, "RTCRtpReceiver")):
            _release(part, prefix)
        transports.add(transceiver.receiver.transport)
    if pc.sctp is not None:
        transports.add(pc.sctp.transport)
    for transport in transports - {None}:  # a bundle may name an m-line that is not there
        for layer in (transport, transport.transport):
            try:
                async with asyncio.timeout(timeout):
                    await layer.stop()
            except Exception as error:  # as above; the other parts must still be stopped
                logger.warning("%s did not stop (%s)", type(layer).__name__, type(error).__name__)
    return False


def _release(part: Any, prefix: str) -> None:
    """Cancel the tasks of a sender or receiver and say that they have ended, which is waited for
    elsewhere."""
    for name in ("rtp_task", "rtcp_task"):
        task = getattr(part, f"_{prefix}__{name}", None)
        if task is not None:
            task.cancel()
    for name in ("rtp_exited", "rtcp_exited"):
        event = getattr(part, f"_{prefix}__{name}", None)
        if event is not None:
            event.set()
