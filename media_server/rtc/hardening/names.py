"""The private names of aiortc and aioice that this package relies on, checked when the server starts.

An upgrade that moves one of them stops the server with a list instead of breaking calls one by one.
"""

from __future__ import annotations

import inspect

import aioice.ice
import aioice.stun
import aiortc.rtcdtlstransport
import aiortc.rtcicetransport
import aiortc.rtcrtpreceiver
import aiortc.rtcrtpsender
import aiortc.rtcrtptransceiver
import aiortc.rtcsctptransport
import aiortc.rtp

from media_server.errors import ConfigError

_ATTRIBUTES: dict[object, tuple[str, ...]] = {
    aioice.ice: ("CandidatePair", "StunProtocol", "get_host_addresses", "relayed_candidate"),
    aioice.ice.Connection: (
        "_valid_username",
        "build_request",
        "check_incoming",
        "check_start_task",
        "close",
        "data_received",
        "get_component_candidates",
        "query_consent",
        "request_received",
        "respond_error",
        "sort_check_list",
    ),
    aioice.ice.StunProtocol: ("datagram_received", "error_received", "request"),
    aioice.stun: ("TransactionError", "parse_message"),
    aiortc.rtcdtlstransport.RTCDtlsTransport: (
        "_recv_next",
        "_send_rtp",
        "_set_state",
        "start",
        "stop",
    ),
    aiortc.rtcdtlstransport: ("State",),
    aiortc.rtcicetransport.RTCIceTransport: ("start", "stop"),
    aiortc.rtcdtlstransport.RtpRouter: ("register_receiver", "route_rtcp", "route_rtp"),
    aiortc.rtcrtpreceiver.RTCRtpReceiver: (
        "_RTCRtpReceiver__stop_decoder",
        "_handle_disconnect",
        "_run_rtcp",
        "_send_rtcp",
    ),
    aiortc.rtcrtpsender.RTCRtpSender: ("_run_rtcp", "_run_rtp", "_send_rtcp", "_retransmit"),
    aiortc.rtcrtptransceiver.RTCRtpTransceiver: ("_setCurrentDirection",),
    aiortc.rtcsctptransport.RTCSctpTransport: ("_abort", "_data_channel_receive", "_handle_data"),
    aiortc.rtp: ("HeaderExtensionsMap", "RtcpPacket", "RtpPacket", "compute_audio_level_dbov"),
}
"""Module or class -> what it must have."""

_INSTANCE: dict[type, tuple[str, ...]] = {
    aioice.ice.Connection: (
        "_check_list",
        "_closing",
        "_nominated",
        "_protocols",
        "_query_consent_task",
        "_queue",
        "_remote_candidates",
        "_transport_policy",
    ),
    aioice.ice.StunProtocol: ("receiver", "transactions"),
    aiortc.rtcicetransport.RTCIceTransport: ("_connection",),
    aiortc.rtcdtlstransport.RTCDtlsTransport: (
        "_role",
        "_rtp_header_extensions_map",
        "_rtp_router",
        "_rx_srtp",
        "_tx_srtp",
        "__rx_bytes",
        "__rx_packets",
        "__tx_bytes",
        "__tx_packets",
    ),
    aiortc.rtcrtpreceiver.RTCRtpReceiver: (
        "_enabled",
        "_track",
        "__lsr",
        "__lsr_time",
        "__remote_streams",
        "__rtcp_exited",
        "__rtcp_ssrc",
        "__rtcp_started",
        "__rtcp_task",
        "__started",
        "__stats",
    ),
    aiortc.rtcrtpsender.RTCRtpSender: (
        "_enabled",
        "_ssrc",
        "__cname",
        "__lsr",
        "__lsr_time",
        "__mid",
        "__ntp_timestamp",
        "__octet_count",
        "__packet_count",
        "__rtcp_exited",
        "__rtcp_started",
        "__rtcp_task",
        "__rtp_exited",
        "__rtp_started",
        "__rtp_task",
        "__rtp_timestamp",
        "__rtt",
        "__started",
    ),
    aiortc.rtcrtptransceiver.RTCRtpTransceiver: ("_codecs", "_headerExtensions", "_offerDirection"),
    aiortc.rtcsctptransport.RTCSctpTransport: ("_advertised_rwnd", "_data_channels"),
}
"""Class -> attributes that its ``__init__`` must set; they exist on instances only."""


def missing_names() -> list[str]:
    """What is not where it was: empty with the versions this server was written for."""
    missing = []
    for owner, names in _ATTRIBUTES.items():
        label = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", str(owner))
        missing += [f"{label}.{name}" for name in names if not hasattr(owner, name)]
    for cls, names in _INSTANCE.items():
        source = inspect.getsource(vars(cls)["__init__"])
        for name in names:
            if f"self.{name} =" not in source and f"self.{name}:" not in source:
                missing.append(f"{cls.__qualname__}().{name}")
    return missing


def check_private_names() -> None:
    """Raises ConfigError with the names that moved."""
    missing = missing_names()
    if missing:
        raise ConfigError(
            "this version of aiortc or aioice does not fit, it lacks "
            + ", ".join(missing)
            + ": install the locked versions"
        )
