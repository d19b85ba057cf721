"""`python -m media_server.models`: the models command without anything else of the server."""

from __future__ import annotations

import sys

from media_server.models.command import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
