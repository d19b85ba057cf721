"""The process that opens a stranger's file: ``python -m media_server.uploads.child``, started by ``uploads.decoder``.

The file comes in by standard input. Out goes a line of JSON, ``{"samples": N, "frames": M}`` or ``{"error": "...",
"too_long": false}``, then N samples of int16 at 16 kHz and M bytes, how likely each frame of 32 ms is speech (255 for
certain). Memory, CPU time, files and processes are limited before anything looks at a byte of it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

from media_server.niceness import lower_priority

MAX_SECONDS = 600.0  # of sound
MEMORY_BYTES = 1 << 30  # address space; 0.5 GB of it are libraries
CPU_S = 60  # ten minutes of Opus take 2 s, and the search for speech in them 3 s
NICE = 10  # after live calls and their engines


def limit() -> None:
    if sys.platform == "win32":
        return
    import resource

    lower_priority(NICE)
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: no life without the server


def main() -> int:
    limit()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    data = sys.stdin.buffer.read()
    import numpy as np

    from media_server.audio import containers
    from media_server.engines.base import RECOGNIZER_RATE
    from media_server.pipeline.detect import FRAME_SAMPLES, SileroDetector

    try:
        pcm = containers.decode(data, RECOGNIZER_RATE, MAX_SECONDS)
    except (containers.NotSound, MemoryError) as error:
        words = str(error) or "the file needs too much memory"
        refusal = {"error": words, "too_long": isinstance(error, containers.TooLong)}
        out.write(json.dumps(refusal).encode() + b"\n")
        out.flush()
        return 0
    del data
    detector = SileroDetector()
    frames = len(pcm) // FRAME_SAMPLES
    heard = bytes(
        round(255 * detector.probability(pcm[at * FRAME_SAMPLES : (at + 1) * FRAME_SAMPLES]))
        for at in range(frames)
    )
    out.write(json.dumps({"samples": len(pcm), "frames": frames}).encode() + b"\n")
    out.write(np.ascontiguousarray(pcm, "<i2").tobytes())
    out.write(heard)
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
