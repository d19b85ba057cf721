"""Puts the RTP packets of one audio stream in order. Sans-IO: packets and time in, what is to be played out.

Packets that follow each other are handed on at once; there is no playout clock, because those who listen in
real time buffer for themselves and a recognizer wants sound as soon as it is there. Only behind a gap is
there a wait: for the time in which the missing packet, judged by its time stamp, can still come, which is
two packets or the jitter that was seen. What does not come by then is lost: up to 100 ms are concealed, the
rest is time that passed.

Samples and time stamps are of the 48 kHz clock (RFC 7587 section 4.1), times are seconds of any monotonic
clock.

Duties of the caller: ``push()`` each packet, ``pull()`` at ``deadline`` where there is one, ``idle()`` at
least every 100 ms; play what they return in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CLOCK_RATE = 48_000  # Hz
WAIT_MIN = 0.040  # s behind a gap: two packets
WAIT_MAX = 0.300  # s, however jittery the network
WAIT_BURST = 0.010  # s after a burst arrived that is itself late: only its own order can still be mended
MAX_CONCEALED = CLOCK_RATE // 10  # samples: a longer gap sounds worse invented than silent
MAX_JUMP = 2 * CLOCK_RATE  # samples of time stamp: more is a discontinuity, not a gap
MAX_HELD = 64  # packets behind a gap
IDLE_AFTER = 0.240  # s without a packet before silence is reported: longer than a burst of 200 ms
IDLE_STEP = 0.080  # s of unreported silence that are worth a report
MAX_DROPOUT = 3_000  # packets, RFC 3550 appendix A.1
MAX_MISORDER = 100  # packets, RFC 3550 appendix A.1

_CREEP = 0.0005  # the shortest transit may drift by this share: clocks differ by 200 ppm at most
_MARGIN = 0.020  # s on top of the jitter seen

_FALL = 0.002  # a packet
_SEEN_MASK = (1 << MAX_MISORDER) - 1


@dataclass(frozen=True, slots=True)
class Play:
    """Decode this payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """``samples`` are missing. ``following`` is the payload after them, which may hold a copy of the last
    one."""

    samples: int
    following: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """``samples`` passed without sound."""

    samples: int


type Event = Play | Lost | Gap

_NOTHING: tuple[Event, ...] = ()


@dataclass(slots=True)
class JitterStats:
    received: int = 0
    lost: int = 0
    """Packets that were given up."""
    late: int = 0
    """Packets that came after they were given up."""
    duplicate: int = 0
    jitter: float = 0.0
    """Seconds by which packets came later than the fastest, as a slowly falling maximum."""


