"""Addresses behind proxies, and TURN credentials."""

from __future__ import annotations

import base64
import hashlib
import hmac
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web

from media_server import config
from media_server.errors import Unauthorized
from media_server.ice import ice_servers, turn_credentials
from signaling.auth import authorize, client_address


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("203.0.113.5", "", (), "203.0.113.5"),
        ("203.0.113.5", "127.0.0.1", (), "203.0.113.5"),  # nobody may say that they are somebody else
        ("10.0.0.2", "198.51.100.7", ("10.0.0.0/8",), "198.51.100.7"),
        ("10.0.0.2", "127.0.0.1, 198.51.100.7, 10.0.0.3", ("10.0.0.0/8",), "198.51.100.7"),
        ("10.0.0.2", "rubbish", ("10.0.0.0/8",), "10.0.0.2"),
        ("", "198.51.100.7", ("10.0.0.0/8",), ""),
    ],
)
def test_only_trusted_proxies_are_believed(
    peer: str, forwarded: str, trusted: tuple[str, ...], address: str
) -> None:
    assert client_address(peer, forwarded, trusted) == address


def test_turn_credentials_are_what_coturn_computes() -> None:
    username, credential = turn_credentials("secret", "ab", 1_800_000_000)
    assert username == "1800000000:ab"
    assert base64.b64decode(credential) == hmac.new(b"secret", username.encode(), hashlib.sha1).digest()


def test_pages_get_plain_stun_and_turn_with_credentials_that_expire() -> None:
    settings = config.load({"ICE_SERVERS": "stun:s.example:3478,turn:t.example:3478", "TURN_SECRET": "x"})
    stun, turn = ice_servers(settings, 1000.0)
    assert stun == {"urls": ["stun:s.example:3478"]}
    assert turn["urls"] == ["turn:t.example:3478"]
    assert turn["username"].startswith("4600:")
    assert ice_servers(config.load({}), 0.0) == []


def asking(header: str = "", token: str = "") -> web.Request:
    """What ``authorize`` looks at; a server gives it headers whose bytes are no UTF-8, too."""
    seen = SimpleNamespace(headers={"Authorization": header}, query={"token": token} if token else {})
    return cast(web.Request, seen)


@pytest.mark.parametrize("header", ["Bearer \udcff", "Bearer \udce9x", "Bearer", "Basic aGk=", "Bearer \x00"])
def test_a_header_that_is_no_key_is_refused_whatever_it_holds(header: str) -> None:
    settings = config.load({"API_KEYS": "sesame"})
    with pytest.raises(Unauthorized):
        authorize(asking(header), settings)
    assert authorize(asking(token="sesame"), settings).key
