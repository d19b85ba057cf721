"""How far a fetch is, for a terminal and for a log."""

from __future__ import annotations

from media_server.models.progress import Progress, human
from tests.unit.models.support import Spoken


class Terminal(Spoken):
    def isatty(self) -> bool:
        return True


def fetch_all(out: Spoken) -> None:
    progress = Progress(out)
    progress.start("whisper-base", 100_000_000)
    for _ in range(100):
        progress.advance(1_000_000)
    progress.end("complete and verified")


def test_a_log_gets_a_few_plain_lines() -> None:
    out = Spoken()
    fetch_all(out)
    assert out.lines[0] == "whisper-base: fetching 100 MB"
    assert out.lines[-1] == "whisper-base: complete and verified"
    assert 3 <= len(out.lines) <= 6
    assert "\r" not in out.getvalue()


def test_a_terminal_gets_a_bar_in_one_line() -> None:
    out = Terminal()
    fetch_all(out)
    assert out.getvalue().count("\n") == 1
    assert "100%" in out.getvalue()


def test_the_bar_never_falls_back_while_a_package_is_unpacked() -> None:
    out = Spoken()
    progress = Progress(out)
    progress.start("voice", 1000)
    progress.preview(900)
    progress.preview(0)
    progress.advance(300)
    assert [line for line in out.lines if "%" in line] == ["voice: 90% of 0.0 MB"]


def test_quiet_says_nothing() -> None:
    out = Spoken()
    progress = Progress(out, quiet=True)
    progress.start("voice", 10)
    progress.advance(10)
    progress.end("complete")
    assert out.lines == []


def test_sizes_are_written_for_people() -> None:
    assert [human(8_679_182), human(145_217_532), human(2_500_000_000)] == ["8.7 MB", "145 MB", "2.5 GB"]
