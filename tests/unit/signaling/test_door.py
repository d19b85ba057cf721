"""Who may stay in the door, by time and by number."""

from __future__ import annotations

from signaling.door import HEAD_S, STALL_S, Crowd, Phase, Visit, within


def crowd_of(*visits: Visit, per_address: int = 2, total: int = 4) -> Crowd:
    return Crowd(per_address, total, within(("10.0.0.0/8",)), dict.fromkeys(visits))


def test_a_head_has_its_time_from_the_first_byte() -> None:
    visit = Visit("192.0.2.1", 0.0)
    visit.enter(Phase.HEAD, 100.0)
    assert visit.overdue(100.0 + HEAD_S) == ""
    assert visit.overdue(100.1 + HEAD_S) == "head"


def test_an_answer_may_take_its_time_unless_nobody_reads_it() -> None:
    visit = Visit("192.0.2.1", 0.0, Phase.BUSY)
    assert visit.overdue(3600.0) == ""
    visit.stalled_s = 3600.0
    assert visit.overdue(3600.1 + STALL_S) == "stalled"


def test_a_websocket_is_left_to_its_handler() -> None:
    assert Visit("192.0.2.1", 0.0, Phase.UPGRADED, stalled_s=0.0).overdue(3600.0) == ""


def test_the_connection_that_waited_longest_gives_way() -> None:
    old, new = Visit("192.0.2.1", 1.0), Visit("192.0.2.1", 2.0, Phase.HEAD)
    assert crowd_of(new, old).make_room("192.0.2.1") == (True, old)
    assert crowd_of(new, old).make_room("192.0.2.2") == (True, None)


def test_connections_at_work_give_way_to_nobody() -> None:
    busy, socket = Visit("192.0.2.1", 1.0, Phase.BUSY), Visit("192.0.2.1", 1.0, Phase.UPGRADED)
    assert crowd_of(busy, socket).make_room("192.0.2.1") == (False, None)


def test_all_addresses_together_have_a_bound_and_proxies_have_no_other() -> None:
    visits = [Visit("10.0.0.1", float(n)) for n in range(4)]
    assert crowd_of(*visits[:3]).make_room("10.0.0.1") == (True, None)
    assert crowd_of(*visits).make_room("192.0.2.9") == (True, visits[0])
    assert crowd_of(*visits, per_address=9, total=9).make_room("192.0.2.9") == (True, None)
