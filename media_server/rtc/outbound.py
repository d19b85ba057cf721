"""What a listener hears: the interpretation, and live sound beside it, as Opus packets on one RTP time line.

Nothing is sent while there is nothing to say; the time stamps go on counting (RFC 7587 section 3.1.3 calls
this discontinuous transmission). Inside a clip they step by 20 ms, whatever the event loop does.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet

from media_server.audio import levels, opus
from media_server.audio.frames import FRAME_SAMPLES, RATE, Pcm
from media_server.audio.mix import fade_out, mix
from media_server.clock import Clock, monotonic
from media_server.rtc.pacer import Pacer, shared_pacer

logger = logging.getLogger(__name__)

MAX_QUEUED_S = 60.0  # of interpretation; the oldest whole clip is dropped beyond
MAX_LIVE = 6  # frames of live sound that wait to be mixed; the oldest is dropped beyond
MAX_PULLED = 50  # packets that wait for a puller; the oldest is dropped beyond
SPURT_GAP = RATE // 2  # samples: live sound that comes later than this starts a new spurt
MAX_AHEAD = RATE // 8  # samples by which live sound may run ahead of time
FADE = RATE // 200  # samples, 5 ms
LOSS_HOLD = 0.5  # share of the loss estimate that is kept at each report

Push = Callable[[bytes, int, bool, int], bool]
Played = Callable[[Pcm, float], None]
_TIME_BASE = Fraction(1, RATE)


class _Clip:
    __slots__ = ("last", "name", "pieces", "samples", "started")

    def __init__(self, name: str) -> None:
        self.name = name
        self.pieces: deque[Pcm] = deque()
        self.samples = 0
        self.last = False
        self.started = False

    def take(self, count: int) -> Pcm:
        """``count`` samples off the front, filled up with silence where there are fewer."""
        out = np.zeros(count, np.int16)
        filled = 0
        while filled < count and self.pieces:
            piece = self.pieces[0]
            used = min(len(piece), count - filled)
            out[filled : filled + used] = piece[:used]
            filled += used
            if used == len(piece):
                self.pieces.popleft()
            else:
                self.pieces[0] = piece[used:]
        self.samples -= filled
        return out


class SpeechTrack(MediaStreamTrack):
    """Plays clips in order, each whole, and mixes live frames in. int16 mono at 48 kHz everywhere.

    Packets are pushed to the sender that is attached; ``recv()`` serves whoever pulls instead.
    ``on_played`` is told each frame that was sent, and when. Errors inside give silence and are counted;
    only the end of the track ends it.
    """

    kind = "audio"

    def __init__(
        self,
        on_played: Played | None = None,
        pacer: Pacer | None = None,
        clock: Clock = monotonic,
        encoder: opus.Encoder | None = None,
    ) -> None:
        super().__init__()
        self._on_played = on_played
        self._pacer = pacer if pacer is not None else shared_pacer()
        self._clock = clock
        self._encoder = encoder if encoder is not None else opus.new_encoder()
        self._origin = clock()
        self._clips: deque[_Clip] = deque()
        self._live: deque[Pcm] = deque(maxlen=MAX_LIVE)
        self._next = 0
        self._talking = False
        self._paused = False
        self._fade: Pcm | None = None
        self._push: Push | None = None
        self._pulled: deque[Packet[Any]] = deque(maxlen=MAX_PULLED)
        self._pulling: asyncio.Event | None = None
        self._loss = 0.0
        self.sent = 0
        self.failures = 0
        self.dropped_clips = 0

    # For those who make the sound

    def play(self, pcm: Pcm, *, clip: str, last: bool) -> None:
        """Append to clip ``clip``, which is played behind those before it; ``last`` ends it.

        A clip whose next piece is late pauses and goes on; its last frame is filled up with silence.
        """
        if self.readyState != "live":
            return
        current = next((c for c in self._clips if c.name == clip and not c.last), None)
        if current is None:
            current = _Clip(clip)
            self._clips.append(current)
        if len(pcm):
            current.pieces.append(pcm)
            current.samples += len(pcm)
        current.last = last
        self._bound()
        self._pacer.add(self._tick)

    def push_frame(self, pcm: Pcm) -> None:
        """A frame of 20 ms of live sound (loopback, floor): sent at once, or mixed into the clip that
        plays."""
        if self.readyState != "live":
            return
        if self._pacer_busy():
            self._live.append(pcm)
        elif pcm.any():
            self._send(pcm, self._clock(), live=True)
        elif self._talking:  # digital silence is nothing to say, but it takes its time
            self._next += FRAME_SAMPLES
            self._paused = True

    @property
    def queued_ms(self) -> int:
        """Interpretation that waits to be heard."""
        return sum(clip.samples for clip in self._clips) * 1000 // RATE

    def skip(self) -> int:
        """Drop all interpretation, what sounds now fading out within 5 ms. Returns the milliseconds
        dropped."""
        dropped = self.queued_ms
        if self._clips and self._clips[0].started and self._clips[0].samples:
            self._fade = fade_out(self._clips[0].take(FRAME_SAMPLES), FADE)
        self._clips.clear()
        return dropped

    def drop_clip(self, clip: str) -> None:
        """Forget a clip that has not begun to sound; one that sounds is played to its end."""
        self._clips = deque(c for c in self._clips if c.name != clip or c.started)

    def report_loss(self, share: float) -> None:
        """The listener reports loss: in-band FEC is on while there is any."""
        self._loss = max(share, self._loss * LOSS_HOLD)
        percent = round(self._loss * 100)
        self._encoder.set_packet_loss(min(30, percent))

    # For those who send it

    def attach(self, push: Push) -> None:
        self._push = push

    def detach(self) -> None:
        self._push = None

    async def recv(self) -> Packet[Any]:
        """The next packet, for senders that pull. Raises MediaStreamError at the end of the track."""
        if self._pulling is None:
            self._pulling = asyncio.Event()
        while not self._pulled:
            if self.readyState != "live":
                raise MediaStreamError
            self._pulling.clear()
            await self._pulling.wait()
        return self._pulled.popleft()

    def stop(self) -> None:
        super().stop()
        self._pacer.remove(self._tick)
        self._clips.clear()
        self._live.clear()
        self._push = None
        if self._pulling is not None:
            self._pulling.set()

    # Inside

    def _pacer_busy(self) -> bool:
        """Does the pacer send now? Live sound waits for it then."""
        if self._fade is not None:
            return True
        return bool(self._clips) and (self._clips[0].samples > 0 or self._clips[0].last)

    def _bound(self) -> None:
        while self.queued_ms > MAX_QUEUED_S * 1000 and len(self._clips) > 1:
            oldest = 1 if self._clips[0].started else 0
            if oldest >= len(self._clips) - 1:
                break
            del self._clips[oldest]
            self.dropped_clips += 1

    def _tick(self, now: float) -> bool:
        """A frame is due. False when there is none until the next ``play``."""
        frame = self._next_frame()
        if frame is not None:
            if self._live:
                frame = mix(frame, self._live.popleft())
            self._send(frame, now)
        elif self._live:
            while self._live:
                self._send(self._live.popleft(), now, live=True)
        else:
            self._talking = False
        return bool(self._clips) or self._fade is not None

    def _next_frame(self) -> Pcm | None:
        if self._fade is not None:
            frame, self._fade = self._fade, None
            return frame
        while self._clips:
            clip = self._clips[0]
            if clip.samples >= FRAME_SAMPLES or (clip.last and clip.samples):
                clip.started = True
                return clip.take(FRAME_SAMPLES)
            if not clip.last:
                return None  # its producer is late
            self._clips.popleft()
        return None

    def _stamp(self, now: float, live: bool) -> tuple[int, bool] | None:
        """Time stamp of the frame to send and whether it starts a spurt; None drops it.

        A clip goes on where it was, even when this process stood still: time is caught up with in the next
        pause. Live sound that comes much later than its time is a new spurt; what runs ahead of time is
        dropped.
        """
        real = int((now - self._origin) * RATE)
        if not self._talking or (live and real - self._next >= SPURT_GAP):
            return max(self._next, real), True
        if live and self._next - real > MAX_AHEAD:
            return None
        return self._next, self._paused

    def _send(self, pcm: Pcm, now: float, live: bool = False) -> None:
        if len(pcm) != FRAME_SAMPLES:
            self.failures += 1
            return
        stamp = self._stamp(now, live)
        if stamp is None:
            return
        timestamp, marker = stamp
        self._next = timestamp + FRAME_SAMPLES
        self._talking, self._paused = True, False
        try:
            payload = self._encoder.encode(pcm)
            if self._push is not None:
                self._push(payload, timestamp, marker, levels.dbov(pcm))
            elif self._pulling is not None:
                packet = Packet(payload)
                packet.pts = packet.dts = timestamp
                packet.time_base = _TIME_BASE
                self._pulled.append(packet)
                self._pulling.set()
            self.sent += 1
            if self._on_played is not None:
                self._on_played(pcm, now)
        except Exception:  # the listener gets silence for a frame; the track and the pacer go on
            self.failures += 1
            if self.failures == 1:
                logger.exception("a frame could not be sent; later failures are only counted")
