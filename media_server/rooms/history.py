"""What was said in a room lately: its finals, for those who come later or ask again.

Bounded in time (``HISTORY_RETENTION_SECS``) and in number; held in memory only. An utterance is one entry with a
caption for each language it was shown in. Sans-IO: times are arguments, in seconds since the Unix epoch.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from media_server.events import Caption

MAX_ENTRIES = 2_000  # more than half an hour of talk without a pause


@dataclass(slots=True)
class _Entry:
    at_s: float
    captions: dict[str, Caption] = field(default_factory=dict)
    """By target language."""


class History:
    """The finals of one room, oldest first."""

    def __init__(self, retention_s: float) -> None:
        self._retention_s = retention_s
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, caption: Caption, now_s: float) -> None:
        """A final, or a later revision of one."""
        if self._retention_s <= 0:
            return
        entry = self._entries.setdefault(caption.id, _Entry(now_s))
        entry.captions[caption.target_lang] = caption
        self.expire(now_s)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def expire(self, now_s: float) -> None:
        """Drops what is older than the retention."""
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if now_s - oldest.at_s <= self._retention_s:
                return
            self._entries.popitem(last=False)

    def forget(self, speaker: str) -> None:
        """Drops the words of a speaker who has withdrawn consent."""
        for utterance, entry in list(self._entries.items()):
            if next(iter(entry.captions.values())).speaker == speaker:
                del self._entries[utterance]

    def items(self, target: str, now_s: float) -> list[tuple[float, Caption]]:
        """(time, caption) of each final: in ``target`` where it was translated into that, else as first shown."""
        self.expire(now_s)
        return [
            (entry.at_s, entry.captions.get(target) or next(iter(entry.captions.values())))
            for entry in self._entries.values()
        ]
