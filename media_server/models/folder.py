"""Source: a folder that already has the files, for instance a copy from another machine (`--from FOLDER`)."""

from __future__ import annotations

from pathlib import Path

from media_server.models.transfer import SourceError, Transfer

_CHUNK = 1 << 20  # 1 MiB


class Folder:
    """Takes ``FOLDER/<model>/<file>`` or ``FOLDER/<file>``, whichever has the right size."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.name = f"the folder {root}"

    def get(self, transfer: Transfer) -> None:
        """Appends the rest of the file; raises SourceError where it is not there."""
        file = transfer.file
        for path in (self._root / transfer.model.name / file.name, self._root / file.name):
            if not path.is_file() or path.stat().st_size != file.size:
                continue
            with path.open("rb") as source:
                source.seek(transfer.offset)
                while chunk := source.read(_CHUNK):
                    transfer.write(chunk)
            return
        raise SourceError(f"{file.name} is not there")
