"""Headers of every answer: what a browser may do with it, and which other pages may read it."""

from __future__ import annotations

from aiohttp import web

from signaling.keys import HUB

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob: mediastream:",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def dress(request: web.Request, response: web.StreamResponse) -> None:
    """Sets them. An answer that is sent in pieces has to be dressed before the first one."""
    response.headers.update(HEADERS)
    origin = request.headers.get("Origin", "")
    allowed = {name.rstrip("/") for name in request.app[HUB].settings.allowed_origins}
    if origin and origin.rstrip("/") in allowed:  # Fetch standard, CORS protocol
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, X-Consent"
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
