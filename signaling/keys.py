"""What the application carries, under typed keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from media_server.rooms.hub import Hub
from media_server.rtc.calls import Calls
from signaling.door import Door

if TYPE_CHECKING:
    from signaling.openai_api import Uploads

HUB = web.AppKey("hub", Hub)
CALLS = web.AppKey("calls", Calls)
WEB = web.AppKey("web", Path)
DOOR = web.AppKey("door", Door)
DESCRIPTION = web.AppKey("description", dict[str, Any])
UPLOADS: web.AppKey[Uploads] = web.AppKey("uploads")
