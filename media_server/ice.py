"""ICE servers for pages, with short-lived TURN credentials of the kind that coturn calls its REST API.

Username ``<unix expiry>:<user>``, credential base64(HMAC-SHA1(shared secret, username)).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

from media_server.config import Settings


def turn_credentials(secret: str, user: str, expires_s: int) -> tuple[str, str]:
    """(username, credential), valid until ``expires_s`` (Unix time)."""
    username = f"{expires_s}:{user}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


def ice_servers(settings: Settings, now_s: float) -> list[dict[str, Any]]:
    """``iceServers`` as a page gives them to RTCPeerConnection. TURN needs ``TURN_SECRET``."""
    plain = [url for url in settings.ice_servers if not url.startswith(("turn:", "turns:"))]
    turn = [url for url in settings.ice_servers if url.startswith(("turn:", "turns:"))]
    servers: list[dict[str, Any]] = []
    if plain:
        servers.append({"urls": plain})
    if turn:
        entry: dict[str, Any] = {"urls": turn}
        if settings.turn_secret:
            expires = int(now_s) + settings.turn_ttl_secs
            username, credential = turn_credentials(settings.turn_secret, secrets.token_hex(4), expires)
            entry |= {"username": username, "credential": credential}
        servers.append(entry)
    return servers
