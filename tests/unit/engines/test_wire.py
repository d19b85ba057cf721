"""Messages as bytes: what goes in comes out, and nothing else gets through."""

from __future__ import annotations

import dataclasses
import json
import struct
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from media_server.engines import wire
from media_server.engines.base import (
    Capabilities,
    EngineSpec,
    Hypothesis,
    Pair,
    Recognition,
    RecognizeRequest,
    Segment,
    SpeakRequest,
    Speech,
    TranslateRequest,
    Translation,
    Turn,
    TurnRequest,
)
from media_server.engines.messages import (
    Answer,
    Cancel,
    Done,
    Failed,
    Message,
    Next,
    Piece,
    Ping,
    Pong,
    Ready,
    Start,
    Unable,
    Work,
)

ids = st.integers(0, 2**63)
words = st.text(st.characters(codec=None, categories=None), max_size=40)  # lone surrogates, too
numbers = st.floats(allow_nan=False, allow_infinity=False)
pcm = arrays.arrays(np.int16, st.integers(0, 200))
texts = st.lists(words, max_size=3).map(tuple)
segments = st.lists(st.builds(Segment, words, numbers, numbers), max_size=3).map(tuple)
hypotheses = st.builds(Hypothesis, words, segments, numbers, numbers)
pairs = st.lists(st.builds(Pair, words, words, st.integers(0, 100)), max_size=3).map(tuple)
outputs = st.lists(st.sampled_from(["transcript", "english"]), max_size=2).map(tuple)
requests = st.one_of(
    st.builds(RecognizeRequest, pcm, st.none() | words, outputs, st.booleans(), st.booleans(), texts, words),
    st.builds(TurnRequest, pcm),
    st.builds(TranslateRequest, texts, words, words),
    st.builds(SpeakRequest, words, words, numbers),
)
results = st.one_of(
    st.builds(Recognition, hypotheses, words, numbers, english=st.none() | hypotheses, took_s=numbers),
    st.builds(Turn, numbers),
    st.builds(Translation, texts),
)
capabilities = st.builds(
    Capabilities,
    st.sampled_from(["recognize", "turn", "translate", "speak"]),
    words,
    languages=texts,
    pairs=pairs,
    off_machine=st.none() | words,
    batch=st.integers(1, 16),
)
specs = st.builds(
    EngineSpec,
    st.sampled_from(["recognize", "turn", "translate", "speak"]),
    words,
    words,
    st.dictionaries(words, st.none() | st.booleans() | st.integers() | numbers | words, max_size=4),
    languages=texts,
    pairs=pairs,
)
messages = st.one_of(
    st.builds(Start, specs),
    st.lists(st.tuples(ids, requests), max_size=3).map(
        lambda work: Work(tuple(id for id, _ in work), tuple(request for _, request in work))
    ),
    st.builds(Next, ids),
    st.builds(Cancel, ids),
    st.builds(Ping, ids),
    st.builds(Pong, ids, numbers),
    st.builds(Ready, capabilities),
    st.builds(Unable, words),
    st.builds(Answer, ids, results),
    st.builds(Piece, ids, st.builds(Speech, pcm, words, words)),
    st.builds(Done, ids),
    st.builds(Failed, ids, words),
)


