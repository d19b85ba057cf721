"""Where a call is met, from the settings and the address of the one who calls."""

from __future__ import annotations

import pytest

from media_server.rtc.hardening import ice
from media_server.rtc.hardening.ice import MAX_ADDRESSES
from media_server.rtc.settings import RtcConfig


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found = ["192.0.2.5", "198.51.100.5"]
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: list(found))
    return found


def test_a_page_on_this_machine_is_met_on_loopback_first() -> None:
    for address in ("127.0.0.1", "::1"):
        assert RtcConfig().policy(address).addresses(True, True)[0] == "127.0.0.1"
        assert RtcConfig().filter(address).loopback
    assert "127.0.0.1" not in RtcConfig().policy("203.0.113.9").addresses(True, True)
    assert not RtcConfig().filter("203.0.113.9").loopback


@pytest.mark.parametrize("nowhere", ["0.0.0.0", "::"])
def test_binding_to_every_address_is_binding_to_none_in_particular(
    nowhere: str, addresses: list[str]
) -> None:
    assert RtcConfig(bind=nowhere).policy("203.0.113.9").addresses(True, True) == addresses


def test_a_bound_server_is_met_there_only() -> None:
    assert RtcConfig(bind="192.0.2.5").policy("127.0.0.1").addresses(True, True) == ["192.0.2.5"]


def test_a_machine_without_a_network_still_has_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [])
    assert RtcConfig().policy("203.0.113.9").addresses(True, True) == ["127.0.0.1"]


def test_a_machine_with_many_addresses_opens_a_few_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"10.0.0.{n}" for n in range(1, 40)]
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: many)
    assert RtcConfig().policy("").addresses(True, True) == many[:MAX_ADDRESSES]
