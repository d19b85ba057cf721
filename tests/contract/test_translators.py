"""What every translator keeps to."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import pytest

from media_server.engines.base import TranslateRequest
from media_server.engines.host import EngineHost
from media_server.errors import EngineFailed
from tests.contract.conftest import of_kind

pytestmark = [pytest.mark.asyncio(loop_scope="module"), of_kind("translate")]

ODD = (
    "",
    " ",
    "\n",
    "...",
    "¿?",
    "\0",
    "a\0b",
    "[]",
    "[[hello]] {x} ^y$ <z> @w \\v /u *t #s ~r +q",
    "hello.[]",
    "hello [][\n] you",
    "\\",
    "]\n[",
    "^a/b<n>$",
    "😀",
    "👨‍👩‍👧 family",
    "\ud800 hello",
    "\x1b[31mred\x1b[0m",
    "नमस्ते hello 你好",
    "e\u0301te\u0301",
    "\u202ehello\u202c",
    "line one\nline two\r\nline three",
    "x" * 3000,
    "1,234.56 € & 50 % of $5",
    "a@b.example https://example.org/?q=1#top",
)


def first_pair(host: EngineHost) -> tuple[str, str]:
    assert host.capabilities is not None
    pairs = {(pair.source, pair.target) for pair in host.capabilities.pairs}
    return ("en", "es") if ("en", "es") in pairs else min(pairs)


async def translate(host: EngineHost, *texts: str) -> tuple[str, ...]:
    request = TranslateRequest(texts, *first_pair(host))
    return (await host.translate(request, deadline_s=10)).texts


async def test_it_says_what_it_can_do(host: EngineHost) -> None:
    capabilities = host.capabilities
    assert capabilities is not None
    assert capabilities.kind == "translate"
    assert all((capabilities.name, capabilities.model, capabilities.version, capabilities.licence))
    assert capabilities.pairs
    for pair in capabilities.pairs:
        assert 2 <= len(pair.source) <= 3
        assert pair.source != pair.target
        assert 0 < pair.quality <= 100


async def test_every_pair_that_it_offers_works(host: EngineHost) -> None:
    assert host.capabilities is not None
    for pair in host.capabilities.pairs:
        request = TranslateRequest(("A, 1.",), pair.source, pair.target)
        (text,) = (await host.translate(request, deadline_s=10)).texts
        assert text


async def test_texts_come_back_in_order_and_each_is_translated_by_itself(host: EngineHost) -> None:
    together = await translate(host, "The house.", "The dog!", "", "Where?")
    alone = [(await translate(host, text))[0] for text in ("The house.", "The dog!", "", "Where?")]
    assert list(together) == alone
    assert await translate(host) == ()


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
async def test_odd_texts_give_an_answer_and_leave_the_next_one_right(host: EngineHost, text: str) -> None:
    (expected,) = await translate(host, "The house is red.")
    (odd,) = await translate(host, text)
    assert "\0" not in odd
    assert "\n" not in odd.strip()
    assert bool(odd) == any(c.isprintable() and not c.isspace() and c != "\ud800" for c in text)
    for mark in "*@#":
        assert odd.count(mark) <= text.count(mark)
    assert await translate(host, "The house is red.") == (expected,)


async def test_a_users_own_marks_stay_and_unknown_words_get_none(host: EngineHost) -> None:
    (text,) = await translate(host, "Zqxvb * flibbertigibbetz")
    assert host.capabilities is not None
    by_rules = host.capabilities.model.startswith("rules")  # a trained model may do without the mark
    assert text.count("*") in ({1} if by_rules else {0, 1})
    assert "#" not in text
    assert "@" not in text


async def test_a_text_of_ten_thousand_characters_comes_back_whole(host: EngineHost) -> None:
    sentence = "Seven zebras walk through Zanzibar tonight. "
    (text,) = await translate(host, sentence * 230)
    assert text.count("Zanzibar") == 230


async def test_a_pair_that_it_does_not_offer_is_refused_with_words(host: EngineHost) -> None:
    with pytest.raises(EngineFailed, match="xx-yy"):
        await host.translate(TranslateRequest(("hello",), "xx", "yy"))


async def test_a_sentence_takes_ten_milliseconds_at_most(host: EngineHost, project_root: Path) -> None:
    path = project_root / "tests" / "data" / "sentences.txt"
    sentences = [line for line in (await asyncio.to_thread(path.read_text)).splitlines() if line.strip()]
    await translate(host, "Warm.")
    took = []
    for sentence in sentences:
        started = time.perf_counter()
        await translate(host, sentence)
        took.append(time.perf_counter() - started)
    assert statistics.median(took) <= 0.010
