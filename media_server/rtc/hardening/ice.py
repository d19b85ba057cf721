"""ICE of one call (RFC 8445): which sockets are opened, who is known, when the peer is gone, where it
moved."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from aioice import ice, stun
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, get_host_addresses, relayed_candidate
from aioice.ice import server_reflexive_candidate as reflexive_candidate
from aiortc import rtcicetransport

from media_server.clock import monotonic
from media_server.errors import Overloaded
from media_server.rtc.hardening.edge import EdgeProtocol

CONSENT_INTERVAL = 2.0  # s, +-20 %
CONSENT_FAILURES = 3  # answers missing in a row, with nothing else heard: 6 to 8 s
CONSENT_EXPIRY = 30.0  # s without an answer, whatever else is heard (RFC 7675 section 5.1)
GATHER_TIMEOUT = 3.0  # s for STUN and TURN servers
MOVED_AFTER = 0.8  # s of silence from the nominated address before another may take its place
RECEIVE_BUFFER = 212_992  # bytes: half a second of everything a call may send
MAX_ADDRESSES = 8  # of this machine: each is a socket a call
MAX_KNOWN = 16  # addresses of one peer
MAX_ERROR_ANSWERS = 100  # STUN error responses per call: nobody needs more of them, floods would

type Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class IcePolicy:
    """Where the sockets of calls are opened."""

    bind: tuple[str, ...] = ()
    """Local addresses to use; empty: every address of the machine but loopback."""
    loopback: bool = False
    """Use 127.0.0.1 in addition, for a page on the same machine."""
    port_min: int = 0
    port_max: int = 0
    """UDP ports, both included; 0: any."""

    def addresses(self, ipv4: bool, ipv6: bool) -> list[str]:
        found = list(self.bind) or get_host_addresses(use_ipv4=ipv4, use_ipv6=ipv6)
        if self.loopback or not found:
            found = ["127.0.0.1", *(address for address in found if address != "127.0.0.1")]
        return found[:MAX_ADDRESSES]


class PortRangeExhausted(Overloaded):
    """Every UDP port that may be used is taken."""


def open_socket(address: str, policy: IcePolicy) -> socket.socket:
    """A bound UDP socket. Raises PortRangeExhausted, or OSError where the address cannot be used at all."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if not policy.port_max:
            sock.bind((address, 0))
            return sock
        count = policy.port_max - policy.port_min + 1
        start = random.randrange(count)
        for offset in range(count):
            try:
                sock.bind((address, policy.port_min + (start + offset) % count))
                return sock
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
        raise PortRangeExhausted(
            f"no UDP port from {policy.port_min} to {policy.port_max} is free (RTC_PORT_MIN, RTC_PORT_MAX)",
            code="NO_PORT",
            retry_after_s=10,
        )
    except BaseException:
        sock.close()
        raise


_Stock: Any = ice.Connection
_StockTransport: Any = rtcicetransport.RTCIceTransport


