"""What counts as late and as lost in the sound that came back."""

from __future__ import annotations

from benchmarks.gathering import PersonLog
from benchmarks.overload import partial_gaps_s, sound_of


def packets(count: int, first_stamp: int = 0, first_number: int = 0) -> list[tuple[float, int, int]]:
    return [
        (100.0 + n * 0.02, (first_stamp + n * 960) % 2**32, (first_number + n) % 2**16) for n in range(count)
    ]


def test_sound_in_time_is_neither_late_nor_lost_over_both_wraps() -> None:
    sound = sound_of(packets(100, first_stamp=2**32 - 9_600, first_number=2**16 - 5))
    assert (sound.packets, sound.late, sound.missing, sound.frames) == (100, 0, 0, 100)


def test_a_packet_after_its_time_is_late() -> None:
    sound = sound_of(
        [(at + (0.05 if number == 7 else 0.0), stamp, number) for at, stamp, number in packets(20)]
    )
    assert (sound.late, sound.missing) == (1, 0)


def test_a_number_that_does_not_come_is_missing_and_its_time_counts() -> None:
    sound = sound_of([packet for packet in packets(20) if packet[2] not in (3, 4)])
    assert (sound.packets, sound.missing, sound.frames) == (18, 2, 20)


def test_silence_that_is_not_sent_is_time_and_no_loss() -> None:
    quiet = [packet for packet in packets(20) if not 5 <= packet[2] < 10]
    sound = sound_of([(at, stamp, n) for n, (at, stamp, _) in enumerate(quiet)])
    assert (sound.packets, sound.missing, sound.frames, sound.late) == (15, 0, 20, 0)


def test_reordered_packets_are_not_lost() -> None:
    sound = packets(10)
    sound[3], sound[4] = (sound[3][0], *sound[4][1:]), (sound[4][0], *sound[3][1:])
    assert (sound_of(sound).missing, sound_of(sound).late) == (0, 0)


def test_time_between_partials_is_of_one_utterance() -> None:
    log = PersonLog()
    log.call.messages = [
        (1.0, {"type": "partial", "id": "a"}),
        (1.5, {"type": "partial", "id": "a"}),
        (1.6, {"type": "final", "id": "a"}),
        (4.0, {"type": "partial", "id": "b"}),
        (4.75, {"type": "partial", "id": "b"}),
    ]
    assert partial_gaps_s(log) == [0.5, 0.75]
