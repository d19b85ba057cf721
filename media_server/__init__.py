"""The interpreter's server: audio, pipeline, engines, rooms and WebRTC."""

__version__ = "0.1.0"