class JitterBuffer:
    def __init__(self) -> None:
        self.stats = JitterStats()
        self.deadline: float | None = None
        self._started = False
        self._next_seq = 0
        self._next_ts = 0
        self._duration = CLOCK_RATE // 50
        self._held: dict[int, tuple[int, int, bytes, float]] = {}
        self._seen = 0
        """Bit n: packet ``_next_seq - 1 - n`` came."""
        self._base = 0.0
        self._last_arrival = 0.0
        self._restart_seq: int | None = None
        self._ahead = 0
        """Samples of silence that were reported before their time stamps said so."""
        self._idle_from = 0.0
        self._unreported = 0.0

    def push(self, seq: int, timestamp: int, duration: int, payload: bytes, now: float) -> Sequence[Event]:
        """A packet came: 16-bit sequence number, 32-bit time stamp, its samples."""
        stats = self.stats
        stats.received += 1
        if not self._started:
            self._start(seq, timestamp, now)
        delta = (seq - self._next_seq + 0x8000 & 0xFFFF) - 0x8000
        if not -MAX_MISORDER <= delta <= MAX_DROPOUT:
            return self._stray(seq, timestamp, duration, payload, now)
        self._restart_seq = None
        index = self._next_seq + delta
        ts = self._next_ts + ((timestamp - self._next_ts + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000)
        lateness = self._lateness(ts, now)
        if lateness > stats.jitter:
            stats.jitter = lateness
        else:
            stats.jitter -= stats.jitter * _FALL
        if delta < 0:
            if self._seen >> (-delta - 1) & 1:
                stats.duplicate += 1
            else:
                stats.late += 1
                self._seen |= 1 << (-delta - 1)
            return _NOTHING
        self._unreported = now - self._idle_from
        self._last_arrival = self._idle_from = now
        if delta == 0 and not self._held:
            # In order, the common case.
            gap = self._step(index, ts, duration)
            return (gap, Play(payload)) if gap is not None else (Play(payload),)
        if index in self._held:
            stats.duplicate += 1
            return _NOTHING
        self._held[index] = (ts, duration, payload, now)
        return self.pull(now)

    def pull(self, now: float) -> Sequence[Event]:
        """What can be played now: everything in order, and whatever waits behind a gap that is given up."""
        out: list[Event] = []
        held = self._held
        self.deadline = None
        while held:
            entry = held.pop(self._next_seq, None)
            if entry is None:
                first = min(held)
                deadline = self._give_up_at(held[first][3])
                if now < deadline and len(held) < MAX_HELD:
                    self.deadline = deadline
                    break
                self._lose(first, out)
                continue
            ts, duration, payload, _ = entry
            gap = self._step(self._next_seq, ts, duration)
            if gap is not None:
                out.append(gap)
            out.append(Play(payload))
        return out

    def idle(self, now: float) -> Sequence[Event]:
        """Report silence while nothing comes; time stamps that come later are held against it."""
        if not self._started:
            return _NOTHING
        if now - self._last_arrival < IDLE_AFTER or now - self._idle_from < IDLE_STEP or self._held:
            return _NOTHING
        samples = int((now - self._idle_from) * CLOCK_RATE)
        self._idle_from = now
        self._ahead += samples
        return (Gap(samples),)

    def _start(self, seq: int, timestamp: int, now: float) -> None:
        self._started = True
        self._next_seq, self._next_ts = seq, timestamp
        self._seen = 0
        self._base = now - timestamp / CLOCK_RATE
        self._last_arrival = self._idle_from = now

    def _lateness(self, ts: int, now: float) -> float:
        """Seconds by which a packet came later than the fastest one would have."""
        transit = now - ts / CLOCK_RATE
        creep = max(0.0, now - self._last_arrival) * _CREEP
        if abs(transit - self._base) > MAX_JUMP / CLOCK_RATE:
            self._base = transit  # another time line; a discontinuity deals with it
        self._base = min(self._base + creep, transit)
        return transit - self._base

    def _give_up_at(self, arrival: float) -> float:
        """When the next packet, missing while one behind it came at ``arrival``, is lost."""
        wait = min(WAIT_MAX, max(WAIT_MIN, self.stats.jitter + _MARGIN))
        expected = self._base + self._next_ts / CLOCK_RATE
        return max(arrival + WAIT_BURST, min(expected, arrival) + wait)

    def _step(self, index: int, ts: int, duration: int) -> Gap | None:
        """Packet ``index`` is next: move on behind it. A jump of its time stamp is time without sound."""
        jump = ts - self._next_ts
        self._next_seq = index + 1
        self._next_ts = ts + duration
        self._duration = duration
        self._seen = (self._seen << 1 | 1) & _SEEN_MASK
        if not jump:
            return None
        if -MAX_JUMP <= jump <= MAX_JUMP:
            return self._gap(jump)
        # Such a time stamp says nothing about time; the clock does.
        self._ahead = 0
        return self._gap(int(self._unreported * CLOCK_RATE) - duration)

    def _gap(self, samples: int) -> Gap | None:
        samples -= self._take_ahead(samples)
        return Gap(samples) if samples > 0 else None

    def _take_ahead(self, samples: int) -> int:
        """How many of ``samples`` were reported as silence before they were known to be missing."""
        taken = max(0, min(samples, self._ahead))
        self._ahead -= taken
        return taken

    def _lose(self, first: int, out: list[Event]) -> None:
        """Give up everything before packet ``first``, which comes next."""
        ts, _, payload, _ = self._held[first]
        missing = first - self._next_seq
        samples = ts - self._next_ts
        if 0 < samples <= MAX_JUMP:
            self._next_ts = ts
        else:
            samples = min(missing * self._duration, MAX_CONCEALED)
        samples -= self._take_ahead(samples)
        concealed = min(samples, MAX_CONCEALED)
        if concealed > 0:
            out.append(Lost(concealed, payload if concealed == samples else b""))
        if samples > concealed:
            out.append(Gap(samples - concealed))
        self.stats.lost += missing
        self._seen = self._seen << missing & _SEEN_MASK
        self._next_seq = first

    def _stray(self, seq: int, timestamp: int, duration: int, payload: bytes, now: float) -> Sequence[Event]:
        """A number far away: two in a row are a sender that started anew (RFC 3550 appendix A.1)."""
        if self._restart_seq != seq:
            self._restart_seq = seq + 1 & 0xFFFF
            return _NOTHING
        self._restart_seq = None
        out: list[Event] = [Play(self._held[index][2]) for index in sorted(self._held)]
        self._held.clear()
        self.deadline = None
        self._ahead = 0
        gap = self._gap(int((now - self._idle_from) * CLOCK_RATE) - duration)
        if gap is not None:
            out.append(gap)
        self._start(seq, timestamp, now)
        self._step(self._next_seq, timestamp, duration)
        out.append(Play(payload))
        return out
