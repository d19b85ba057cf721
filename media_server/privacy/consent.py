"""Consent: whether anything may be taken from a speaker."""

from __future__ import annotations


class ConsentGate:
    """Shut until its speaker agrees, where consent is required; open from the start where it is not.

    A withdrawal shuts it in either case: a speaker who says no is not heard.
    """

    def __init__(self, *, required: bool) -> None:
        self._required = required
        self._granted: bool | None = None

    @property
    def open(self) -> bool:
        return self._granted if self._granted is not None else not self._required

    def say(self, granted: bool) -> bool:
        """Takes the speaker's answer; True when the gate moved."""
        before = self.open
        self._granted = granted
        return self.open != before
