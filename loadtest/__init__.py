"""Loads for a running server: k6 scripts for the WebSockets, a swarm of WebRTC callers."""
