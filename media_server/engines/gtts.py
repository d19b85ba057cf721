"""Google Translate's voices through gTTS. The text goes to Google: this engine is used only where it is asked for.

The library makes the requests and reads the answers; the session it gets here adds what it leaves open: a bound for
the bytes and the time of an answer, certificates that are checked, no redirects. A request that fails is not tried
again: the local voice speaks at once. After three that failed nothing is asked for ten seconds, and then by one text
only. Google is never asked more often than the bucket allows, and not at all for a clip that is in the cache.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from media_server.audio import containers
from media_server.audio.filters import with_tempo
from media_server.engines import voicing
from media_server.engines.base import VOICE_RATE, Capabilities, Pcm, SpeakRequest, Speech
from media_server.engines.breaker import Breaker
from media_server.engines.bucket import TokenBucket
from media_server.engines.clip_cache import ClipCache, key_of
from media_server.engines.sentences import sentences, speakable
from media_server.errors import EngineFailed, EngineUnavailable

if TYPE_CHECKING:
    import requests

URL = "https://translate.google.com"
CONNECT_S = 2.0
READ_S = 4.0  # between two pieces of an answer, and for the whole of it
MOST_BYTES = 1024 * 1024  # of an answer; ten seconds of speech in base64 have a tenth of that
MOST_S = 60.0  # of speech in one clip
REQUESTS_A_SECOND = 3.0  # Google answers 429 to those who ask without end
AT_ONCE = 12.0
LONGEST_TEXT = 20_000  # characters
LONGEST_PART = 100  # characters of one request: Google takes no more

_CODES = {"he": "iw", "jv": "jw", "zh": "zh-CN", "no": "no"}  # ISO 639-1 -> Google's, where they differ


class GttsVoice:
    """``url`` is where Google Translate is, ``language`` the variant to speak of one language ("pt-PT").

    ``cache_dir`` "" keeps clips in memory only; ``cache_mb`` bounds the folder. Several threads may speak at a time.
    """

    concurrent = 8

    def __init__(
        self,
        url: str = URL,
        language: str = "",
        cache_dir: str = "",
        cache_mb: int = 100,
        requests_a_second: float = REQUESTS_A_SECOND,
        at_once: float = AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url.rstrip("/")
        self._variant = language
        self._cache_dir = cache_dir
        self._cache_mb = cache_mb
        self._clock = clock
        self._lock = threading.Lock()  # of everything below
        self._bucket = TokenBucket(requests_a_second, at_once, clock())
        self._breaker = Breaker()
        self._cache = ClipCache(None, 0)
        self._codes: dict[str, str] = {}
        """Language -> Google's name of it."""
        self._levels: dict[str, voicing.Level] = {}

    def load(self) -> Capabilities:
        """Asks the network nothing."""
        try:
            from gtts.lang import tts_langs
        except ImportError as error:
            raise EngineUnavailable(f"gTTS is not installed (package gTTS): {error}") from None
        _guard_sessions(self._url)
        folder = Path(self._cache_dir).expanduser() if self._cache_dir else None
        self._cache = ClipCache(folder, self._cache_mb * 1024 * 1024)
        self._codes = google_codes(tuple(tts_langs()), self._variant)
        return Capabilities(
            kind="speak",
            name="gtts",
            model="Google Translate",
            version=f"gTTS {importlib.metadata.version('gTTS')}",
            licence="MIT; the service has Google's terms",
            languages=tuple(sorted(self._codes)),
            off_machine=receiver(self._url),
            concurrent=self.concurrent,
        )

    def close(self) -> None:
        self._levels.clear()

    def speak(self, request: SpeakRequest) -> Iterator[Speech]:
        """A piece a sentence, of at most 100 characters; none when there is nothing to say."""
        code = self._codes.get(request.language)
        if code is None:
            raise EngineFailed(f"gTTS has no voice for {request.language!r}")
        if len(request.text) > LONGEST_TEXT:
            raise EngineFailed(f"the text is longer than {LONGEST_TEXT} characters")
        parts = [part for part in sentences(speakable(request.text), LONGEST_PART) if speakable(part)]
        first = True
        for number, text in enumerate(parts, 1):
            said = self._said(code, text)
            pcm = voicing.finish(
                with_tempo(said, VOICE_RATE, max(0.5, min(2.0, request.speed))),
                VOICE_RATE,
                gain=self._gain(code, said),
                first=first,
                last=number == len(parts),
                pause_s=voicing.pause(voicing.SENTENCE_PAUSE_S, request.speed),
            )
            if len(pcm):
                first = False
                yield Speech(pcm, text, f"gtts {code}")

    def _gain(self, code: str, said: Pcm) -> float:
        with self._lock:
            if code not in self._levels:
                self._levels[code] = voicing.Level(np.empty(0, np.int16), VOICE_RATE)
            return self._levels[code].gain(said)

    def _said(self, code: str, text: str) -> Pcm:
        """The sentence as Google says it: from the cache, else asked for."""
        key = key_of("gtts", self._url, code, text)
        with self._lock:
            clip = self._cache.get(key)
        if clip is not None:
            try:
                return containers.decode(clip, VOICE_RATE, MOST_S)
            except containers.NotSound:
                with self._lock:
                    self._cache.drop(key)
        self._admit()
        try:
            clip = self._ask(code, text)
            pcm = containers.decode(clip, VOICE_RATE, MOST_S)
        except BaseException as error:
            with self._lock:
                self._breaker.failed(self._clock())
            if isinstance(error, containers.NotSound):
                raise EngineFailed(f"Google's answer is no sound: {error}") from None
            raise
        with self._lock:
            self._breaker.succeeded()
            self._cache.put(key, clip)
        return pcm

    def _admit(self) -> None:
        """``EngineFailed`` at once when Google is not to be asked now."""
        with self._lock:
            now = self._clock()
            if not self._breaker.allows(now):
                wait_s = math.ceil(self._breaker.retry_in_s(now))
                raise EngineFailed(f"Google failed again and again and is left alone for {wait_s} s")
            if not self._bucket.take(now):
                self._breaker.gave_up()
                raise EngineFailed("Google is asked as often as it may be")

    def _ask(self, code: str, text: str) -> bytes:
        """The MP3. ``EngineFailed`` in words that name no speech: gTTS's own errors quote addresses only."""
        import gtts
        import requests

        try:
            tts = gtts.gTTS(text, lang=code, lang_check=False, timeout=(CONNECT_S, READ_S))
            clip = b"".join(tts.stream())
        except gtts.gTTSError as error:
            raise EngineFailed(_why(error)) from None
        except (requests.RequestException, OSError, ValueError, AssertionError) as error:
            raise EngineFailed(f"Google's answer could not be read ({type(error).__name__})") from None
        if not clip:
            raise EngineFailed("Google's answer holds no speech")
        return clip


