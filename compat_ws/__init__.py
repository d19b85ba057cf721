"""The WebSocket endpoints of the older servers."""
