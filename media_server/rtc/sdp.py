"""Offers and answers (RFC 8866, RFC 8829) as text: what is let in to aiortc, and what goes out instead of
its answer.

aiortc knows neither rejected m-lines nor limits. So an offer is cut down to what this server takes, and the
answer is put together again with the rejected m-lines in their places.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from media_server.errors import BadRequest, TooLarge

MAX_SDP = 32_768  # bytes
MAX_SECTIONS = 8
MAX_CANDIDATES = 16  # of the whole offer; the rest is not tried
MAX_AUDIO = 4
MIN_PORT = 1_024  # no check is ever sent to a well-known port

type Network = IPv4Network | IPv6Network
Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")
_TOKEN = re.compile(r"[!-~]+")
_TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
_CODECS = ("a=rtpmap:", "a=fmtp:", "a=rtcp-fb:")
_METADATA: tuple[Network, ...] = tuple(
    ip_network(text) for text in ("100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::254/128")
)
"""Metadata services of clouds that do not live at a link-local address."""


@dataclass(slots=True)
class Section:
    """An m-line and its attributes, as offered."""

    kind: str
    port: int
    protocol: str
    formats: list[str]
    lines: list[str]
    """Without line ends; the m-line first."""
    mid: str = ""
    direction: Direction = "sendrecv"
    accepted: bool = False
    opus: str = ""
    """Payload type."""


@dataclass(slots=True)
class Offer:
    head: list[str]
    sections: list[Section]
    sdp: str = ""
    """What aiortc gets: the accepted sections with the candidates that may be tried."""
    candidates: int = 0
    dropped_candidates: int = 0
    audio: list[Section] = field(default_factory=list)

    @property
    def microphone(self) -> int | None:
        """Index in ``audio`` of the first m-line that the peer sends on."""
        for index, section in enumerate(self.audio):
            if section.direction in ("sendrecv", "sendonly"):
                return index
        return None


@dataclass(frozen=True, slots=True)
class CandidateFilter:
    """Which addresses of a peer may get connectivity checks from this server."""

    loopback: bool = False
    denied: tuple[Network, ...] = ()

    def allows(self, host: str, port: int) -> bool:
        """Names are refused, mDNS names too: looking them up would let a client make this server ask around.

        Such peers are found by their own checks (peer-reflexive candidates).
        """
        try:
            address = ip_address(host)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if address.is_loopback:
            return self.loopback and port >= MIN_PORT
        if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
            return False
        if not MIN_PORT <= port <= 65_535:
            return False
        return not any(address in network for network in (*_METADATA, *self.denied))


def read_offer(sdp: str, candidates: CandidateFilter) -> Offer:
    """Cut an offer down. Raises BadRequest or TooLarge with words for people."""
    if len(sdp) > MAX_SDP:
        raise TooLarge(f"the offer is longer than {MAX_SDP} characters", code="SDP_TOO_LARGE")
    lines = [line.rstrip("\r") for line in sdp.split("\n")]
    lines = [line for line in lines if line]
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    if not lines or not lines[0].startswith("v=0"):
        raise BadRequest("this is no session description", code="BAD_SDP")
    if not starts:
        raise BadRequest("the offer has no media", code="BAD_SDP")
    if len(starts) > MAX_SECTIONS:
        raise BadRequest(f"the offer has more than {MAX_SECTIONS} m-lines", code="BAD_SDP")
    head = [line for line in lines[: starts[0]] if not line.startswith("a=candidate:")]
    ends = [*starts[1:], len(lines)]
    offer = Offer(head, [_section(lines[start:end], head) for start, end in zip(starts, ends, strict=True)])
    _accept(offer)
    for section in offer.sections:
        section.lines = [line for line in section.lines if _keep(line, offer, candidates)]
    accepted = [section for section in offer.sections if section.accepted]
    text = [*_bundle(offer), *(line for section in accepted for line in section.lines)]
    offer.sdp = "\r\n".join(text) + "\r\n"
    return offer


def _section(lines: list[str], head: list[str]) -> Section:
    parts = lines[0][2:].split()
    if len(parts) < 4 or not parts[1].split("/")[0].isdecimal():
        raise BadRequest("an m-line does not parse", code="BAD_SDP")
    section = Section(parts[0], int(parts[1].split("/")[0]), parts[2], parts[3:], lines)
    for line in (*head, *lines):
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            if name in _DIRECTIONS and not value:
                section.direction = name
            elif name == "mid":
                section.mid = value.strip()
            elif name == "rtpmap" and not section.opus:
                payload_type, _, codec = value.partition(" ")
                if codec.lower().startswith("opus/48000") and payload_type in section.formats:
                    section.opus = payload_type
    if section.mid and not _TOKEN.fullmatch(section.mid):
        raise BadRequest("an m-line has a malformed mid", code="BAD_SDP")
    return section


def _accept(offer: Offer) -> None:
    """Opus and one data association are taken; video and what nobody knows are not."""
    data = False
    for section in offer.sections:
        bundle_only = "a=bundle-only" in section.lines
        if section.port == 0 and not bundle_only:
            continue
        if section.kind == "audio" and section.opus and "RTP" in section.protocol:
            section.accepted = len(offer.audio) < MAX_AUDIO
        elif section.kind == "application" and "SCTP" in section.protocol and not data:
            section.accepted = data = True
        if section.accepted and section.kind == "audio":
            offer.audio.append(section)
    accepted = [section for section in offer.sections if section.accepted]
    if not accepted:
        if any(section.kind == "audio" for section in offer.sections):
            raise BadRequest("the offer has no audio in Opus", code="NO_OPUS")
        raise BadRequest("the offer has neither audio nor a data channel", code="NO_MEDIA")
    mids = [section.mid for section in accepted]
    if len(set(mids)) != len(mids):
        raise BadRequest("two m-lines have the same mid", code="BAD_SDP")
    for section in accepted:
        for needed in ("a=fingerprint:", "a=ice-ufrag:", "a=ice-pwd:"):
            if not any(line.startswith(needed) for line in (*offer.head, *section.lines)):
                raise BadRequest(f"an m-line lacks {needed[2:-1]}", code="BAD_SDP")


def _keep(line: str, offer: Offer, candidates: CandidateFilter) -> bool:
    if line.startswith("a=candidate:"):
        if offer.candidates < MAX_CANDIDATES and _may_try(line, candidates):
            offer.candidates += 1
            return True
        offer.dropped_candidates += 1
        return False
    # More may come by checks from the peer, so ICE must not give up when the list is at its end.
    return not line.startswith(("a=end-of-candidates", "a=remote-candidates"))


def _may_try(line: str, candidates: CandidateFilter) -> bool:
    parts = line.split()
    if len(parts) < 8 or parts[1] != "1" or parts[2].lower() != "udp" or not parts[5].isdecimal():
        return False
    return candidates.allows(parts[4], int(parts[5]))


def _bundle(offer: Offer) -> Iterable[str]:
    """The head with the rejected m-lines taken out of the group (RFC 9143 section 7.3.3)."""
    mids = {section.mid for section in offer.sections if section.accepted}
    grouped = False
    for line in offer.head:
        if line.startswith("a=group:BUNDLE"):
            if grouped:
                continue
            grouped = True
            kept = [mid for mid in line.split()[1:] if mid in mids]
            if kept:
                yield " ".join(["a=group:BUNDLE", *kept])
        else:
            yield line


def finish_answer(answer: str, offer: Offer, public_ip: str, max_message: int) -> str:
    """aiortc's answer with the rejected m-lines, the parameters of Opus, and the address clients see."""
    lines = [line for line in answer.replace("\r\n", "\n").split("\n") if line]
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    ends = [*starts[1:], len(lines)]
    ready = [lines[start:end] for start, end in zip(starts, ends, strict=True)]
    out = [*_grouped(lines[: starts[0]], offer)]
    transport = [line for line in ready[0] if line.startswith(_TRANSPORT)]
    answered = iter(ready)
    for section in offer.sections:
        if section.accepted:
            out += _finish_section(next(answered), public_ip, max_message)
        else:
            out += _rejection(section, transport)
    return "\r\n".join(out) + "\r\n"


