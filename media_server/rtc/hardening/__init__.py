"""What aiortc and aioice need to survive a real network. The only place that touches their private names.

Nothing is patched in the classes of those libraries: the parts of one peer connection are adopted, that is,
given the subclasses of this package, between the offer and the gathering of candidates. A stock peer
connection in the same process stays as it was. The one function that is replaced is the audio level, whose
original is wrong and takes most of the time that sending a frame takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiortc.rtp
import numpy as np
from aiortc import RTCPeerConnection

from media_server.audio import levels
from media_server.rtc.hardening.close import hard_close
from media_server.rtc.hardening.dtls import DtlsTransport
from media_server.rtc.hardening.ice import IceConnection, IcePolicy, IceTransport
from media_server.rtc.hardening.names import check_private_names
from media_server.rtc.hardening.receiver import AudioReceiver
from media_server.rtc.hardening.sctp import SctpTransport
from media_server.rtc.hardening.sender import LEVEL_URI, MID_URI, AudioSender

__all__ = [
    "AudioReceiver",
    "AudioSender",
    "DtlsTransport",
    "IceConnection",
    "IcePolicy",
    "SctpTransport",
    "adopt",
    "check_private_names",
    "hard_close",
    "install",
]

_EXTENSIONS = (MID_URI, LEVEL_URI)
_AS_INT16 = {"s16", "s16p"}


def install() -> None:
    """Check that everything is where this package expects it, and replace the audio level. Idempotent."""
    check_private_names()
    aiortc.rtp.compute_audio_level_dbov = audio_level_dbov


def audio_level_dbov(frame: Any) -> int:
    """aiortc's function of the same name, on the samples instead of the whole padded plane, in numpy."""
    samples = np.frombuffer(frame.planes[0], np.int16)
    channels = 1 if frame.format.is_planar else len(frame.layout.channels)
    return levels.dbov(samples[: frame.samples * channels])


def adopt(pc: RTCPeerConnection, policy: IcePolicy, count: Callable[[str], None]) -> list[IceConnection]:
    """Harden every part of ``pc``, which has its remote description and has not gathered yet.

    ``count`` is told why something was dropped. Returns the connections, one without bundling apart.
    """
    transports: dict[int, Any] = {}
    transceiver: Any
    for transceiver in pc.getTransceivers():
        transceiver._codecs = [codec for codec in transceiver._codecs if codec.name.lower() == "opus"]
        transceiver._headerExtensions = [
            extension for extension in transceiver._headerExtensions if extension.uri in _EXTENSIONS
        ]
        transceiver.receiver.__class__ = AudioReceiver
        transceiver.receiver.harden(count)
        transceiver.sender.__class__ = AudioSender
        transceiver.sender.harden(count)
        transports[id(transceiver.receiver.transport)] = transceiver.receiver.transport
    sctp: Any = pc.sctp
    if sctp is not None:
        sctp.__class__ = SctpTransport
        sctp.harden(count)
        transports[id(sctp.transport)] = sctp.transport
    connections = []
    if None in transports.values():
        raise ValueError("the bundle group starts with an m-line that is not there")
    for transport in transports.values():
        connection = transport.transport._connection
        transport.__class__ = DtlsTransport
        transport.transport.__class__ = IceTransport
        connection.__class__ = IceConnection
        connection.harden(policy, transport.media_received, count)
        transport.harden(connection, count)
        connections.append(connection)
    return connections
