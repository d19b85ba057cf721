from __future__ import annotations

from media_server.privacy.consent import ConsentGate


def test_where_consent_is_required_the_gate_opens_with_it() -> None:
    gate = ConsentGate(required=True)
    assert not gate.open
    assert gate.say(True)
    assert gate.open


def test_where_it_is_not_required_a_no_shuts_the_gate_all_the_same() -> None:
    gate = ConsentGate(required=False)
    assert gate.open
    assert not gate.say(True)
    assert gate.say(False)
    assert not gate.open