class IceConnection(_Stock):  # type: ignore[misc]
    """aioice's connection, adopted: ``harden()`` must be called before it gathers."""

    known: dict[Address, float]
    policy: IcePolicy
    rtt: float | None
    """Seconds to the peer and back, smoothed."""
    lost: bool
    """The peer was given up because it did not answer."""

    def harden(self, policy: IcePolicy, media: Callable[[bytes], bool], count: Callable[[str], None]) -> None:
        """``media`` takes a datagram of RTP or RTCP and says whether it was the peer's; ``count`` a drop."""
        self.policy = policy
        self.media = media
        self.count = count
        self.known = {}
        self.rtt = None
        self.lost = False
        self.heard_at = monotonic()
        self._errors_left = MAX_ERROR_ANSWERS

    def queued(self) -> int:
        return int(self._queue.qsize())

    def heard(self, address: Address) -> None:
        """Something that only the peer can make came from ``address``."""
        now = monotonic()
        self.heard_at = now
        self.known[address] = now

    def _learn(self, address: Address) -> None:
        if address not in self.known and len(self.known) >= MAX_KNOWN:
            del self.known[min(self.known, key=self.known.__getitem__)]
        self.heard(address)

    # Gathering

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: float = GATHER_TIMEOUT
    ) -> list[Candidate]:
        """Sockets on the policy's addresses and ports instead of anywhere."""
        loop = asyncio.get_running_loop()
        candidates: list[Candidate] = []
        if addresses:  # empty where only relays may be used
            addresses = self.policy.addresses(self._use_ipv4, self._use_ipv6)
        exhausted: PortRangeExhausted | None = None
        for address in addresses:
            try:
                sock = open_socket(address, self.policy)
            except PortRangeExhausted as error:
                exhausted = error
                continue
            except OSError:
                continue  # an interface that went away
            _, protocol = await loop.create_datagram_endpoint(lambda: EdgeProtocol(self), sock=sock)
            host, port = sock.getsockname()[:2]
            protocol.local_candidate = Candidate(
                foundation=candidate_foundation("host", "udp", host),
                component=component,
                transport="udp",
                priority=candidate_priority(component, "host"),
                host=host,
                port=port,
                type="host",
            )
            self._protocols.append(protocol)
            candidates.append(protocol.local_candidate)
        if exhausted is not None and not candidates:
            raise exhausted
        return candidates + await self._ask_servers(component, timeout)

    async def _ask_servers(self, component: int, timeout: float) -> list[Candidate]:
        """Candidates by the STUN and TURN servers of the settings."""
        tasks: list[asyncio.Task[tuple[Candidate, Any]]] = []
        if self.stun_server:
            for protocol in self._protocols:
                if ip_address(protocol.local_candidate.host).version == 4:
                    asking = reflexive_candidate(protocol, self.stun_server)
                    tasks.append(asyncio.create_task(asking, name="ice.stun"))
        if self.turn_server:
            relaying = relayed_candidate(
                component=component,
                hide_related_address=True,
                protocol_factory=lambda: EdgeProtocol(self),
                turn_server=self.turn_server,
                turn_username=self.turn_username,
                turn_password=self.turn_password,
                turn_ssl=self.turn_ssl,
                turn_transport=self.turn_transport,
            )
            tasks.append(asyncio.create_task(relaying, name="ice.turn"))
        if not tasks:
            return []
        done, pending = await asyncio.wait(tasks, timeout=timeout)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        candidates = []
        for task in done:
            if task.exception() is None:
                candidate, relay = task.result()
                candidates.append(candidate)
                if relay is not None:
                    self._protocols.append(relay)
        return candidates

    # Who is the peer

    def request_received(self, message: Any, addr: Address, protocol: EdgeProtocol) -> None:
        if self._closing:
            return
        if not self._is_authentic(message):
            if self._errors_left > 0:
                self._errors_left -= 1
                super().request_received(message, addr, protocol)
            else:
                self.count("stun")
            return
        self._learn(addr)
        super().request_received(message, addr, protocol)
        self._follow(addr, protocol)

    def _is_authentic(self, message: Any) -> bool:
        attributes = message.attributes
        return bool(
            "USERNAME" in attributes
            and "MESSAGE-INTEGRITY" in attributes
            and self._valid_username(attributes["USERNAME"])
            and message.check_message_integrity(self.local_password.encode())
        )

    def check_complete(self, pair: CandidatePair) -> None:
        if pair.state == CandidatePair.State.SUCCEEDED:
            self._learn(pair.remote_addr)  # an ICE lite peer (RFC 8445 section 2.5) answers and never asks
        super().check_complete(pair)

    # Where the peer is

    def media_from_stranger(self, data: bytes, addr: Address, protocol: EdgeProtocol) -> None:
        """Media from an unknown address. Where the peer has fallen silent it may have moved: SRTP tells."""
        if not self._nominated or monotonic() - self.heard_at < MOVED_AFTER or not self.media(data):
            self.count("stranger")
            return
        self._learn(addr)
        self._follow(addr, protocol)

    def _follow(self, addr: Address, protocol: EdgeProtocol) -> None:
        """The peer was heard at ``addr``: when it is silent where it was, check this path and use it."""
        pair = self._nominated.get(1)
        if pair is None or (pair.protocol is protocol and pair.remote_addr == addr):
            return
        if monotonic() - self.known.get(pair.remote_addr, 0.0) < MOVED_AFTER:
            return
        moved = next(
            (p for p in self._check_list if p.protocol is protocol and p.remote_addr == addr), None
        ) or self._pair_with(addr, protocol)
        moved.remote_nominated = True
        if moved.state == CandidatePair.State.SUCCEEDED:
            moved.nominated = True
            self.check_complete(moved)
        elif moved.task is None:
            moved.state = CandidatePair.State.WAITING
            self.check_start_task(moved)

    def _pair_with(self, addr: Address, protocol: EdgeProtocol) -> CandidatePair:
        candidate = Candidate(
            foundation="moved",
            component=protocol.local_candidate.component,
            transport="udp",
            priority=candidate_priority(1, "prflx"),
            host=addr[0],
            port=addr[1],
            type="prflx",
        )
        self._remote_candidates.append(candidate)
        pair = CandidatePair(protocol, candidate)
        self._check_list.append(pair)
        return pair

    # Is the peer there

    async def query_consent(self) -> None:
        """Ask again and again (RFC 7675); end the connection when the peer is gone.

        Stock aioice gives up after half a minute. Here a peer from which nothing at all comes is gone after
        three missing answers; one that is still heard gets the RFC's 30 s.
        """
        failures = 0
        answered = monotonic()
        while True:
            await asyncio.sleep(CONSENT_INTERVAL * (0.8 + 0.4 * random.random()))
            asked = monotonic()
            if await self.ask():
                failures, answered = 0, monotonic()
                continue
            failures += 1
            silent = self.heard_at < asked - CONSENT_INTERVAL * CONSENT_FAILURES / 2
            if (failures >= CONSENT_FAILURES and silent) or monotonic() - answered > CONSENT_EXPIRY:
                self._query_consent_task = None
                self.lost = True
                await self.close()
                return

    async def ask(self) -> bool:
        """One check of the path in use; measures the round trip."""
        pair = self._nominated.get(1)
        if pair is None:
            return False
        asked = monotonic()
        try:
            await pair.protocol.request(
                self.build_request(pair, nominate=False),
                pair.remote_addr,
                integrity_key=self.remote_password.encode(),
                retransmissions=0,
            )
        except stun.TransactionError:
            return False
        took = monotonic() - asked
        self.rtt = took if self.rtt is None else 0.8 * self.rtt + 0.2 * took
        self.heard(pair.remote_addr)
        return True


class IceTransport(_StockTransport):  # type: ignore[misc]
    """aiortc's face of a connection, adopted."""

    async def start(self, parameters: Any) -> None:
        """Starting a closed transport does nothing; aiortc raises in a task that nobody looks after."""
        if self.state != "closed":
            await super().start(parameters)
