"""What the application carries, under typed keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from media_server.rooms.hub import Hub
from media_server.rtc.calls import Calls
from signaling.door import Door

if TYPE_CHECKING:
    from signaling.openai_api import Uploads


class Entrance(Protocol):
    """Another protocol on this port, beside ``/offer``. Access has been checked when its handler is called."""

    path: str

    def add_to(self, app: web.Application, address: Callable[[web.Request], str]) -> None:
        """Joins the application; ``address`` tells where a request came from."""

    def health(self) -> dict[str, Any]:
        """What ``/health`` says of it, under its path."""

    def notices(self) -> list[dict[str, str]]:
        """What people should know now: ``level`` and ``text``."""


HUB = web.AppKey("hub", Hub)
CALLS = web.AppKey("calls", Calls)
WEB = web.AppKey("web", Path)
DOOR = web.AppKey("door", Door)
DESCRIPTION = web.AppKey("description", dict[str, Any])
UPLOADS: web.AppKey[Uploads] = web.AppKey("uploads")
ENTRANCES = web.AppKey("entrances", Sequence[Entrance])
