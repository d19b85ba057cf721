"""WebRTC: the only package that imports aiortc and aioice."""
