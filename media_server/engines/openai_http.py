"""Requests to an OpenAI-compatible server: bounded in time and size, never redirected, retried where that helps.

Every fault becomes an ``EngineFailed`` with words for people. None of them quotes what was sent, what came back, or
the key. Retried are answers 429 and 5xx only, after a pause (that of ``Retry-After`` where it is given) if the request
can still be answered in time. After three failures in a row the server is left alone for a while (``Breaker``).
Methods may be called from several threads; a request that is withdrawn ends at once.
"""

from __future__ import annotations

import base64
import functools
import http.client
import ipaddress
import json
import math
import random
import re
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from media_server import __version__
from media_server.engines.breaker import Breaker
from media_server.engines.withdrawal import Withdrawal, current
from media_server.errors import EngineFailed

DEFAULT_URL = "https://api.openai.com/v1"
MAX_JSON_BYTES = 1 << 20  # a minute of speech with times is some 20 KB
MAX_SOUND_BYTES = 8 << 20  # a sentence of 20 s as 48 kHz stereo WAV is 4 MB
CONNECT_S = 3.0  # a server that takes longer is too far away to interpret live
ATTEMPTS = 3
PAUSE_S = 0.2  # before the second attempt, twice that before the third, and up to as much again by chance
IDLE_S = 20.0  # servers close idle connections after a minute or less
MAX_IDLE = 8  # connections

_READ_BYTES = 1 << 16
_ERROR_BYTES = 1 << 14
_CODE = re.compile(r"[a-z_]{1,60}")  # what an error calls itself; no speech and no key looks like that


class Rejected(EngineFailed):
    """The server understood the request and will not do it (400, 413, 415, 422): asking otherwise may help."""


class _Withdrawn(EngineFailed):
    """No fault of the server's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``media_type`` in lower case, without parameters."""

    media_type: str
    body: bytes

    def json(self) -> dict[str, Any]:
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise EngineFailed("the answer is no JSON object")
        return value


