"""Tasks with one owner. A ``TaskGroup`` of the standard library ends with its block; an owner here lives on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class TaskOwner:
    """Owns tasks and ends them. ``stop()`` is idempotent and returns when all of them have ended.

    A task that raises is logged once (its exception's type and text, which never hold speech) and counted in
    ``failures``; the others go on.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False
        self.failures = 0

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def stopped(self) -> bool:
        return self._stopped

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any] | None:
        """Run ``coroutine`` as a task; after ``stop()`` it is closed unrun and None returned."""
        if self._stopped:
            coroutine.close()
            return None
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self._name}.{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures += 1
            logger.error("task %s failed", task.get_name(), exc_info=error)

    async def stop(self) -> None:
        self._stopped = True
        current = asyncio.current_task()
        while tasks := [task for task in self._tasks if task is not current]:
            for task in tasks:
                task.cancel()
            # Not gather(): it does not yield for tasks that have ended, so their callbacks would never run.
            await asyncio.wait(tasks)
