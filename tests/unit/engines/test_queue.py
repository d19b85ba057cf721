"""What waits for an engine: the order, the bound and the drop rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_server.engines.queue import Place, Priority, QueueFull, WaitingLine


def line(*entries: Place, bound: int = 10) -> WaitingLine[Place]:
    waiting: WaitingLine[Place] = WaitingLine(bound)
    for entry in entries:
        waiting.put(entry)
    return waiting


def final(owner: str | None = None, *, alone: bool = False) -> Place:
    return Place("final", owner, alone=alone)


def partial(owner: str | None = None) -> Place:
    return Place("partial", owner)


def test_finals_come_first_in_order_of_age() -> None:
    a, b, c, d = partial(), final(), partial(), final()
    waiting = line(a, b, c, d)
    assert [waiting.take(1)[0] for _ in range(4)] == [b, d, a, c]
    assert waiting.take(1) == []


def test_a_batch_holds_one_priority() -> None:
    a, b, c = final(), final(), partial()
    waiting = line(c, a, b)
    assert waiting.take(8) == [a, b]
    assert waiting.take(8) == [c]


def test_the_oldest_is_taken_with_those_that_are_most_like_it() -> None:
    a, b, c, d = (partial(owner) for owner in "abcd")
    sizes = {id(a): 10, id(b): 50, id(c): 12, id(d): 20}
    waiting = line(a, b, c, d)
    assert waiting.take(3, lambda entry: sizes[id(entry)]) == [a, c, d]
    assert waiting.take(3, lambda entry: sizes[id(entry)]) == [b]


def test_a_batch_of_large_entries_is_small() -> None:
    a, b, c, d = (partial(owner) for owner in "abcd")
    sizes = {id(a): 4, id(b): 9, id(c): 5, id(d): 20}
    waiting = line(a, b, c, d)
    assert waiting.take(4, lambda entry: sizes[id(entry)], 16) == [a, c]
    assert waiting.take(4, lambda entry: sizes[id(entry)], 16) == [b]
    assert waiting.take(4, lambda entry: sizes[id(entry)], 16) == [d]


def test_what_has_to_go_alone_is_in_no_batch() -> None:
    a, b, c, d = final(), final(alone=True), final(), final()
    waiting = line(a, b, c, d)
    assert [waiting.take(8) for _ in range(3)] == [[a], [b], [c, d]]


def test_a_newer_partial_takes_the_older_ones_place_in_line() -> None:
    old, other, new = partial("a"), partial("b"), partial("a")
    waiting = line(old, other)
    assert waiting.put(new) == ([old], [])
    assert [waiting.take(1)[0] for _ in range(2)] == [new, other]


def test_entries_without_an_owner_replace_nothing() -> None:
    a, b = partial(), partial()
    waiting = line(a)
    assert waiting.put(b) == ([], [])
    assert len(waiting) == 2


def test_a_final_removes_its_owners_waiting_partial_only() -> None:
    mine, other = partial("a"), partial("b")
    waiting = line(mine, other)
    assert waiting.put(final("a")) == ([mine], [])
    assert len(waiting) == 2


def test_two_finals_of_an_owner_both_stay() -> None:
    a, b = final("a"), final("a")
    assert line(a, b).take(2) == [a, b]


def test_over_the_bound_the_oldest_partial_goes_and_a_final_is_refused() -> None:
    a, b, c = partial("a"), partial("b"), final()
    waiting = line(a, b, bound=2)
    assert waiting.put(c) == ([], [a])
    assert waiting.put(final()) == ([], [b])
    late = partial("c")
    assert waiting.put(late) == ([], [late])
    with pytest.raises(QueueFull):
        waiting.put(final())


def test_what_is_put_back_goes_to_its_old_place() -> None:
    a, b = final(), final()
    waiting = line(a, b)
    (taken,) = waiting.take(1)
    waiting.put_back(taken)
    assert waiting.take(2) == [a, b]


def test_an_entry_is_removed_once() -> None:
    a = partial("a")
    waiting = line(a)
    assert waiting.remove(a)
    assert not waiting.remove(a)
    assert len(waiting) == 0


def test_what_nobody_wants_any_more_leaves_the_line() -> None:
    wanted = {"a": True, "b": True}
    a, b, c = Place("final", "a", wanted=lambda: wanted["a"]), final("c"), partial("b")
    c.wanted = lambda: wanted["b"]
    waiting = line(a, b, c)
    assert waiting.unwanted() == []
    wanted["a"] = False
    assert waiting.unwanted() == [a]
    wanted["b"] = False
    assert waiting.unwanted() == [c]
    assert waiting.take(8) == [b]


def test_background_work_comes_last_takes_nobodys_place_and_is_refused_over_its_own_bound() -> None:
    a, b, c, d = Place("background", "a"), partial("a"), Place("background", "a"), final("a")
    waiting = line(a, b, c, bound=2)
    assert waiting.put(d) == ([b], [])
    with pytest.raises(QueueFull):
        waiting.put(Place("background", "b"))
    assert waiting.take(9) == [d]
    assert waiting.take(9) == [a, c]


@given(
    st.lists(st.tuples(st.sampled_from(["final", "partial"]), st.sampled_from("abcd")), max_size=40),
    st.integers(1, 8),
)
def test_no_final_is_lost_and_no_owner_has_two_partials(
    entries: list[tuple[Priority, str]], bound: int
) -> None:
    waiting: WaitingLine[Place] = WaitingLine(bound)
    finals = []
    for priority, owner in entries:
        entry = Place(priority, owner)
        try:
            waiting.put(entry)
        except QueueFull:
            continue
        if priority == "final":
            finals.append(entry)
        assert len(waiting) <= bound
    taken = [waiting.take(1)[0] for _ in range(len(waiting))]
    assert taken[: len(finals)] == finals
    owners = [entry.owner for entry in taken[len(finals) :]]
    assert len(owners) == len(set(owners))