def multipart(
    fields: list[tuple[str, str]], name: str, file: bytes, media_type: str
) -> tuple[bytes, dict[str, str]]:
    """A form with one file, as (body, headers). RFC 7578."""
    boundary = f"mvl{random.getrandbits(128):032x}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode(
            errors="replace"
        )
        for key, value in fields
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n".encode()
    )
    parts += [file, f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(parts), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


class OpenAiServer:
    """One server. ``timeout_s``: what a request may take in all, retries included, unless it says less."""

    def __init__(
        self,
        base_url: str = "",
        *,
        api_key: str = "",
        organization: str = "",
        timeout_s: float = 4.0,
        consent: bool = False,
    ) -> None:
        parts = urllib.parse.urlsplit(base_url or DEFAULT_URL)
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._path = parts.path.rstrip("/")
        self.name = parts.netloc.rpartition("@")[2]
        """Host and port, for people."""
        self.timeout_s = timeout_s
        self._headers = {
            "User-Agent": f"meeting-voice-language/{__version__}",
            "Accept-Encoding": "identity",  # nothing to unpack, so nothing that grows when it is
        }
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        if organization:
            self._headers["OpenAI-Organization"] = organization
        if consent:
            self._headers["X-Consent"] = "granted"
        self._breaker = Breaker()
        self._idle: deque[tuple[float, http.client.HTTPConnection]] = deque()
        self._lock = threading.Lock()  # of the breaker and the idle connections

    @property
    def off_machine(self) -> str | None:
        return off_machine(self._host)

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop()[1].close()

    def post[T](
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        read: Callable[[Answer], T],
        *,
        sound: bool = False,
        timeout_s: float | None = None,
    ) -> T:
        """What ``read`` makes of the answer; it raises ``EngineFailed`` for one that cannot be used.

        ``sound``: the server should answer with some, else with JSON.
        """
        budget_s = min(self.timeout_s, timeout_s or self.timeout_s)
        withdrawal = current()
        with self._lock:
            if not self._breaker.allows(time.monotonic()):
                wait_s = math.ceil(self._breaker.retry_in_s(time.monotonic()))
                raise EngineFailed(f"{self.name} failed again and again and is left alone for {wait_s} s")
        try:
            result = read(self._attempts(path, body, headers, sound, budget_s, withdrawal))
        except (Rejected, _Withdrawn):
            with self._lock:
                self._breaker.gave_up()
            raise
        except EngineFailed:
            with self._lock:
                self._breaker.failed(time.monotonic())
            raise
        except BaseException:
            with self._lock:
                self._breaker.gave_up()
            raise
        with self._lock:
            self._breaker.succeeded()
        return result

    def _attempts(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        sound: bool,
        budget_s: float,
        withdrawal: Withdrawal,
    ) -> Answer:
        until = time.monotonic() + budget_s
        words = ""
        for attempt in range(ATTEMPTS):
            answer = self._once(path, body, headers, sound, until, budget_s, withdrawal)
            if isinstance(answer, Answer):
                return answer
            words = answer.words
            pause_s = answer.retry_after_s
            if pause_s is None:
                pause_s = PAUSE_S * 2**attempt * (1 + random.random())
            if attempt + 1 == ATTEMPTS or time.monotonic() + pause_s >= until:
                break
            if withdrawal.wait(pause_s):
                raise _Withdrawn("nobody waits for the answer any more")
        raise EngineFailed(f"{self.name} {words}")

    def _once(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        sound: bool,
        until: float,
        budget_s: float,
        withdrawal: Withdrawal,
    ) -> Answer | _TryAgain:
        """One exchange, twice where an idle connection turned out to be closed."""
        while True:
            fresh, connection = self._connection(until)
            watch = _Watch(connection)
            timer = threading.Timer(max(0.0, until - time.monotonic()), watch.end, (False,))
            timer.daemon = True
            timer.start()
            try:
                with withdrawal.calling(functools.partial(watch.end, True)):
                    target = self._target(connection, path)
                    connection.request("POST", target, body, {**self._headers, **headers})
                    response = connection.getresponse()
                    answer = self._read(response, sound)
                if (
                    watch.ended
                ):  # to the thread that reads, the end from outside looks like that of the answer
                    raise TimeoutError
                if response.will_close or not response.isclosed():
                    connection.close()
                else:
                    self._keep(connection)
                return answer
            except EngineFailed:
                connection.close()
                if watch.ended:
                    raise self._ended(watch, budget_s) from None
                raise
            except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
                # The last two: what the standard library raises in a thread whose socket was taken from it.
                connection.close()
                if watch.ended:
                    raise self._ended(watch, budget_s) from None
                stale = isinstance(error, ConnectionError | http.client.RemoteDisconnected)
                if not fresh and stale:
                    continue
                raise EngineFailed(self._words(error, budget_s)) from None
            finally:
                timer.cancel()

    def _read(self, response: http.client.HTTPResponse, sound: bool) -> Answer | _TryAgain:
        status = response.status
        if status == 429 or status >= 500:
            code = _code(_some(response, _ERROR_BYTES))
            retry_after_s = _seconds(response.headers.get("Retry-After", ""))
            busy = "is asked too often" if status == 429 else "is out of order"
            return _TryAgain(f"{busy} ({status}{code})", retry_after_s)
        if 300 <= status < 400:
            raise EngineFailed(
                f"{self.name} sends requests on to another address, which is not followed: "
                "set OPENAI_BASE_URL to the final one"
            )
        if status >= 400:
            code = _code(_some(response, _ERROR_BYTES))
            words = _STATUS.get(status, "does not accept the request")
            kind = Rejected if status in (400, 413, 415, 422) else EngineFailed
            raise kind(f"{self.name} {words} ({status}{code})")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        json_like = media_type == "application/json" or media_type.endswith("+json")
        sound_like = media_type.startswith("audio/") or media_type in _SOUND_TYPES
        if status != 200 or not (sound_like if sound else json_like):
            shown = media_type if re.fullmatch(r"[a-z0-9.+/-]{1,60}", media_type) else "something else"
            raise EngineFailed(
                f"{self.name} answered with {shown} ({status}) in place of {'sound' if sound else 'JSON'}"
            )
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise EngineFailed(f"{self.name} answered with a packed body, which was not asked for")
        most = MAX_SOUND_BYTES if sound else MAX_JSON_BYTES
        body = b""
        if (response.length or 0) <= most:
            body = _some(response, most + 1)
        if (response.length or 0) > most or len(body) > most:
            raise EngineFailed(f"{self.name} answered with more than {most >> 20} MB")
        if response.length:
            raise http.client.IncompleteRead(b"")
        return Answer(media_type, body)

    # -- connections --------------------------------------------------------------------------------------------

    def _connection(self, until: float) -> tuple[bool, http.client.HTTPConnection]:
        """(whether it is new, a connection)"""
        left_s = max(0.1, until - time.monotonic())
        with self._lock:
            while self._idle and self._idle[0][0] < time.monotonic() - IDLE_S:
                self._idle.popleft()[1].close()
            if self._idle:
                connection = self._idle.pop()[1]
                if connection.sock is not None:
                    connection.sock.settimeout(left_s)
                    return False, connection
        timeout_s = min(CONNECT_S, left_s)
        proxy = self._proxy()
        host, port = (proxy.hostname or "", proxy.port or 80) if proxy else (self._host, self._port)
        try:
            if not self._tls:
                connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
            else:
                connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=_context())
                if proxy:
                    connection.set_tunnel(self._host, self._port, _proxy_headers(proxy))
            connection.connect()
            connection.sock.settimeout(left_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EngineFailed(self._words(error, timeout_s)) from None
        return True, connection

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()

    def _proxy(self) -> urllib.parse.SplitResult | None:
        """That of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY)."""
        url = urllib.request.getproxies().get("https" if self._tls else "http", "")
        if not url or urllib.request.proxy_bypass(self._host):
            return None
        return urllib.parse.urlsplit(url if "://" in url else f"http://{url}")

    def _target(self, connection: http.client.HTTPConnection, path: str) -> str:
        """A proxy for plain HTTP is told the whole address."""
        if not self._tls and (connection.host, connection.port) != (self._host, self._port):
            return f"http://{self._host}:{self._port}{self._path}{path}"
        return f"{self._path}{path}"

    def _ended(self, watch: _Watch, budget_s: float) -> EngineFailed:
        if watch.withdrawn:
            return _Withdrawn("nobody waits for the answer any more")
        return EngineFailed(self._words(TimeoutError(), budget_s))

    def _words(self, error: Exception, budget_s: float) -> str:
        """A fault of the connection, for people."""
        name = self.name
        match error:
            case TimeoutError():
                return f"{name} did not answer within {budget_s:.1f} s"
            case ssl.SSLCertVerificationError():
                return (
                    f"the certificate of {name} is not to be trusted ({error.verify_message}): a private authority "
                    "is made known by SSL_CERT_FILE"
                )
            case ssl.SSLError():
                return f"no secure connection to {name} ({error.reason}): does OPENAI_BASE_URL have to begin with http://?"
            case socket.gaierror():
                return f"the name {self._host} leads to no address: check OPENAI_BASE_URL and the network"
            case ConnectionRefusedError():
                return f"nothing listens at {name}"
            case ConnectionError() | http.client.HTTPException():
                return f"the connection to {name} broke before its answer was complete"
            case OSError():
                return f"{name} cannot be reached ({error.strerror or type(error).__name__})"
            case _:
                return f"the connection to {name} broke before its answer was complete"


@dataclass(frozen=True, slots=True)
class _TryAgain:
    """An answer after which another attempt may help."""

    words: str
    retry_after_s: float | None


class _Watch:
    """Ends an exchange from another thread: at its deadline, or when nobody waits for it."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.ended = False
        self.withdrawn = False
        self._socket = cast("socket.socket | None", connection.sock)

    def end(self, withdrawn: bool) -> None:
        self.ended, self.withdrawn = True, self.withdrawn or withdrawn
        if self._socket is not None:
            try:
                # Not SSLSocket's own method, which takes the TLS object from the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                pass


_SOUND_TYPES = frozenset({"application/octet-stream", "application/ogg", "binary/octet-stream"})
_STATUS = {
    401: "does not accept OPENAI_API_KEY",
    403: "refuses access to OPENAI_API_KEY",
    404: "knows no such address or model: check OPENAI_BASE_URL and the model's name",
    413: "finds the request too large",
}


@functools.cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _some(response: http.client.HTTPResponse, most: int) -> bytes:
    """The body, up to ``most`` bytes of it."""
    body = bytearray()
    while len(body) < most and (piece := response.read1(min(_READ_BYTES, most - len(body)))):
        body += piece
    if response.length == 0:
        response.read()  # ends it, so that the connection can be used again
    return bytes(body)


def _code(body: bytes) -> str:
    """What an error calls itself, as ", code"; empty when it has no such name."""
    try:
        error = json.loads(body)["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""
    return f", {code}" if isinstance(code, str) and _CODE.fullmatch(code.lower()) else ""


def _seconds(retry_after: str) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date."""
    try:
        return max(0.0, float(int(retry_after)))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, TypeError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _proxy_headers(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"}


def off_machine(host: str) -> str | None:
    """The server's name; None when it is this machine itself."""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return None if local else host