def _rejection(section: Section, transport: Iterable[str]) -> list[str]:
    """Port zero rejects (RFC 8829 section 5.3.1).

    aiortc as the one who offers reads codecs and transport of a rejected m-line as if it were in use, so it is
    given those of the bundle, which no other client looks at.
    """
    lines = [
        f"m={section.kind} 0 {section.protocol} {' '.join(section.formats)}",
        "c=IN IP4 0.0.0.0",
        "a=inactive",
    ]
    if section.mid:
        lines.append(f"a=mid:{section.mid}")
    if section.kind in {"audio", "video"} and "RTP" in section.protocol:
        lines += ["a=rtcp-mux", *(line for line in section.lines if line.startswith(_CODECS))]
    return [*lines, *transport]


def _grouped(head: Iterable[str], offer: Offer) -> Iterator[str]:
    """The head with the rejected m-lines of the offer's bundle behind the others in the group.

    RFC 9143 section 7.3.3 leaves them out; aiortc then waits for a second transport that never comes. Browsers take
    either: a rejected m-line that is not the first of its group changes nothing for them.
    """
    bundled = {mid for line in offer.head if line.startswith("a=group:BUNDLE") for mid in line.split()[1:]}
    rejected = [section.mid for section in offer.sections if not section.accepted and section.mid in bundled]
    for line in head:
        yield " ".join([line, *rejected]) if line.startswith("a=group:BUNDLE") else line


def _finish_section(lines: list[str], public_ip: str, max_message: int) -> list[str]:
    out = []
    for line in lines:
        if line.startswith("a=rtpmap:") and "opus/" in line.lower():
            payload_type = line[len("a=rtpmap:") :].split()[0]
            out.append(line)
            # RFC 7587 section 6.1: frames down to 10 ms and in-band FEC are welcome, stereo is not.
            out.append(f"a=fmtp:{payload_type} minptime=10;useinbandfec=1;stereo=0")
            continue
        if line.startswith("a=fmtp:"):
            continue
        if line.startswith("a=max-message-size:"):
            line = f"a=max-message-size:{max_message}"
        elif public_ip and line.startswith("a=candidate:"):
            line = _public(line, public_ip)
        elif public_ip and line.startswith("c=IN IP4") and ":" not in public_ip:
            line = f"c=IN IP4 {public_ip}"
        out.append(line)
    return out


def _public(line: str, public_ip: str) -> str:
    """A host candidate behind one-to-one NAT, as clients reach it."""
    parts = line.split(" ")
    same_family = (":" in parts[4]) == (":" in public_ip)
    if parts[7] == "host" and same_family and not ip_address(parts[4]).is_loopback:
        parts[4] = public_ip
    return " ".join(parts)
