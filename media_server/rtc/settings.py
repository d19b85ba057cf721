"""What peers may do and where they are met, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Protocol

from aiortc import RTCIceServer

from media_server.rtc.hardening import IcePolicy
from media_server.rtc.sdp import CandidateFilter, Network


class RtcSettings(Protocol):
    """The part of the server's settings that is used here."""

    @property
    def rtc_port_min(self) -> int: ...
    @property
    def rtc_port_max(self) -> int: ...
    @property
    def rtc_public_ip(self) -> str: ...
    @property
    def rtc_bind(self) -> str: ...
    @property
    def rtc_deny_cidrs(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class RtcConfig:
    ice_servers: tuple[RTCIceServer, ...] = ()
    """Asked by the server for its own candidates; each one may delay the answer. aioice uses the first STUN
    and the first TURN address."""
    port_min: int = 0
    port_max: int = 0
    public_ip: str = ""
    bind: str = ""
    denied: tuple[Network, ...] = ()
    connect_timeout_s: float = 15.0
    """From the offer to "connected"."""
    media_timeout_s: float = 30.0
    """Without a packet of a microphone that sends and is not muted."""
    bye_timeout_s: float = 2.0
    """A peer that said goodbye may prove within this time that it is still there."""
    max_half_open: int = 32
    """Offers on their way to "connected", all together."""
    max_half_open_per_address: int = 16

    @classmethod
    def from_settings(cls, settings: RtcSettings, ice_servers: tuple[RTCIceServer, ...] = ()) -> RtcConfig:
        return cls(
            ice_servers=ice_servers,
            port_min=settings.rtc_port_min,
            port_max=settings.rtc_port_max,
            public_ip=settings.rtc_public_ip,
            bind=settings.rtc_bind,
            denied=tuple(ip_network(text, strict=False) for text in settings.rtc_deny_cidrs),
        )

    def _loopback(self, address: str) -> bool:
        """Is the client on this machine, or this server only there?"""
        for text in (address, self.bind):
            try:
                if text and ip_address(text.partition("%")[0]).is_loopback:
                    return True
            except ValueError:
                continue
        return False

    def policy(self, address: str) -> IcePolicy:
        """Where to listen for a client whose HTTP request came from ``address``."""
        return IcePolicy(
            bind=(self.bind,) if self.bind and not ip_address(self.bind).is_unspecified else (),
            loopback=self._loopback(address) and not self.bind,
            port_min=self.port_min,
            port_max=self.port_max,
        )

    def filter(self, address: str) -> CandidateFilter:
        return CandidateFilter(loopback=self._loopback(address), denied=self.denied)
