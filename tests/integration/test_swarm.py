"""The swarm of WebRTC callers at the real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest import webrtc_swarm
from tests.support.server import Server


def test_two_callers_hear_themselves_and_their_figures_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "page.html"
    with Server(DRAIN_SECS="0", MAX_SESSIONS="2", API_KEYS="hunter2") as server:
        options = ["--url", server.url, "--token", "hunter2", "--seconds", "3", "--loss", "0.05"]
        status = webrtc_swarm.main([*options, "--callers", "2,3", "--seed", "7", "--out", str(out)])
    shown = capsys.readouterr()
    assert status == 1
    assert "Stopped at caller 3: 503: The server is full" in shown.err
    # What was measured is shown all the same.
    html = out.read_text(encoding="utf-8")
    assert html.count("<svg") == 3
    assert "<script src" not in html and "http-equiv" not in html
    (line,) = (line for line in shown.out.splitlines() if line.strip().startswith("2 "))
    sound_ms, cores = float(line.split()[2]), float(line.split()[-1])
    assert 0 < sound_ms < 5000
    assert 0 < cores < 64


def test_a_server_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert webrtc_swarm.main(["--url", "http://127.0.0.1:9", "--callers", "1", "--out", str(out)]) == 1
    assert "Stopped at caller 1: http://127.0.0.1:9/offer does not answer" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("wrong", [["--callers", "0"], ["--callers", "a"], ["--loss", "2"]])
def test_arguments_that_make_no_sense_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        webrtc_swarm.arguments(wrong)
