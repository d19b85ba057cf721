"""The receive path of one microphone: RTP payloads in, frames of 20 ms out, decoded inline.

There is no thread, no task and no queue between the socket and ``on_audio``. Whoever reads the socket calls
``packet()``; a timer, set only behind a gap, and ``tick()`` do the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from media_server.audio import opus
from media_server.audio.frames import RATE, Framer, Pcm
from media_server.clock import Clock, monotonic
from media_server.rtc.jitter import Event, Gap, JitterBuffer, JitterStats, Lost, Play

logger = logging.getLogger(__name__)

SSRC_SILENT_S = 0.5  # a stream that was heard more recently keeps the microphone
STALL_S = 0.1  # between two ticks: this process did not run
MAX_PATIENCE_S = 1.0
WATCHDOG_FAILURES = 100  # payloads in a row that do not decode (2 s): the decoder is replaced

Count = Callable[[str], None]


class InboundAudio:
    """``on_audio`` gets frames of 960 samples (int16 mono, 48 kHz), ``on_gap`` milliseconds that had no
    sound.

    ``count_frames`` is told how each packet's sound was made: played, recovered (from in-band FEC),
    concealed or garbage; ``count_drop`` why a packet was refused.
    """

    def __init__(
        self,
        on_audio: Callable[[Pcm], None],
        on_gap: Callable[[int], None],
        count_frames: Count,
        count_drop: Count,
        clock: Clock = monotonic,
    ) -> None:
        self._on_audio, self._on_gap = on_audio, on_gap
        self._count_frames, self._count_drop = count_frames, count_drop
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._decoder = opus.new_decoder()
        self._framer = Framer()
        self._jitter = JitterBuffer()
        self._ssrc: int | None = None
        self._heard = 0.0
        self._frame_samples = RATE // 50
        self._failures = 0
        self._gap_rest = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._ticked = clock()
        self._patient_until = 0.0
        self.recovered = 0
        self.concealed = 0
        self.frames = 0

    @property
    def stats(self) -> JitterStats:
        return self._jitter.stats

    @property
    def last_packet(self) -> float:
        """When a packet of the microphone last came, by the clock; 0.0 before the first."""
        return self._heard

    def packet(self, ssrc: int, seq: int, timestamp: int, payload: bytes, now: float) -> None:
        """An authenticated RTP packet of the negotiated Opus payload type."""
        if self._closed:
            return
        if ssrc != self._ssrc and not self._take_over(ssrc, now):
            self._count_drop("second_source")
            return
        try:
            duration = opus.packet_samples(payload)
        except opus.OpusError:
            self._count_drop("payload")
            return
        self._heard = now
        jitter = self._jitter
        events = jitter.push(seq, timestamp, duration, payload, now)
        if events:
            self._run(events)
        if jitter.deadline is not None or self._timer is not None:
            self._arm(now)

    def tick(self) -> None:
        """Called every 20 ms, so that silence is time, too.

        When this process stood still, packets wait in the socket: for as long again, nothing is called
        silence.
        """
        now = self._clock()
        stood_still = now - self._ticked
        self._ticked = now
        if stood_still > STALL_S:
            self._patient_until = now + min(stood_still, MAX_PATIENCE_S)
        if self._closed or now < self._patient_until:
            return
        if events := self._jitter.idle(now):
            self._run(events)

    def close(self) -> None:
        """No callback comes after this. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take_over(self, ssrc: int, now: float) -> bool:
        if self._ssrc is not None and now - self._heard < SSRC_SILENT_S:
            return False
        if self._ssrc is not None:
            self._jitter = JitterBuffer()
            self._decoder.reset()
        self._ssrc = ssrc
        return True

    def _arm(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._jitter.deadline is not None:
            self._timer = self._loop.call_later(max(0.0, self._jitter.deadline - now), self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        now = self._clock()
        self._run(self._jitter.pull(now))
        self._arm(now)

    def _run(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Play):
                self._play(event.payload)
            elif isinstance(event, Lost):
                self._lost(event)
            else:
                self._gap(event)

    def _play(self, payload: bytes) -> None:
        try:
            pcm = self._decoder.decode(payload)
        except opus.OpusError:
            self._garbage(payload)
            return
        self._failures = 0
        self._frame_samples = len(pcm) or self._frame_samples
        self._count_frames("played")
        self._emit(pcm)

    def _garbage(self, payload: bytes) -> None:
        self._failures += 1
        if self._failures >= WATCHDOG_FAILURES:
            self._failures = 0
            self._decoder = opus.new_decoder()
            logger.warning("an Opus decoder was replaced: nothing decoded for %d packets", WATCHDOG_FAILURES)
        self._count_frames("garbage")
        self._conceal(opus.packet_samples(payload))

    def _lost(self, event: Lost) -> None:
        """Conceal packet by packet; the last one comes out of the packet behind it where that holds a
        copy."""
        left = event.samples
        size = self._frame_samples
        recover = bool(event.following) and self._decoder.conceals and opus.has_fec(event.following)
        while left > 0:
            piece = min(size, left)
            if recover and left <= size:
                try:
                    pcm = self._decoder.decode_fec(event.following, piece)
                except opus.OpusError:
                    self._conceal(piece)
                else:
                    self.recovered += 1
                    self._count_frames("recovered")
                    self._emit(pcm)
            else:
                self._conceal(piece)
            left -= piece

    def _conceal(self, samples: int) -> None:
        self.concealed += 1
        self._count_frames("concealed")
        whole = samples // 120 * 120  # libopus conceals multiples of 2.5 ms
        if whole:
            try:
                self._emit(self._decoder.conceal(whole))
            except opus.OpusError:
                self._gap(Gap(whole))

    def _gap(self, event: Gap) -> None:
        rest = self._framer.flush()
        if rest is not None:
            self._deliver(rest)
        self._gap_rest += event.samples
        milliseconds, self._gap_rest = divmod(self._gap_rest, RATE // 1000)
        if milliseconds and not self._closed:
            self._on_gap(milliseconds)

    def _emit(self, pcm: Pcm) -> None:
        for frame in self._framer.push(pcm):
            self._deliver(frame)

    def _deliver(self, frame: Pcm) -> None:
        if not self._closed:
            self.frames += 1
            self._on_audio(frame)
