from media_server.engines.breaker import Breaker


def opened(at_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(3):
        breaker.failed(at_s)
    return breaker


def test_two_failures_in_a_row_change_nothing() -> None:
    breaker = Breaker()
    assert not breaker.failed(0.0)
    assert not breaker.failed(0.1)
    assert breaker.state(0.2) == "closed"
    assert breaker.allows(0.2)
    assert breaker.retry_in_s(0.2) == 0.0


def test_the_third_failure_opens_it_and_says_so() -> None:
    breaker = Breaker()
    assert [breaker.failed(0.1 * number) for number in range(4)] == [False, False, True, False]
    assert not breaker.allows(0.4)
    assert breaker.state(0.4) == "open"


def test_an_answer_between_failures_starts_the_count_anew() -> None:
    breaker = Breaker()
    breaker.failed(0.0)
    breaker.failed(0.1)
    breaker.succeeded()
    assert not breaker.failed(0.2)
    assert not breaker.failed(0.3)
    assert breaker.allows(0.4)


def test_open_it_lets_nothing_through_for_ten_seconds_and_says_how_long() -> None:
    breaker = opened()
    assert not breaker.allows(9.9)
    assert abs(breaker.retry_in_s(4.0) - 6.0) < 1e-9
    assert breaker.allows(10.0)


def test_half_open_one_request_tries_and_others_do_not() -> None:
    breaker = opened()
    assert breaker.state(10.0) == "half-open"
    assert breaker.allows(10.0)
    assert not breaker.allows(10.1)
    assert breaker.retry_in_s(10.1) > 0.0


def test_a_trial_that_succeeds_closes_it() -> None:
    breaker = opened()
    assert breaker.allows(10.0)
    breaker.succeeded()
    assert breaker.state(10.1) == "closed"
    assert not breaker.failed(10.2)
    assert breaker.allows(10.3)


def test_a_trial_that_fails_opens_it_for_the_same_time_again() -> None:
    breaker = opened()
    assert breaker.allows(10.0)
    assert breaker.failed(12.0)
    assert not breaker.allows(21.9)
    assert breaker.allows(22.0)


def test_failures_of_requests_that_were_under_way_do_not_prolong_the_rest() -> None:
    breaker = opened()
    assert not breaker.failed(9.0)
    assert breaker.allows(10.0)


def test_a_trial_whose_caller_went_away_leaves_its_place_to_the_next() -> None:
    breaker = opened()
    assert breaker.allows(10.0)
    breaker.gave_up()
    assert breaker.allows(10.1)


def test_a_trial_that_nobody_reports_holds_others_back_no_longer_than_the_rest() -> None:
    breaker = opened()
    assert breaker.allows(10.0)
    assert not breaker.allows(19.9)
    assert breaker.allows(20.0)
