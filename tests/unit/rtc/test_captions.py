"""Data channel text within its bounds."""

from __future__ import annotations

from typing import Any

from pyee import EventEmitter

from media_server.rtc.captions import BUFFERED, MAX_TEXT, MAX_WAITING, Captions


class Channel(EventEmitter):
    """A data channel whose network can be stopped."""

    def __init__(self, label: str = "captions") -> None:
        super().__init__()
        self.label = label
        self.readyState = "open"
        self.bufferedAmount = 0
        self.bufferedAmountLowThreshold = 0
        self.sent: list[str] = []

    def send(self, text: str) -> None:
        self.sent.append(text)
        self.bufferedAmount += len(text.encode())

    def drain(self) -> None:
        self.bufferedAmount = 0
        self.emit("bufferedamountlow")

    def close(self) -> None:
        self.readyState = "closed"
        self.emit("close")


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.opened: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.dropped = 0
        self.captions = Captions(
            self.opened.append, self._text, self.refused.append, self._drop, lambda: self.now
        )

    def _text(self, channel: str, text: str) -> None:
        self.texts.append((channel, text))

    def _drop(self) -> None:
        self.dropped += 1

    def channel(self, label: str = "captions") -> Any:
        channel = Channel(label)
        self.captions.add(channel)
        return channel


def partial(n: int, size: int = 1_000) -> str:
    return f'{{"type":"partial","n":{n},"x":"{"x" * size}"}}'


def final(n: int, size: int = 1_000) -> str:
    return f'{{"type":"final","n":{n},"x":"{"x" * size}"}}'


def test_text_goes_to_every_open_channel() -> None:
    bench = Bench()
    first, second = bench.channel("a"), bench.channel("b")
    bench.captions.send("hello")
    second.close()
    bench.captions.send("again")
    assert first.sent == ["hello", "again"]
    assert second.sent == ["hello"]
    assert bench.opened == ["a", "b"]


def test_a_slow_channel_loses_its_oldest_partials_and_never_a_final() -> None:
    bench = Bench()
    channel = bench.channel()
    for n in range(300):
        bench.captions.send(partial(n))
        if n % 10 == 0:
            bench.captions.send(final(n))
    for _ in range(20):
        channel.drain()
    finals = [text for text in channel.sent if "final" in text]
    assert finals == [final(n) for n in range(0, 300, 10)]
    assert bench.dropped > 100
    assert partial(299) in channel.sent
    assert partial(150) not in channel.sent


def test_a_channel_that_takes_nothing_is_closed_before_it_eats_memory() -> None:
    bench = Bench()
    channel = bench.channel()
    for n in range(2 * MAX_WAITING // 10_000):
        bench.captions.send(final(n, 10_000))
    assert channel.readyState == "closed"
    assert sum(len(text) for text in channel.sent) < BUFFERED + 20_000


def test_ping_is_answered_and_not_passed_on() -> None:
    bench = Bench()
    channel = bench.channel()
    channel.emit("message", "ping 17")
    channel.emit("message", "hello")
    assert channel.sent == ["pong 17"]
    assert bench.texts == [("captions", "hello")]


def test_fifty_messages_a_second_are_taken_and_no_more() -> None:
    bench = Bench()
    channel = bench.channel()
    for _ in range(200):
        channel.emit("message", "x")
    assert len(bench.texts) == 50
    bench.now += 1.0
    for _ in range(200):
        channel.emit("message", "x")
    assert len(bench.texts) == 100
    assert bench.refused.count("message_rate") == 300


def test_binary_and_oversized_messages_are_refused() -> None:
    bench = Bench()
    channel = bench.channel()
    channel.emit("message", b"\x00\x01")
    channel.emit("message", "é" * (MAX_TEXT // 2 + 1))
    channel.emit("message", "é" * (MAX_TEXT // 2))
    assert len(bench.texts) == 1
    assert bench.refused == ["binary_message", "message_size"]


def test_nothing_is_passed_on_after_close() -> None:
    bench = Bench()
    channel = bench.channel()
    bench.captions.close()
    channel.emit("message", "late")
    bench.captions.send("late")
    assert bench.texts == []
    assert channel.sent == []
