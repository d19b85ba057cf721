"""The aiohttp application: the page, signalling, health and metrics. Imports ``media_server``, never the reverse."""
