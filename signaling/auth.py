"""Who may use the server: one function for every entrance.

Open by default. With ``API_KEYS`` a request needs one of them, as ``Authorization: Bearer KEY`` or as ``?token=KEY``
(browsers cannot set headers on WebSockets, nor on the page itself). With ``ALLOWED_ORIGINS`` a request that names an
``Origin`` needs to name one of those; pages of this server's own host always may.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from media_server.config import Settings
from media_server.errors import Forbidden, Unauthorized


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may use the server. ``key`` is a short hash of their API key, or empty when none is needed."""

    key: str = ""


def authorize(request: web.Request, settings: Settings) -> Principal:
    """The principal of a request. Raises Unauthorized (401) or Forbidden (403)."""
    origin = request.headers.get("Origin")
    allowed = {name.rstrip("/") for name in settings.allowed_origins}
    if allowed and origin and not _own(origin, request) and origin.rstrip("/") not in allowed:
        raise Forbidden("Pages of this origin may not use this server.", code="ORIGIN_NOT_ALLOWED")
    if not settings.api_keys:
        return Principal()
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        given = request.query.get("token", "")
    found = ""
    for key in settings.api_keys:  # every key is compared, so that time tells nothing
        if hmac.compare_digest(key.encode(), given.strip().encode("utf-8", "surrogateescape")):
            found = key
    if not found:
        raise Unauthorized("This server needs a key: open the page with ?token=KEY.")
    return Principal(hashlib.sha256(found.encode()).hexdigest()[:8])


def client_address(peer: str, forwarded: str, trusted: tuple[str, ...]) -> str:
    """Where a request came from: ``peer``, or behind trusted proxies the nearest address of ``X-Forwarded-For``
    that is none of them. Every hop appends the address it saw, so what stands before that may be made up.
    """
    networks = [ipaddress.ip_network(cidr, strict=False) for cidr in trusted]
    address = peer
    for hop in reversed([hop.strip() for hop in forwarded.split(",") if hop.strip()]):
        try:
            if not any(ipaddress.ip_address(address) in network for network in networks):
                break
            ipaddress.ip_address(hop)
        except ValueError:
            break
        address = hop
    return address


def _own(origin: str, request: web.Request) -> bool:
    return urlsplit(origin).netloc == request.host
