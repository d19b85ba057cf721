"""Source: the model hub, over HTTP with resumption; and what the hub says of its repositories.

A token (HUGGINGFACE_TOKEN) goes to the hub's own address only, never with a redirect to another one, and into no
message.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from media_server.models.transfer import SourceError, Transfer

DEFAULT_ENDPOINT = "https://huggingface.co"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0  # without a byte
ATTEMPTS = 3  # a transfer that breaks off is gone on with, this often in all
MOST_JSON_BYTES = 8 << 20
_CHUNK = 1 << 18  # 256 KiB


class Hub:
    """The hub at ``HF_ENDPOINT``. A hub that cannot be reached once is not asked again by this object."""

    name = "the model hub"

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._endpoint = (environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._state: str | None = None  # None: not asked yet, "": reachable, else why not
        self._token = (environ.get("HUGGINGFACE_TOKEN") or environ.get("HF_TOKEN") or "").strip()
        self._opener = urllib.request.build_opener(_SameOrigin(self._token))
        if environ.get("HF_HUB_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}:
            self._state = "HF_HUB_OFFLINE is set"

    def get(self, transfer: Transfer) -> None:
        """Appends the rest of the file; raises SourceError where the hub does not give it."""
        model = transfer.model
        if not model.repository:
            raise SourceError("it is not there")
        self._reach()
        path = f"{model.repository}/resolve/{model.revision}/{transfer.file.hub_path}"
        url = f"{self._endpoint}/{urllib.parse.quote(path)}"
        for _ in range(ATTEMPTS):
            before = transfer.offset
            broken = self._download(url, transfer)
            if transfer.complete:
                return
            if transfer.offset == before:
                break  # it does not get on: no use in asking again
        raise SourceError(f"the transfer broke off ({broken})")

    def ask(self, path: str) -> Any:
        """JSON of the hub's API; SourceError where it gives none."""
        try:
            return json.loads(
                self._whole(f"{self._endpoint}/api/{urllib.parse.quote(path)}", MOST_JSON_BYTES)
            )
        except ValueError:
            raise SourceError("it answers something that is no JSON") from None

    def read(self, repository: str, revision: str, path: str, most: int) -> bytes:
        """A small file as a whole; SourceError where it cannot be had or has more than ``most`` bytes."""
        quoted = urllib.parse.quote(f"{repository}/resolve/{revision}/{path}")
        return self._whole(f"{self._endpoint}/{quoted}", most)

    def _whole(self, url: str, most: int) -> bytes:
        self._reach()
        broken = ""
        for _ in range(ATTEMPTS):
            try:
                with self._open(url, {}) as answer:
                    content: bytes = answer.read(most + 1)
            except (OSError, http.client.HTTPException) as error:
                broken = _reason(error)
                continue
            if len(content) > most:
                raise SourceError("it sends more than there should be")
            return content
        raise SourceError(f"the transfer broke off ({broken})")

    def _reach(self) -> None:
        if self._state is None:
            self._state = _why_unreachable(self._endpoint, self._connect_timeout_s)
        if self._state:
            raise SourceError(self._state)

    def _open(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """The answer to a GET. SourceError where the hub refuses, with words; OSError where the network fails."""
        request = urllib.request.Request(url, headers={"User-Agent": "meeting-voice-language", **headers})
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=self._read_timeout_s)
            return answer
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (401, 403):
                    raise SourceError(
                        f"it answers HTTP {error.code}: "
                        + (
                            "HUGGINGFACE_TOKEN is not enough for it"
                            if self._token
                            else "it is not there, or asks for a token (HUGGINGFACE_TOKEN)"
                        )
                    ) from None
                raise SourceError(f"it answers HTTP {error.code} for {url.rsplit('/', 1)[-1]}") from None

    def _download(self, url: str, transfer: Transfer) -> str:
        """Appends what one request gives; returns why it ended. SourceError: asking again is no use."""
        headers = {"Range": f"bytes={transfer.offset}-"} if transfer.offset else {}
        try:
            answer = self._open(url, headers)
        except (OSError, http.client.HTTPException) as error:
            return _reason(error)
        with answer:
            if transfer.offset and answer.status != 206:
                transfer.restart()  # the server does not resume: it sends all of it
            length = answer.headers.get("Content-Length")
            if length is not None and int(length) + transfer.offset != transfer.file.size:
                raise SourceError(f"{transfer.file.name} has another size there")
            while True:
                # Only reading is the network's affair: what write() raises is the disk's and goes up.
                try:
                    chunk = answer.read1(_CHUNK)  # what has come; read() would wait for more
                except (OSError, http.client.HTTPException) as error:
                    return _reason(error)
                if not chunk:
                    return "it ended too early"
                transfer.write(chunk)


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    """Redirects within the hub keep the token; those to other hosts, which serve the large files, go without."""

    def __init__(self, token: str) -> None:
        self._token = token

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        onward = super().redirect_request(req, fp, code, msg, headers, newurl)
        had = req.has_header("Authorization")
        if onward is not None and had and _origin(newurl) == _origin(req.full_url):
            onward.add_unredirected_header("Authorization", f"Bearer {self._token}")
        return onward


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or str(error) or type(error).__name__)


def _why_unreachable(endpoint: str, timeout_s: float) -> str:
    """Empty when a TCP connection to the hub (or to the proxy that leads there) opens in time.

    In a thread, because looking up a name and trying address after address know no common time-out.
    """
    url = urllib.parse.urlsplit(endpoint)
    if url.hostname is None or url.scheme not in ("http", "https"):
        return f"HF_ENDPOINT={endpoint!r} is no http address"
    host, port = url.hostname, url.port or (443 if url.scheme == "https" else 80)
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        via = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
        host, port = via.hostname or host, via.port or 80
    outcome: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=timeout_s).close()
            outcome.append("")
        except OSError as error:
            outcome.append(f"{host} cannot be reached ({error.strerror or error})")

    thread = threading.Thread(target=connect, name="models-hub-probe", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return outcome[0] if outcome else f"{host} does not answer within {timeout_s:g} s"
