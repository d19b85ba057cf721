"""The priority of processes beside audio, where the kernel shares the processor among sessions and where not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from media_server import niceness

AUTOGROUP = Path("/proc/self/autogroup")
CODE = """
import os
from media_server.niceness import lower_priority
before = os.nice(0)
lower_priority(3)
print(os.nice(0) == min(before + 3, 19))
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other priorities")


def said(code: str, *, leads: bool) -> list[str]:
    """What a process prints, one that leads a session or one of this process's."""
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, start_new_session=leads, check=True, capture_output=True, text=True)
    return ran.stdout.split("\n")


@pytest.mark.parametrize("leads", [True, False])
def test_a_process_is_nicer(leads: bool) -> None:
    assert said(CODE, leads=leads)[0] == "True"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no groups of sessions")
def test_a_session_is_nicer_only_for_the_one_that_leads_it() -> None:
    code = CODE + f"print(open({str(AUTOGROUP)!r}).read())"
    before = AUTOGROUP.read_text().split()
    assert said(code, leads=True)[1].split()[-1] == "3"
    assert said(code, leads=False)[1].split() == before
    assert AUTOGROUP.read_text().split() == before


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no groups of sessions")
def test_sessions_that_begin_together_all_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel answers "again" to all but the first of those who are not root."""
    answers = iter([BlockingIOError(), BlockingIOError(), None])
    written: list[bytes] = []

    def write(group: int, data: bytes) -> int:
        if (answer := next(answers)) is not None:
            raise answer
        written.append(data)
        return len(data)

    monkeypatch.setattr(niceness, "PAUSE_S", 0)
    monkeypatch.setattr(os, "nice", lambda by: by)
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    monkeypatch.setattr(os, "write", write)
    niceness.lower_priority(7)
    assert written == [b"7"]
