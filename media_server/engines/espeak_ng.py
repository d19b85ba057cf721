"""espeak-ng through its library: a voice for nearly every language, in a millisecond a second of sound.

The library keeps one state for the whole process and is not safe for threads: one engine a process, one
sentence at a time. Each sentence is one synchronous call whose callback collects the samples.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media_server.engines import voicing
from media_server.engines.base import Capabilities, Pcm, SpeakRequest, Speech
from media_server.engines.sentences import sentences, speakable
from media_server.errors import EngineFailed, EngineUnavailable

LONGEST_TEXT = 20_000  # characters
PACE = 165  # words a minute at speed 1.0

# speak_lib.h
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_RATE = 1
_OK = 0

# Where the library's own order is not what most people expect.
_PREFERRED = {"en": "en-us", "pt": "pt", "es": "es"}
_NATURAL_ENOUGH = frozenset({"eo", "ia", "io"})  # of the constructed languages, those that people speak


class _ListedVoice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.POINTER(ctypes.c_char)),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("spare1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class ListedVoice:
    identifier: str
    """The voice's file, "gmw/en-US"."""
    languages: tuple[tuple[int, str], ...]
    """(priority, tag), lower priorities are better: (2, "en-us")."""


class EspeakVoice:
    """``pace`` is the words a minute at speed 1.0."""

    def __init__(self, pace: int = PACE) -> None:
        self._pace = pace
        self._library: ctypes.CDLL | None = None
        self._rate = 0
        self._voices: dict[str, str] = {}
        """Language -> voice."""
        self._levels: dict[str, voicing.Level] = {}
        """By voice."""
        self._collected: list[Pcm] = []
        self._callback = _Callback(self._collect)

    def load(self) -> Capabilities:
        try:
            import espeakng_loader

            library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = espeakng_loader.get_data_path()
        except (ImportError, OSError, RuntimeError) as error:
            raise EngineUnavailable(
                f"espeak-ng cannot be loaded (package espeakng-loader): {error}"
            ) from None
        self._rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), _DONT_EXIT)
        if self._rate <= 0:
            raise EngineUnavailable("espeak-ng does not find its data (package espeakng-loader)")
        library.espeak_SetSynthCallback(self._callback)
        self._library = library
        self._voices = choose_voices(
            [voice for voice in _list_voices(library) if _has_dictionary(Path(data), voice.identifier)]
        )
        library.espeak_Info.restype = ctypes.c_char_p
        return Capabilities(
            kind="speak",
            name="espeak-ng",
            model="formant synthesis",
            version=f"{library.espeak_Info(None).decode()} (espeakng-loader {_loader_version()})",
            licence="GPL-3.0-or-later",
            languages=tuple(sorted(self._voices)),
        )

    def close(self) -> None:
        if self._library is not None:
            self._library.espeak_Terminate()
            self._library = None

    def speak(self, request: SpeakRequest) -> Iterator[Speech]:
        """A piece a sentence; none when there is nothing to say."""
        voice = self._voices.get(request.language)
        if voice is None:
            raise EngineFailed(f"espeak-ng has no voice for {request.language!r}")
        if len(request.text) > LONGEST_TEXT:
            raise EngineFailed(f"the text is longer than {LONGEST_TEXT} characters")
        texts = [part for part in sentences(speakable(request.text)) if speakable(part)]
        level = self._level(voice)
        first = True
        for number, text in enumerate(texts, 1):
            said = self._say(voice, text, request.speed)
            pcm = voicing.finish(
                said,
                self._rate,
                gain=level.gain(said),
                first=first,
                last=number == len(texts),
                pause_s=voicing.pause(voicing.SENTENCE_PAUSE_S, request.speed),
            )
            if len(pcm):
                first = False
                yield Speech(pcm, text, f"espeak-ng {voice}")

    def _level(self, voice: str) -> voicing.Level:
        if voice not in self._levels:
            self._levels[voice] = voicing.Level(self._say(voice, voicing.MEASURED, 1.0), self._rate)
        return self._levels[voice]

    def _say(self, voice: str, text: str, speed: float) -> Pcm:
        assert self._library is not None
        if self._library.espeak_SetVoiceByName(voice.encode()) != _OK:
            raise EngineFailed(f"espeak-ng cannot load its voice {voice}")
        self._library.espeak_SetParameter(_RATE, round(self._pace * max(0.5, min(2.0, speed))), 0)
        self._collected = []
        data = text.encode() + b"\0"
        status = self._library.espeak_Synth(
            data, ctypes.c_size_t(len(data)), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
        )
        if status != _OK:
            raise EngineFailed(f"espeak-ng refused the text (error {status})")
        return np.concatenate(self._collected) if self._collected else np.empty(0, np.int16)

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if count > 0:
            self._collected.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16, copy=True))
        return 0  # go on


def choose_voices(listed: list[ListedVoice]) -> dict[str, str]:
    """One voice a language: the preferred tag, else the best priority, else the shortest tag."""
    best: dict[str, tuple[tuple[bool, int, int], str]] = {}
    for voice in listed:
        for priority, tag in voice.languages:
            language = tag.split("-")[0]
            if not re.fullmatch(r"[a-z]{2,3}", language):
                continue
            if voice.identifier.startswith("art/") and language not in _NATURAL_ENOUGH:
                continue
            rank = (tag != _PREFERRED.get(language, tag), priority, len(tag))
            if language not in best or rank < best[language][0]:
                best[language] = (rank, voice.identifier)
    return {language: identifier for language, (_, identifier) in best.items()}


def _list_voices(library: ctypes.CDLL) -> list[ListedVoice]:
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_ListedVoice))
    entries = library.espeak_ListVoices(None)
    found = []
    index = 0
    while entries[index]:
        entry = entries[index].contents
        identifier = entry.identifier.decode()
        if not identifier.startswith("mb/"):  # these need another program
            found.append(ListedVoice(identifier, tuple(_tags(entry.languages))))
        index += 1
    return found


def _has_dictionary(data: Path, identifier: str) -> bool:
    """Some voices are listed although the dictionary that they need was not built in."""
    try:
        lines = (data / "lang" / identifier).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return False
    named = {words[0]: words[1] for line in reversed(lines) if len(words := line.split()) > 1}
    dictionary = named.get("dictionary") or named.get("language", "").split("-")[0]
    return (data / f"{dictionary}_dict").is_file()


def _tags(languages: ctypes._Pointer[ctypes.c_char]) -> Iterator[tuple[int, str]]:
    """The list is a byte of priority and a C string each, and ends with a zero."""
    at = 0
    while languages[at] != b"\0":
        priority = languages[at][0]
        begin = at = at + 1
        while languages[at] != b"\0":
            at += 1
        yield priority, bytes(languages[begin:at]).decode()
        at += 1


def _loader_version() -> str:
    try:
        return importlib.metadata.version("espeakng-loader")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
