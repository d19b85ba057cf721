"""The exception tree.

InterpreterError
├── PeerError            the peer's fault: said to the peer, never logged as ours
│   ├── BadRequest       400  malformed SDP, JSON or parameters
│   ├── Unauthorized     401  no key, or a wrong one
│   ├── Forbidden        403  the origin is not allowed
│   ├── NotFound         404
│   ├── TooLarge         413
│   ├── TooManyRequests  429
│   └── Overloaded       503  with Retry-After: those inside would suffer
├── EngineError          an engine's fault: costs one utterance at most
│   ├── EngineUnavailable     not installed, no weights, not started or on its way back
│   ├── EngineTimeout         no answer before the request's deadline
│   ├── EngineCrashed         the child ended while it had the request
│   ├── EngineFailed          the engine answered with an error
│   └── Superseded            a newer request of the same owner took its place in the queue
└── ConfigError          a setting that cannot be used; start-up ends with its message
"""

from __future__ import annotations


class InterpreterError(Exception):
    """Root of everything this server raises on purpose."""


class PeerError(InterpreterError):
    """A request that cannot be served as it is. ``message`` is written for people."""

    status = 400
    code = "BAD_REQUEST"

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.retry_after_s = retry_after_s


class BadRequest(PeerError):
    """The request does not parse or asks for something that does not exist."""


class Unauthorized(PeerError):
    status = 401
    code = "UNAUTHORIZED"


class Forbidden(PeerError):
    status = 403
    code = "FORBIDDEN"


class NotFound(PeerError):
    status = 404
    code = "NOT_FOUND"


class TooLarge(PeerError):
    status = 413
    code = "TOO_LARGE"


class TooManyRequests(PeerError):
    status = 429
    code = "TOO_MANY_REQUESTS"


class Overloaded(PeerError):
    status = 503
    code = "OVERLOADED"


class EngineError(InterpreterError):
    """An engine could not do what was asked. The text names no speech."""


class EngineUnavailable(EngineError):
    pass


class EngineTimeout(EngineError):
    pass


class EngineCrashed(EngineError):
    pass


class EngineFailed(EngineError):
    pass


class Superseded(EngineError):
    pass


class ConfigError(InterpreterError):
    """A setting has a value that cannot be used."""
