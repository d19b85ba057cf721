"""The composition root: settings, engines, hub, calls, HTTP server, and their end.

``meeting-voice-language`` starts the server; ``meeting-voice-language models ...`` manages the models.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what is imported at run time decides how soon the server listens
    from media_server.config import Settings
    from media_server.rooms.hub import Hub
    from media_server.rtc.calls import Calls

WEBSOCKETS_S = 5.0
"""At the end WebSockets are closed with a reason; one that does not answer is cut after this long."""

USAGE = """usage: meeting-voice-language            start the server (settings: environment and .env)
       meeting-voice-language models ... list, fetch and verify models"""


def main(argv: list[str] | None = None) -> int:
    """The exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["models"]:
        from media_server.models import command

        return command.run(arguments[1:])
    if arguments and arguments != ["serve"]:
        print(USAGE)
        return 0 if arguments[0] in {"-h", "--help"} else 2
    from media_server import config, logs
    from media_server.errors import ConfigError

    try:
        settings = config.load(os.environ, Path(".env"))
        logs.configure(settings.log_level, settings.log_format)
        for name, near in config.misspelt({*os.environ, *config.read_dotenv(Path(".env"))}).items():
            print(f"meeting-voice-language: {name} is no setting: do you mean {near}?", file=sys.stderr)
        return _run(settings)
    except ConfigError as error:
        print(f"meeting-voice-language: {error}", file=sys.stderr)
        return 2


def _run(settings: Settings) -> int:
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.run(_serve(settings))
    return uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    from aiohttp import web

    from compat_ws.audio_handler import AudioSockets
    from compat_ws.echo_handler import Echo
    from media_server.engines.fleet import Fleet
    from media_server.engines.registry import choose, look_around
    from media_server.errors import ConfigError
    from media_server.memory import MemoryKeeper
    from media_server.metrics import Metrics
    from media_server.models.store import ModelStore
    from media_server.rooms.hub import Hub
    from media_server.rtc import hardening
    from media_server.rtc.calls import Calls
    from signaling.app import make_app
    from signaling.door import Door
    from signaling.keys import Entrance

    logger = logging.getLogger("media_server")
    hardening.install()
    store = ModelStore(settings.models_path)
    plan = choose(settings, look_around(settings, store), f"{own_command()} models fetch")
    metrics = Metrics()
    hub = Hub(settings, Fleet(plan, metrics), metrics)
    calls = Calls(hub)
    context = _tls(settings)
    door = Door.of(settings, metrics)
    entrances: list[Entrance] = [AudioSockets(hub), Echo(hub, calls.denoiser)]
    app = make_app(hub, calls, web_folder(), door, entrances=entrances)
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=20, lingering_time=5, shutdown_timeout=WEBSOCKETS_S
    )
    await runner.setup()
    memory = MemoryKeeper(lambda: hub.ended)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform != "win32":
            loop.add_signal_handler(number, stop.set)
    try:
        try:
            assert runner.server is not None
            await door.open(runner.server, settings.host, settings.port, context)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); choose another PORT"
            ) from error
        _say_hello(hub, calls, settings, secure=context is not None)
        memory.start()
        await stop.wait()
        logger.info("stopping: no new calls", extra={"sessions": len(hub)})
        await hub.drain()
    finally:
        await memory.stop()
        await door.close()
        await runner.cleanup()
    logger.info("stopped")
    return 0


def own_command() -> str:
    """How people call this program from where it was started."""
    name = "meeting-voice-language"
    beside = Path(sys.executable).parent / name
    found = shutil.which(name)
    if found is not None and Path(found).parent.resolve() == beside.parent.resolve():
        return name
    if beside.is_file():
        return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
    return "python -m media_server"


def web_folder() -> Path:
    """The page's files: `web/` in a checkout, inside the package where it is installed."""
    package = Path(__file__).resolve().parent
    installed = package / "web"
    return installed if installed.is_dir() else package.parent / "web"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    from signaling import certificate

    if settings.tls_certfile:
        return certificate.server_context(settings.tls_certfile, settings.tls_keyfile)
    if not settings.tls:
        return None
    return certificate.server_context(*certificate.self_signed(settings.models_path.parent / "tls"))


def _say_hello(hub: Hub, calls: Calls, settings: Settings, *, secure: bool) -> None:
    """Where the server is, which engine does what and why, and what would make it better.

    On a collector's log, in one line of it.
    """
    from signaling.certificate import local_address

    if settings.log_format == "json":
        engines = {
            host.spec.kind: f"{host.spec.name}: {host.spec.reason}" for host in reversed(hub.fleet.hosts)
        }
        absent = [f"{one.message} To get it: {one.command}" for one in hub.fleet.missing()]
        logging.getLogger("media_server").info(
            "listening", extra={"port": settings.port, "tls": secure, "engines": engines, "missing": absent}
        )
        return
    scheme = "https" if secure else "http"
    lines = ["", f"  Open {scheme}://localhost:{settings.port}/"]
    if secure:
        lines.append(
            f"  On a phone in this network: {scheme}://{local_address()}:{settings.port}/ (accept the certificate)"
        )
    else:
        lines.append("  On a phone: start with TLS=1 (browsers give a microphone to HTTPS pages only)")
    lines.append("")
    words = {"recognize": "Hears", "turn": "Endings", "translate": "Translates", "speak": "Speaks"}
    seen = set()
    for host in hub.fleet.hosts:
        key = host.spec.sort
        if key not in seen:
            seen.add(key)
            lines.append(f"  {words[host.spec.kind]:<11} {host.spec.name}: {host.spec.reason}")
    lines.append(f"  {'Denoises':<11} {calls.denoiser[0]}: {calls.denoiser[1]}")
    for missing in hub.fleet.missing():
        lines.append(f"  {'Missing':<11} {missing.message} To get it: {missing.command}")
    lines.append(
        f"  {'Better':<11} other sizes of Whisper (ASR_MODEL_SIZE chooses one), translation models, more voices:"
    )
    lines.append(
        f"  {'':<11} {own_command()} models fetch --asr small --pairs en-es,es-en --voices es_ES-davefx-medium"
    )
    lines.append(f"  {'':<11} They lie in {settings.models_path}; what is there is used at the next start")
    print("\n".join(lines) + "\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
