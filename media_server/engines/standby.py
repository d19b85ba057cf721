"""Who stands in for whom: an engine that fails while another takes its work is said to people, and when it is back.

An engine counts as back after its first answer that comes ``CALM_S`` or more after its last failure, so that one which
fails now and then is not announced in turns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from media_server.clock import Clock
from media_server.engines.host import EngineHost
from media_server.errors import EngineError, Superseded
from media_server.events import Status
from media_server.metrics import Metrics

logger = logging.getLogger(__name__)

CALM_S = 5.0


@dataclass(slots=True)
class _Trouble:
    words: str
    failed_at: float


class Standby:
    def __init__(self, metrics: Metrics, clock: Clock, tell: Callable[[Status], None]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._tell = tell
        self._troubles: dict[EngineHost, _Trouble] = {}

    def failed(self, host: EngineHost, error: EngineError, instead: str) -> None:
        """``host`` could not answer; ``instead`` names who takes over."""
        if isinstance(error, Superseded):
            return
        self._metrics.fallbacks.labels(host.spec.kind, host.spec.name, instead).inc()
        known = self._troubles.get(host)
        words = f"{error}. {instead} takes over."
        self._troubles[host] = _Trouble(words, self._clock())
        if known is None:
            logger.warning("engine %s.%s: %s", host.spec.kind, host.spec.name, words)
            self._tell(Status(host.spec.kind, host.spec.name, "warning", words))

    def answered(self, host: EngineHost) -> None:
        trouble = self._troubles.get(host)
        if trouble is None or self._clock() - trouble.failed_at < CALM_S:
            return
        del self._troubles[host]
        words = f"{host.spec.name} answers again."
        logger.info("engine %s.%s answers again", host.spec.kind, host.spec.name)
        self._tell(Status(host.spec.kind, host.spec.name, "info", words))

    def trouble(self, host: EngineHost) -> str:
        """Why another engine does its work at present, for people; empty when it does it itself."""
        trouble = self._troubles.get(host)
        return trouble.words if trouble is not None else ""
