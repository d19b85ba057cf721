"""Translation by Apertium's installed pairs. The pipelines are kept warm: a sentence takes about a
millisecond.

The programs of a mode are started once with ``-z``: each passes a NUL byte on and forgets what came before
it ("null flush"). A text goes in with the stream format's own characters escaped, ended as
``apertium-destxt`` ends it, and by a NUL; the answer ends at the NUL. A pipeline that does not answer in
time is killed and started anew.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import selectors
import subprocess
import time
from collections import OrderedDict

from media_server.engines.apertium_modes import MODES_DIR, Mode, installed_modes, installed_pairs
from media_server.engines.base import Capabilities, TranslateRequest, Translation
from media_server.engines.sentences import clean, sentences
from media_server.errors import EngineFailed, EngineUnavailable

__all__ = ["ApertiumTranslator", "installed_pairs"]

ANSWER_S = 1.0
START_S = 2.5  # for the first answer: dictionaries are read
KEPT = 6  # pipelines, of about 13 small processes each
LONGEST = 1000  # characters at once; longer texts are cut at sentence ends

_RESERVED = re.compile(r"([\[\]\\/@<>^${}])")
_END = ".[][\n]"
_MARKS = "*@#"


class ApertiumTranslator:
    """``warm`` names pairs to start at once: "en-es,es-en". ``kept`` bounds the pipelines that run."""

    def __init__(self, modes_dir: str = MODES_DIR, warm: str = "", kept: int = KEPT) -> None:
        self._modes_dir = modes_dir
        self._warm = [tuple(pair.strip().split("-")) for pair in warm.split(",") if "-" in pair]
        self._kept = kept
        self._modes: dict[tuple[str, str], Mode] = {}
        self._pipelines: OrderedDict[tuple[str, str], _Pipeline] = OrderedDict()

    def load(self) -> Capabilities:
        self._modes = installed_modes(self._modes_dir)
        if not self._modes:
            raise EngineUnavailable(
                f"Apertium has no language pair in {self._modes_dir}; install Debian's packages apertium and, "
                "for instance, apertium-eng-spa, apertium-fr-es, apertium-es-pt, apertium-spa-ita"
            )
        for pair in self._warm:
            if len(pair) == 2 and (pair[0], pair[1]) in self._modes:
                self._ask((pair[0], pair[1]), "a")
        return Capabilities(
            kind="translate",
            name="apertium",
            model="rules: " + ", ".join(f"{source}-{target}" for source, target in self._modes),
            version=_version(next(iter(self._modes.values())).commands[0][0]),
            licence="GPL-2.0-or-later",
            pairs=tuple(mode.pair for mode in self._modes.values()),
        )

    def close(self) -> None:
        while self._pipelines:
            self._pipelines.popitem()[1].kill()

    def translate(self, request: TranslateRequest) -> Translation:
        """A request without texts only starts the pipeline."""
        pair = (request.source, request.target)
        if pair not in self._modes:
            raise EngineFailed(f"Apertium has no pair {request.source}-{request.target} here")
        if not request.texts:
            self._ask(pair, "a")
        return Translation(tuple(self._translate(pair, text) for text in request.texts))

    def _translate(self, pair: tuple[str, str], text: str) -> str:
        text = clean(text)
        if not any(character.isalpha() for character in text):
            return " ".join(text.split())
        return " ".join(
            self._ask(pair, part) if any(map(str.isalpha, part)) else part for part in _parts(text)
        ).strip()

    def _ask(self, pair: tuple[str, str], text: str) -> str:
        for _ in range(2):
            pipeline = self._pipeline(pair)
            try:
                answer = pipeline.ask(_escape(text))
            except _Broken:
                self._pipelines.pop(pair).kill()
            else:
                return _tidy(text, answer)
        raise EngineFailed(f"Apertium's pipeline {pair[0]}-{pair[1]} does not answer")

    def _pipeline(self, pair: tuple[str, str]) -> _Pipeline:
        if (pipeline := self._pipelines.get(pair)) is None:
            while len(self._pipelines) >= max(1, self._kept):
                self._pipelines.popitem(last=False)[1].kill()
            pipeline = self._pipelines[pair] = _Pipeline(self._modes[pair])
        self._pipelines.move_to_end(pair)
        return pipeline


class _Broken(Exception):
    """The pipeline ended or is too slow; it is of no use any more."""


class _Pipeline:
    """The processes of one mode, the first one's input and the last one's output."""

    def __init__(self, mode: Mode) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._fresh = True
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}  # the programs read text by the locale's rules
        upstream = None
        try:
            for program, *arguments in mode.commands:
                process = subprocess.Popen(
                    [program, "-z", *arguments],
                    stdin=upstream or subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    env=environment,
                )
                self._processes.append(process)
                if upstream is not None:
                    upstream.close()
                upstream = process.stdout
        except OSError as error:
            self.kill()
            raise EngineFailed(f"Apertium cannot be started: {error.strerror}") from None
        assert self._processes[0].stdin is not None
        assert upstream is not None
        self._input, self._output = self._processes[0].stdin, upstream
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)

    def ask(self, escaped: str) -> str:
        deadline = time.monotonic() + (START_S if self._fresh else ANSWER_S)
        answer = b""
        try:
            self._input.write(f"{escaped}{_END}".encode() + b"\0")
            while not answer.endswith(b"\0"):
                if not self._selector.select(max(0.0, deadline - time.monotonic())):
                    raise _Broken
                piece = os.read(self._output.fileno(), 65536)
                if not piece:
                    raise _Broken
                answer += piece
        except OSError:
            raise _Broken from None
        self._fresh = False
        return answer[:-1].decode("utf-8", "replace")

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        for process in self._processes:
            process.wait()
        if hasattr(self, "_selector"):
            self._selector.close()


def _parts(text: str) -> list[str]:
    """Lines and, where they are long, pieces cut at sentence ends: as few as the bound allows."""
    parts: list[str] = []
    for line in text.splitlines():
        line = " ".join(line.split())
        if len(line) <= LONGEST:
            parts += [line] if line else []
            continue
        part = ""
        for sentence in sentences(line, LONGEST):
            if part and len(part) + len(sentence) >= LONGEST:
                parts.append(part)
                part = ""
            part = f"{part} {sentence}" if part else sentence
        parts.append(part)
    return parts


def _escape(text: str) -> str:
    return _RESERVED.sub(r"\\\1", text)


def _tidy(text: str, answer: str) -> str:
    """The translation without the stream format's traces and without marks that the text did not have."""
    answer = answer.rpartition(".[]")[0] if ".[]" in answer else answer
    answer = re.sub(r"\\(.)", r"\1", answer)
    for mark in _MARKS:
        if mark not in text:
            answer = answer.replace(mark, "")
    return " ".join(answer.split())


@functools.cache
def _version(program: str) -> str:
    """As the first program says it: "lt-proc version 3.7.1"."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = said.decode("utf-8", "replace").split("\n")
    return lines[0].strip()
