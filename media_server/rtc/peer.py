"""One WebRTC peer: a microphone in, the interpretation out, text both ways, and an end that always comes."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from media_server.clock import monotonic
from media_server.engines.base import Pcm
from media_server.errors import BadRequest, Overloaded, PeerError, TooManyRequests
from media_server.metrics import Metrics
from media_server.rtc import hardening
from media_server.rtc.captions import MAX_TEXT, Captions
from media_server.rtc.hardening import AudioReceiver, AudioSender, IceConnection
from media_server.rtc.inbound import InboundAudio
from media_server.rtc.outbound import SpeechTrack
from media_server.rtc.pacer import STEP, shared_pacer
from media_server.rtc.sdp import Direction, Offer, finish_answer, read_offer
from media_server.rtc.settings import RtcConfig

__all__ = ["Peer", "PeerHandler", "PeerStats", "RtcConfig"]

logger = logging.getLogger(__name__)

TICK = 2 * STEP  # s: silence is noticed in steps of this
PROBE = 0.4  # s between checks of a peer that said goodbye


class PeerHandler(Protocol):
    """Called from the event loop, never concurrently, never after ``on_closed``."""

    def on_audio(self, pcm: Pcm) -> None:
        """int16 mono 48 kHz, 960 samples, in order, gaps of up to 100 ms concealed. A fresh array."""

    def on_gap(self, milliseconds: int) -> None:
        """Time that passed without sound. While nothing comes at all, every 100 ms, from 240 ms on."""

    def on_text(self, channel: str, text: str) -> None:
        """From a data channel: at most 16 KiB, at most 50 a second."""

    def on_channel_open(self, channel: str) -> None: ...

    def on_connected(self) -> None:
        """Once, as soon as sound and text can flow."""

    def on_played(self, pcm: Pcm, at_s: float) -> None:
        """A frame of 20 ms that was sent to the peer, and when (monotonic clock)."""

    def on_closed(self, reason: str) -> None:
        """Exactly once, whatever ended it."""


@dataclass(frozen=True, slots=True)
class PeerStats:
    state: str
    rtt_ms: float | None
    loss: float
    """Share of the microphone's packets that did not come in time, 0 to 1."""
    jitter_ms: float
    received: int
    """Packets of the microphone."""
    recovered: int
    concealed: int
    late: int
    sent: int
    """Packets to the peer."""
    remote_loss: float
    """Share of those that the peer misses, by its last report."""


class HalfOpen:
    """How many offers are on their way to "connected", together and per address."""

    def __init__(self) -> None:
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._by_address.total()

    def enter(self, address: str, config: RtcConfig) -> Callable[[], None]:
        """Raises where it is too many; else returns what must be called, once, when the offer is decided."""
        if self._by_address.total() >= config.max_half_open:
            raise Overloaded("too many calls are being set up", code="HALF_OPEN", retry_after_s=5)
        if address and self._by_address[address] >= config.max_half_open_per_address:
            raise TooManyRequests(
                "too many unfinished calls from this address", code="HALF_OPEN", retry_after_s=15
            )
        self._by_address[address] += 1

        inside = True

        def leave() -> None:
            nonlocal inside
            if inside:
                inside = False
                self._by_address[address] -= 1
                if not self._by_address[address]:
                    del self._by_address[address]

        return leave


_half_open: WeakKeyDictionary[asyncio.AbstractEventLoop, HalfOpen] = WeakKeyDictionary()