def same(left: Any, right: Any) -> bool:
    """Equality that looks into arrays."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if dataclasses.is_dataclass(left):
        names = [field.name for field in dataclasses.fields(left)]
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, str) and isinstance(
        right, str
    ):  # the halves of a surrogate pair come back as the character they stand for
        return left.encode("utf-16", "surrogatepass") == right.encode("utf-16", "surrogatepass")
    return bool(left == right)


def frame(header: Any, body: bytes = b"", magic: bytes = b"MVL1") -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<4sII", magic, len(data), len(body)) + data + body


@given(st.lists(messages, max_size=4), st.data())
def test_messages_come_back_however_the_stream_is_cut(sent: list[Message], data: st.DataObject) -> None:
    stream = b"".join(map(wire.encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = wire.Decoder()
    got: list[Message] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += decoder.feed(stream[begin:end])
    assert len(got) == len(sent)
    assert all(map(same, sent, got))


@given(messages, st.data())
def test_a_truncated_message_is_waited_for(message: Message, data: st.DataObject) -> None:
    encoded = wire.encode(message)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    decoder = wire.Decoder()
    assert decoder.feed(encoded[:cut]) == []
    assert len(decoder.feed(encoded[cut:])) == 1


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for(data: bytes) -> None:
    try:
        assert wire.Decoder().feed(data) == []
    except wire.WireError:
        pass


@settings(max_examples=200)
@given(messages, st.data())
def test_a_damaged_message_gives_a_message_or_an_error_and_never_another_exception(
    message: Message, data: st.DataObject
) -> None:
    damaged = bytearray(wire.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        wire.Decoder().feed(bytes(damaged))
    except wire.WireError:
        pass


@pytest.mark.parametrize(
    "data",
    [
        frame({"type": "Ping", "value": {"number": 1}}, magic=b"MVL2"),
        frame(b"not json"),
        frame(b"[" * 100_000),
        frame([]),
        frame({"type": "Ping"}),
        frame({"type": "Nothing", "value": {}}),
        frame({"type": "Ping", "value": {"number": "1"}}),
        frame({"type": "Ping", "value": {"number": True}}),
        frame({"type": "Ping", "value": {"number": 1, "more": 2}}),
        frame({"type": "Pong", "value": {"number": 1, "cpu_s": float("nan")}}),
        frame({"type": "Pong", "value": {"number": 1, "cpu_s": 10**400}}),
        frame({"type": "Ping", "value": {"number": 1}}, b"more"),
        frame({"type": "Piece", "value": {"id": 1, "speech": {"pcm": 3, "text": "", "voice": ""}}}, b"1234"),
        frame({"type": "Piece", "value": {"id": 1, "speech": {"pcm": -1, "text": "", "voice": ""}}}, b"1234"),
        struct.pack("<4sII", b"MVL1", wire.MAX_HEADER_BYTES + 1, 0),
        struct.pack("<4sII", b"MVL1", 2, wire.MAX_BODY_BYTES + 1),
        b"Traceback",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(data)


@pytest.mark.parametrize(
    "message",
    [
        Answer(1, Turn(float("nan"))),
        Answer(1, Turn(cast(Any, "0.5"))),
        Answer(1, Translation(cast(Any, ["a list"]))),
        Answer(1, cast(Any, None)),
        Answer(1, cast(Any, Speech(np.zeros(1, np.int16)))),
        Piece(1, Speech(cast(Any, np.zeros(4, np.float32)))),
        Piece(1, Speech(cast(Any, np.zeros((2, 2), np.int16)))),
        Ready(Capabilities(cast(Any, "sing"), "x")),
        Work((1,), (RecognizeRequest(np.zeros(2, np.int16), outputs=cast(Any, ("french",))),)),
        Failed(1, "x" * (wire.MAX_HEADER_BYTES + 1)),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_not_sent(message: Message) -> None:
    with pytest.raises(wire.WireError):
        wire.encode(message)


def test_numbers_of_numpy_are_numbers() -> None:
    (message,) = wire.Decoder().feed(wire.encode(Answer(1, Turn(cast(Any, np.float32(0.5))))))
    assert message == Answer(1, Turn(0.5))


def test_an_array_with_strides_arrives_as_it_was() -> None:
    strided = np.arange(20, dtype=np.int16)[::3]
    (message,) = wire.Decoder().feed(wire.encode(Piece(1, Speech(strided))))
    assert isinstance(message, Piece)
    assert message.speech.pcm.tolist() == strided.tolist()


def test_the_error_never_quotes_the_value() -> None:
    with pytest.raises(wire.WireError) as caught:
        wire.encode(Answer(1, Translation(cast(Any, "secret words"))))
    assert "secret" not in str(caught.value)