def receiver(url: str) -> str:
    """Who gets the text, for people."""
    host = urlsplit(url).hostname or url
    return "Google" if host.startswith("translate.google.") else f"Google's voice service at {host}"


def google_codes(known: tuple[str, ...], variant: str) -> dict[str, str]:
    """ISO 639-1 -> the name that Google knows it by; ``variant`` ("pt-PT") is taken for its own language."""
    codes: dict[str, str] = {}
    for code in known:
        language = {"iw": "he", "jw": "jv"}.get(code, code.split("-")[0].lower())
        preferred = _CODES.get(language, language)
        if language not in codes or code == preferred:
            codes[language] = code
    wanted = next((code for code in known if code.lower() == variant.replace("_", "-").lower()), "")
    if wanted:
        codes[wanted.split("-")[0].lower()] = wanted
    return {language: code for language, code in codes.items() if re.fullmatch(r"[a-z]{2,3}", language)}


def _why(error: Any) -> str:
    response = error.rsp
    if response is None:
        cause = error.__context__
        late = type(cause).__name__.endswith("Timeout")
        return f"Google does not answer ({'too slow' if late else type(cause).__name__})"
    if response.status_code == 429:
        return "Google wants fewer requests (429)"
    if response.status_code == 200:
        return "Google's answer holds no speech"
    return f"Google answers with status {response.status_code}"


def _guard_sessions(url: str) -> None:
    """Gives gTTS a session with bounds. gTTS itself has none: it switches the check of certificates off, follows
    redirects, reads answers of any length and waits for ever for one that drips. Only the name that gTTS's module looks
    the session up by is replaced. To be removed when gTTS takes a session.
    """
    import gtts.tts
    import requests

    class Session(requests.Session):
        def send(self, request: requests.PreparedRequest, **given: Any) -> requests.Response:
            assert request.url is not None
            request.url = url + "/" + request.url.split("/", 3)[3]
            options = {
                "timeout": given["timeout"],
                "verify": os.environ.get("SSL_CERT_FILE") or True,
                "proxies": requests.utils.get_environ_proxies(request.url),
                "allow_redirects": False,
                "stream": True,
            }
            until = time.monotonic() + CONNECT_S + READ_S
            response = super().send(request, **options)
            response._content, response._content_consumed = _read(response, until), True
            return response

    gtts.tts.requests = SimpleNamespace(**{**vars(requests), "Session": Session})


def _read(response: requests.Response, until: float) -> bytes:
    """The body within its bounds."""
    import requests
    import urllib3

    body = bytearray()
    try:
        while piece := response.raw.read1(65_536, decode_content=True):
            body += piece
            if len(body) > MOST_BYTES:
                raise requests.exceptions.ContentDecodingError(f"more than {MOST_BYTES} bytes")
            if time.monotonic() > until:
                raise requests.exceptions.ReadTimeout("the answer takes too long")
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(str(error)) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise requests.exceptions.ConnectionError(type(error).__name__) from None
    finally:
        response.close()
    return bytes(body)
