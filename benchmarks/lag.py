"""How far the interpretation is behind somebody who does not stop, and how much of it is left out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.callplan import CallLog
from benchmarks.scoring import quantile
from media_server.rooms.channel import SKIPPED


@dataclass(frozen=True, slots=True)
class Lagging:
    """Of one call. ``lags_s``: from the end of an utterance's speech to its interpretation being heard."""

    lags_s: tuple[float, ...]
    utterances: int
    """Those with a translation."""
    skipped: int
    characters: int
    skipped_characters: int

    @property
    def skipped_share(self) -> float:
        """Of the translation's characters: a short sentence left out is a small loss."""
        return self.skipped_characters / self.characters if self.characters else 0.0

    def quantile_s(self, share: float) -> float:
        return quantile(list(self.lags_s), share)


def lagging(log: CallLog) -> Lagging:
    """Reads the server's ``stats`` and the marks in the finals, of which the latest revision of each counts."""
    finals = {
        message["id"]: message
        for _, message in log.messages
        if message.get("type") == "final" and message.get("translation")
    }
    skipped = [message for message in finals.values() if message.get("note") == SKIPPED]
    return Lagging(
        tuple(message["lag_ms"] / 1000 for _, message in log.messages if message.get("type") == "stats"),
        len(finals),
        len(skipped),
        sum(len(message["translation"]) for message in finals.values()),
        sum(len(message["translation"]) for message in skipped),
    )
