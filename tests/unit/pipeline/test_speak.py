from __future__ import annotations

from media_server.pipeline.speak import MAX_SPEED, SpeechLag


def test_the_voice_keeps_its_pace_then_hurries_then_skips() -> None:
    lag = SpeechLag(limit_s=12.0)
    assert lag.pace(100.0).speed == 1.0
    lag.queued(3.0, 100.0)
    hurried = lag.pace(100.0)
    assert 1.0 < hurried.speed < MAX_SPEED
    assert not hurried.skip
    lag.queued(10.0, 100.0)
    assert lag.pace(100.0).skip
    assert lag.pace(102.0).speed == MAX_SPEED
    assert not lag.pace(102.0).skip


def test_lag_runs_out_as_time_goes_on() -> None:
    lag = SpeechLag(limit_s=12.0)
    lag.queued(2.0, 10.0)
    assert lag.lag_s(11.0) == 1.0
    assert lag.lag_s(30.0) == 0.0
    lag.queued(1.0, 30.0)
    assert lag.lag_s(30.0) == 1.0