class Peer:
    """Made by ``accept``. ``close`` may be called at any time, from anywhere in the loop."""

    answer_sdp: str
    speech: SpeechTrack
    """Goes out on the microphone's m-line, else on the first that the peer listens to."""
    floor: SpeechTrack | None
    """A second track, where the peer offers one more m-line to listen to."""

    def __init__(
        self, pc: RTCPeerConnection, offer: Offer, handler: PeerHandler, config: RtcConfig, metrics: Metrics
    ) -> None:
        self._pc = pc
        self._offer = offer
        self._handler = handler
        self._config = config
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._drops: dict[str, Any] = {}
        self._frames: dict[str, Any] = {}
        self._closing: asyncio.Task[None] | None = None
        self._ended = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._leave: Callable[[], None] = lambda: None
        self._connections: list[IceConnection] = []
        self._sender: AudioSender | None = None
        self._receiver: AudioReceiver | None = None
        self.muted = False
        """Set by the handler when the page said so: silence is no sign of a lost microphone then."""
        self.speech = SpeechTrack(self._played)
        self.floor = None
        self._inbound = InboundAudio(self._audio, self._gap, self._count_frame, self._count)
        self._captions = Captions(
            self._channel_open,
            self._text,
            self._count,
            lambda: metrics.drops.labels("captions").inc(),
        )
        self._since = monotonic()

    @classmethod
    async def accept(
        cls, offer_sdp: str, handler: PeerHandler, config: RtcConfig, metrics: Metrics, *, address: str = ""
    ) -> Peer:
        """Answer an offer that came from ``address``. Raises PeerError with words for people."""
        loop = asyncio.get_running_loop()
        leave = _half_open.setdefault(loop, HalfOpen()).enter(address, config)
        try:
            offer = read_offer(offer_sdp, config.filter(address))
            pc = RTCPeerConnection(RTCConfiguration(iceServers=list(config.ice_servers)))
        except BaseException:
            leave()
            raise
        peer = cls(pc, offer, handler, config, metrics)
        peer._leave = leave
        try:
            await peer._negotiate(address)
        except BaseException as error:
            # No call came to be, so the handler is told by the exception only.
            peer._ended = True
            await peer._take_down()
            if isinstance(error, PeerError) or not isinstance(error, Exception):
                raise
            # aiortc raises seven kinds of exception from malformed descriptions.
            raise BadRequest(f"the offer cannot be used ({type(error).__name__})", code="BAD_SDP") from error
        return peer

    async def _negotiate(self, address: str) -> None:
        pc, config = self._pc, self._config
        pc.on("datachannel", self._captions.add)
        pc.on("connectionstatechange", self._state_changed)
        await pc.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
        self._connections = hardening.adopt(pc, config.policy(address), self._count)
        self._wire()
        await pc.setLocalDescription()
        self.answer_sdp = finish_answer(pc.localDescription.sdp, self._offer, config.public_ip, MAX_TEXT)
        if "a=candidate:" not in self.answer_sdp:
            raise Overloaded("this server has no network address to offer", code="NO_ADDRESS")
        shared_pacer().observe = self._metrics.audio_late.observe
        shared_pacer().add(self._tick)
        self._later("connect", config.connect_timeout_s, lambda: self._end("not connected in time"))

    def _wire(self) -> None:
        """Give each audio m-line its direction and its track."""
        microphone = self._offer.microphone
        spare: list[AudioSender] = []
        transceivers: list[Any] = self._pc.getTransceivers()
        for index, (section, transceiver) in enumerate(zip(self._offer.audio, transceivers, strict=True)):
            hears = section.direction in ("sendrecv", "recvonly")
            is_microphone = index == microphone
            transceiver.direction = _direction(sends=hears, receives=is_microphone)
            if is_microphone:
                self._receiver = transceiver.receiver
                transceiver.receiver.sink = self._inbound.packet
                transceiver.receiver.on_bye = self._said_goodbye
            if hears:
                spare.insert(0 if is_microphone else len(spare), transceiver.sender)
        if spare:
            self._sender = spare[0]
            spare[0].replaceTrack(self.speech)
            spare[0].on_loss = self.speech.report_loss
        if len(spare) > 1:
            self.floor = SpeechTrack()
            spare[1].replaceTrack(self.floor)
            spare[1].on_loss = self.floor.report_loss

    # Public

    @property
    def state(self) -> str:
        """ "connecting", "connected" or "closed"."""
        if self._ended or self._closing is not None:
            return "closed"
        return "connected" if self._pc.connectionState == "connected" else "connecting"

    def send_text(self, text: str, *, partial: bool | None = None) -> None:
        """To every open channel, at once or when there is room. Partial captions may be dropped, finals
        never.

        ``partial`` None: the JSON says it (its first key is ``type``).
        """
        if self._closing is None:
            self._captions.send(text, partial)

    def stats(self) -> PeerStats:
        jitter = self._inbound.stats
        received, _, wire_jitter = self._receiver.received() if self._receiver is not None else (0, 0, 0)
        expected = jitter.received + jitter.lost - jitter.late - jitter.duplicate
        sender = self._sender
        rtt = next((c.rtt for c in self._connections if c.rtt is not None), None)
        if rtt is None and sender is not None:
            rtt = sender.rtt
        return PeerStats(
            state=self.state,
            rtt_ms=None if rtt is None else round(rtt * 1000, 1),
            loss=jitter.lost / expected if expected > 0 else 0.0,
            jitter_ms=round(wire_jitter / 48, 1),
            received=received,
            recovered=self._inbound.recovered,
            concealed=self._inbound.concealed,
            late=jitter.late,
            sent=sender.sent()[0] if sender is not None else 0,
            remote_loss=sender.loss if sender is not None else 0.0,
        )

    async def close(self, reason: str) -> None:
        """End the call. Idempotent; returns when everything of it has ended, within a few seconds."""
        self._end(reason)
        assert self._closing is not None
        if asyncio.current_task() is not self._closing:
            await asyncio.shield(self._closing)

    # Inside

    def _end(self, reason: str) -> None:
        if self._closing is None:
            self._closing = self._loop.create_task(self._finish(reason), name="rtc.close")

    async def _finish(self, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._inbound.close()
            self._captions.close()
            try:
                self._handler.on_closed(reason)
            except Exception:  # the handler's fault must not keep sockets open
                logger.exception("a peer's handler failed at its end")
        await self._take_down()

    async def _take_down(self) -> None:
        self._leave()
        shared_pacer().remove(self._tick)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._inbound.close()
        self._captions.close()
        self.speech.stop()
        if self.floor is not None:
            self.floor.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await hardening.hard_close(self._pc)

    def _later(self, name: str, delay: float, call: Callable[[], None]) -> None:
        """(Re)start the timer of that name."""
        if (old := self._timers.pop(name, None)) is not None:
            old.cancel()
        self._timers[name] = self._loop.call_later(delay, call)

    def _state_changed(self) -> None:
        if self._ended:
            return
        state = self._pc.connectionState
        if state == "connected":
            self._leave()
            if (timer := self._timers.pop("connect", None)) is not None:
                timer.cancel()
            self._since = monotonic()
            self._connected()
            if self._offer.microphone is not None:
                self._later("media", self._config.media_timeout_s, self._check_media)
        elif state == "failed" or (state == "closed" and any(c.lost for c in self._connections)):
            self._end("connection lost")
        elif state == "closed":  # DTLS was shut down from the other side
            self._end("closed by peer")

    def _check_media(self) -> None:
        """A microphone that sends nothing for long is lost, unless it is muted."""
        last = max(self._inbound.last_packet, self._since)
        if self.muted:
            self._since = last = monotonic()
        left = last + self._config.media_timeout_s - monotonic()
        if left <= 0:
            self._end("no media")
        else:
            self._later("media", left, self._check_media)

    def _said_goodbye(self) -> None:
        """RTCP BYE: the microphone's stream ended. So did the call, unless the peer answers a check or
        talks on.

        A page that only takes its microphone away says goodbye, too.
        """
        if self._closing is None and not any(task.get_name() == "rtc.goodbye" for task in self._tasks):
            task = self._loop.create_task(self._probe(), name="rtc.goodbye")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _probe(self) -> None:
        until = monotonic() + self._config.bye_timeout_s
        while monotonic() < until:
            await asyncio.sleep(PROBE)
            for connection in self._connections:
                if await connection.ask():
                    return
        self._end("bye")

    def _tick(self, now: float) -> bool:
        self._inbound.tick()
        return self._closing is None

    def _audio(self, pcm: Pcm) -> None:
        try:
            self._handler.on_audio(pcm)
        except Exception:  # one frame is lost; the receive path of this peer goes on
            self._failed("a frame")

    def _gap(self, milliseconds: int) -> None:
        try:
            self._handler.on_gap(milliseconds)
        except Exception:  # as above; this may be called from the pacer of all peers
            self._failed("a gap")

    def _text(self, channel: str, text: str) -> None:
        try:
            self._handler.on_text(channel, text)
        except Exception:  # one message is lost; the channel goes on
            self._failed("a message")

    def _channel_open(self, channel: str) -> None:
        try:
            self._handler.on_channel_open(channel)
        except Exception:  # the channel stays open
            self._failed("a new channel")

    def _connected(self) -> None:
        try:
            self._handler.on_connected()
        except Exception:  # the call goes on
            self._failed("its connection")

    def _failed(self, on: str) -> None:
        self._count("handler")
        logger.exception("a peer's handler failed on %s", on)

    def _played(self, pcm: Pcm, at_s: float) -> None:
        self._handler.on_played(pcm, at_s)

    def _count(self, reason: str) -> None:
        counter = self._drops.get(reason)
        if counter is None:
            counter = self._drops[reason] = self._metrics.rtp_dropped.labels(reason)
        counter.inc()

    def _count_frame(self, how: str) -> None:
        counter = self._frames.get(how)
        if counter is None:
            counter = self._frames[how] = self._metrics.audio_frames.labels(how)
        counter.inc()


def _direction(*, sends: bool, receives: bool) -> Direction:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"
