"""One table of settings: environment first, then `.env`, then the default.

A setting is a field of ``Settings``; its name in the environment is the field's name in capitals. README and
`example.env` list every one, and a test holds them to it. Secrets are masked in ``repr``.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from media_server.errors import ConfigError
from media_server.glossary import from_setting

AUTO = "auto"
COMPUTE_TYPES = (
    "auto", "default", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16",
    "float32",
)  # fmt: skip
SHORTEST_GUESS = 6  # characters: short names of other programs are near too much
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def setting(default: Any, text: str, *, secret: bool = False, choices: tuple[str, ...] = ()) -> Any:
    """A field with its explanation; ``choices`` are checked when the settings are read."""
    return field(default=default, metadata={"text": text, "secret": secret, "choices": choices})


def default_models_dir() -> str:
    """Where this system keeps data of applications."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return str(Path(base) / "meeting-voice-language" / "models")


@dataclass(frozen=True)
class Settings:
    """Every setting of the server. Lists are comma-separated in the environment."""

    host: str = setting("0.0.0.0", "Address to listen on for HTTP")
    port: int = setting(5000, "Port to listen on for HTTP")
    log_level: str = setting(
        "INFO", "How much the log says", choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    )
    log_format: str = setting("text", "`text` for people, `json` for collectors", choices=("text", "json"))
    enable_metrics: bool = setting(True, "Serve Prometheus metrics on `/metrics`")
    tls: bool = setting(False, "Serve HTTPS; a self-signed certificate is made unless the next two are set")
    tls_certfile: str = setting("", "Certificate chain, PEM")
    tls_keyfile: str = setting("", "Private key of the certificate, PEM")
    drain_secs: float = setting(10.0, "After SIGTERM running calls may go on this long")

    api_keys: tuple[str, ...] = setting((), "Keys that may use the server; none: open to all", secret=True)
    allowed_origins: tuple[str, ...] = setting((), "Web origins whose pages may call; none: all")
    consent_required: bool = setting(False, "No sound is taken from anybody before they agree")
    store_transcripts: bool = setting(False, "Refused at start-up: there is no encrypted store yet")
    transcripts_path: str = setting("/data/transcripts", "Where transcripts would be kept")

    trusted_proxies: tuple[str, ...] = setting(
        (), "Networks of reverse proxies whose `X-Forwarded-For` is believed"
    )

    max_connections_per_address: int = setting(
        512, "TCP connections of one address at a time; idle ones give way first. Not for `TRUSTED_PROXIES`"
    )
    max_sessions: int = setting(64, "Calls at a time; more are refused with 503 and `Retry-After`")
    max_uploads: int = setting(
        4, "Recordings and texts of the OpenAI-compatible endpoints worked on at a time; more get 429"
    )
    resume_secs: float = setting(
        30.0, "A call whose network is lost is kept this long for its page to come back"
    )
    history_retention_secs: float = setting(
        1800.0, "Finals of a room are kept in memory this long for those who ask for them; 0: none"
    )
    share_default_room: bool = setting(
        True, "Older clients that name no room meet in the room `default`; 0: each is alone"
    )
    ws_idle_secs: float = setting(
        600.0, "A WebSocket on which nothing moves in either direction is closed after this long"
    )
    ws_max_per_address: int = setting(256, "WebSockets that one address may have open; 0: any number")
    max_queue_wait_ms: int = setting(
        300, "New calls are refused while finals wait longer than this for a recognizer, on average"
    )
    max_speech_load: float = setting(
        1.0,
        "New calls are refused while the people who speak need more than this share of the recognizers' time",
    )
    max_loop_lag_ms: int = setting(200, "New calls are refused while the event loop runs later than this")

    ice_servers: tuple[str, ...] = setting((), "STUN and TURN addresses given to pages")
    turn_secret: str = setting(
        "", "Shared secret of the TURN server (coturn `static-auth-secret`)", secret=True
    )
    turn_ttl_secs: int = setting(3600, "Lifetime of TURN credentials, at most 3600")
    rtc_port_min: int = setting(0, "First UDP port for media; 0: any")
    rtc_port_max: int = setting(0, "Last UDP port for media; 0: any")
    rtc_public_ip: str = setting("", "Address that clients reach this server at, when it is behind NAT")
    rtc_bind: str = setting("", "Only use this local address for media")
    rtc_ice_servers: tuple[str, ...] = setting(
        (), "STUN and TURN addresses that the server itself uses; each may delay its answers"
    )
    rtc_deny_cidrs: tuple[str, ...] = setting((), "Networks that clients may not name as theirs")

    default_src_lang: str = setting(AUTO, "Language spoken when the client names none; `auto` detects it")
    default_tgt_lang: str = setting("en", "Language heard when the client names none")
    glossary: tuple[str, ...] = setting(
        (), "Names and terms of all calls: `Aoife, Board of Trade=es:Cámara de Comercio`"
    )

    models_dir: str = setting("", "Folder of the models; empty: the system's place for application data")
    openai_api_key: str = setting("", "Key of an OpenAI-compatible server", secret=True)
    openai_org: str = setting("", "Organization that the key's requests count for")
    openai_base_url: str = setting(
        "", "Address of an OpenAI-compatible server up to `/v1`; empty: OpenAI's own"
    )
    openai_asr_model: str = setting("gpt-4o-mini-transcribe", "Its model that recognizes")
    openai_mt_model: str = setting("gpt-4o-mini", "Its model that translates")
    openai_tts_model: str = setting("tts-1", "Its model that speaks")
    openai_tts_voice: str = setting(
        "alloy", "Its voice; `{language}` in it becomes the code of the language to speak"
    )
    openai_timeout_secs: float = setting(
        4.0, "A sentence that it has not answered after this long is given to a local engine"
    )
    asr_provider: str = setting(
        "local", "Who recognizes: this machine, or an OpenAI-compatible server", choices=("local", "openai")
    )
    asr_model_size: str = setting(AUTO, "Whisper size (`tiny`, `base`, ...) or a folder")
    asr_compute_type: str = setting(
        AUTO,
        "Number format of the recognizer, as CTranslate2 names it (`int8`, `float16`, ...); `auto`: by the next",
        choices=COMPUTE_TYPES,
    )
    model_precision: str = setting(
        "fp16",
        "How exactly the recognizer counts: `fp16` on a GPU (a CPU cannot and takes int8), `fp32`, `int8`",
        choices=("fp16", "fp32", "int8"),
    )
    asr_device: str = setting(AUTO, "`cpu`, `cuda` or `auto`", choices=("auto", "cpu", "cuda"))
    asr_workers: int = setting(0, "Recognizer processes; 0: one a core (at most 8), one on a GPU")
    asr_threads: int = setting(0, "Threads of a recognizer process; 0: one")
    asr_max_batch: int = setting(0, "Windows decoded together; 0: as many as pay on the device, 1: none")
    asr_batch_window_ms: int = setting(
        40, "A window waits this long for those of other speakers, while some are about to come"
    )
    asr_partial_ms: int = setting(500, "An open utterance is recognized again this often")
    asr_ahead_ms: int = setting(200, "Silence after which the ending is worked out ahead of time")
    asr_hangover_min_ms: int = setting(300, "Silence that ends an utterance that sounds and reads finished")
    asr_hangover_max_ms: int = setting(1000, "Silence that ends any utterance")
    asr_hear_denoised: bool = setting(False, "Give the recognizer the denoised sound instead of the raw one")
    mt_provider: str = setting(
        "local", "Who translates: this machine, or an OpenAI-compatible server", choices=("local", "openai")
    )
    mt_default_src: str = setting("hi", "With the next: the pair whose model is loaded first at start-up")
    mt_default_tgt: str = setting("en", "See `MT_DEFAULT_SRC`")
    mt_device: str = setting(
        AUTO, "Where translation models run: `cpu`, `cuda` or `auto`", choices=("auto", "cpu", "cuda")
    )
    mt_model_template: str = setting(
        "gaudi/opus-mt-{src}-{tgt}-ctranslate2",
        "Repositories that translation models are fetched from, or folders of this machine that hold them",
    )
    huggingface_token: str = setting("", "Token for models of the hub that ask for one", secret=True)
    apertium_modes: str = setting("/usr/share/apertium/modes", "Folder of Apertium's modes")
    tts_provider: str = setting(
        "local", "Who speaks: this machine, or an OpenAI-compatible server", choices=("local", "openai")
    )
    tts_device: str = setting(
        AUTO,
        "Where Piper runs: `cpu`, `cuda` or `auto`; a GPU needs the package onnxruntime-gpu",
        choices=(AUTO, "cpu", "cuda"),
    )
    tts_engine: str = setting(
        AUTO,
        "`piper`, `espeak-ng`, the best there is, or `gtts`: Google Translate's voices, which get the text",
        choices=(AUTO, "piper", "espeak-ng", "gtts"),
    )
    gtts_lang: str = setting(
        "en", "Google's name of a variant to speak its language in (`pt-PT`, `zh-TW`); does not choose gTTS"
    )
    gtts_url: str = setting(
        "https://translate.google.com", "Where gTTS asks: another Google domain, or a gateway to it"
    )
    tts_cache_dir: str = setting(
        "", "Folder that keeps gTTS's clips, which say what was said; empty: in memory only"
    )
    tts_cache_mb: int = setting(100, "Most megabytes in it; the longest unused clips go first")
    enable_rnnoise: bool = setting(True, "Denoise with RNNoise; else with a noise gate")
    noise_gate_threshold: float = setting(0.015, "The gate closes under this RMS, as a share of full scale")
    noise_gate_attenuation: float = setting(0.2, "What the closed gate multiplies by")
    default_sample_rate: int = setting(48_000, "`/ws-audio`: Hz, where the client names none")
    default_channels: int = setting(1, "`/ws-audio`: channels, where the client names none")
    default_frame_size: int = setting(480, "`/ws-audio`: samples of a frame, where the client names none")
    echo_max_clients: int = setting(512, "Connections to `/ws-audio` at a time")
    speech_queue_secs: float = setting(
        6.0, "A sentence that would be heard later than this after it was said is skipped, with a mark"
    )

    def __repr__(self) -> str:
        shown = []
        for item in fields(self):
            value = getattr(self, item.name)
            shown.append(f"{item.name}={'***' if item.metadata['secret'] and value else repr(value)}")
        return f"Settings({', '.join(shown)})"

    @property
    def models_path(self) -> Path:
        return Path(self.models_dir or default_models_dir()).expanduser()


def read_dotenv(path: Path) -> dict[str, str]:
    """``KEY=value`` lines; ``#`` comments, quotes around a value and a leading ``export`` are understood."""
    values: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return values
    for line in lines:
        line = line.strip().removeprefix("export ")
        key, separator, value = line.partition("=")
        if not separator or line.startswith("#"):
            continue
        value = value.strip()
        if value[:1] in {'"', "'"} and value.endswith(value[0]) and len(value) > 1:
            value = value[1:-1]
        else:
            value = value.split(" #", 1)[0].strip()
        values[key.strip()] = value
    return values


def _convert(name: str, value: str, kind: str) -> Any:
    try:
        if kind == "bool":
            lowered = value.strip().lower()
            if lowered in _TRUE or lowered in _FALSE:
                return lowered in _TRUE
            raise ValueError
        if kind == "int":
            return int(value)
        if kind == "float":
            return float(value)
    except ValueError:
        words = {"bool": "0 or 1", "int": "a whole number", "float": "a number"}[kind]
        raise ConfigError(f"{name}={value!r}: should be {words}") from None
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value.strip()


def misspelt(names: Iterable[str]) -> dict[str, str]:
    """Names that are no settings but nearly one, and that one."""
    known = [item.name.upper() for item in fields(Settings)]
    found = {}
    for name in set(names) - set(known):
        near = get_close_matches(name, known, 1, 0.88)
        if near and len(name) >= SHORTEST_GUESS:
            found[name] = near[0]
    return found


def load(environ: Mapping[str, str], dotenv: Path | None = None) -> Settings:
    """Reads and checks the settings; raises ConfigError with words that say which one and why."""
    merged = {**(read_dotenv(dotenv) if dotenv else {}), **environ}
    given: dict[str, Any] = {}
    for item in fields(Settings):
        name = item.name.upper()
        if (raw := merged.get(name)) is None or (raw == "" and item.type != "bool"):
            continue
        value = _convert(name, raw, str(item.type))
        choices = item.metadata["choices"]
        if choices and value not in choices:
            folded = {str(choice).lower(): choice for choice in choices}
            if str(value).lower() not in folded:
                raise ConfigError(f"{name}={raw!r}: should be one of {', '.join(choices)}")
            value = folded[str(value).lower()]
        given[item.name] = value
    settings = Settings(**given)
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    from_setting(settings.glossary)
    if settings.store_transcripts:
        raise ConfigError(
            "STORE_TRANSCRIPTS=1: this version has no encrypted store, so it keeps no transcripts. Unset it."
        )
    for name in ("port", "rtc_port_min", "rtc_port_max"):
        if not 0 <= getattr(settings, name) <= 65535:
            raise ConfigError(f"{name.upper()}={getattr(settings, name)}: should be a port, 0 to 65535")
    if settings.rtc_port_min > settings.rtc_port_max:
        raise ConfigError("RTC_PORT_MIN is above RTC_PORT_MAX")
    if bool(settings.rtc_port_min) != bool(settings.rtc_port_max):
        raise ConfigError("RTC_PORT_MIN and RTC_PORT_MAX go together")
    for name in ("rtc_public_ip", "rtc_bind"):
        if value := getattr(settings, name):
            try:
                ipaddress.ip_address(value)
            except ValueError:
                raise ConfigError(f"{name.upper()}={value!r}: should be an IP address") from None
    for name in ("rtc_deny_cidrs", "trusted_proxies"):
        for cidr in getattr(settings, name):
            try:
                ipaddress.ip_network(cidr, strict=False)
            except ValueError:
                raise ConfigError(f"{name.upper()}: {cidr!r} is no network") from None
    if bool(settings.tls_certfile) != bool(settings.tls_keyfile):
        raise ConfigError("TLS_CERTFILE and TLS_KEYFILE go together")
    if not 0 < settings.turn_ttl_secs <= 3600:
        raise ConfigError("TURN_TTL_SECS should be 1 to 3600")
    if not 100 <= settings.asr_hangover_min_ms <= settings.asr_hangover_max_ms <= 5000:
        raise ConfigError("ASR_HANGOVER_MIN_MS and ASR_HANGOVER_MAX_MS should be 100 to 5000, in that order")
    if not 100 <= settings.asr_partial_ms <= 10_000:
        raise ConfigError("ASR_PARTIAL_MS should be 100 to 10000")
    _check_openai(settings)
    if settings.max_uploads < 0:
        raise ConfigError("MAX_UPLOADS should be 0 (none) or more")
    address = urlsplit(settings.gtts_url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ConfigError(f"GTTS_URL={settings.gtts_url!r}: should be an address like https://host")
    if settings.tts_cache_mb < 1:
        raise ConfigError("TTS_CACHE_MB should be 1 or more")
    if settings.speech_queue_secs <= 0:
        raise ConfigError("SPEECH_QUEUE_SECS should be more than 0")
    if not 0 <= settings.asr_max_batch <= 64:
        raise ConfigError("ASR_MAX_BATCH should be 0 to 64")
    if not 0 <= settings.asr_batch_window_ms <= 500:
        raise ConfigError("ASR_BATCH_WINDOW_MS should be 0 to 500")
    if settings.ws_idle_secs < 10:
        raise ConfigError("WS_IDLE_SECS should be 10 or more")
    if settings.ws_max_per_address < 0:
        raise ConfigError("WS_MAX_PER_ADDRESS should be 0 or more")
    if not 8_000 <= settings.default_sample_rate <= 192_000:
        raise ConfigError("DEFAULT_SAMPLE_RATE should be 8000 to 192000")
    if not 1 <= settings.default_channels <= 8:
        raise ConfigError("DEFAULT_CHANNELS should be 1 to 8")
    if not 1 <= settings.default_frame_size <= settings.default_sample_rate:
        raise ConfigError("DEFAULT_FRAME_SIZE should be 1 to DEFAULT_SAMPLE_RATE, a second of sound")
    if settings.max_speech_load <= 0:
        raise ConfigError("MAX_SPEECH_LOAD should be above 0")
    for name in ("max_sessions", "max_connections_per_address"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name.upper()} should be 1 or more")
    if not 0 <= settings.history_retention_secs <= 86_400:
        raise ConfigError("HISTORY_RETENTION_SECS should be 0 to 86400")


def _check_openai(settings: Settings) -> None:
    """Nothing here quotes the key or an address that may hold one."""
    url = urlsplit(settings.openai_base_url)
    try:
        wrong = settings.openai_base_url and (
            url.scheme not in {"http", "https"} or not url.hostname or (url.port is not None and url.port < 1)
        )
    except ValueError:
        wrong = True
    if wrong or url.query or url.fragment or re.search(r"[^!-~]", settings.openai_base_url):
        raise ConfigError("OPENAI_BASE_URL should be an address like https://host:port/v1")
    if url.username or url.password:
        raise ConfigError("OPENAI_BASE_URL should hold no user or password: OPENAI_API_KEY is for that")
    for name in ("openai_api_key", "openai_org"):
        if re.search(r"[^!-~]", getattr(settings, name)):
            raise ConfigError(
                f"{name.upper()} holds a character that no key has (a space, a line break, ...)"
            )
    if not 1.0 <= settings.openai_timeout_secs <= 10.0:
        raise ConfigError("OPENAI_TIMEOUT_SECS should be 1 to 10")
    wanted = [
        name.upper()
        for name in ("asr_provider", "mt_provider", "tts_provider")
        if getattr(settings, name) == "openai"
    ]
    if wanted and not settings.openai_api_key and not settings.openai_base_url:
        raise ConfigError(
            f"{wanted[0]}=openai needs OPENAI_API_KEY, or OPENAI_BASE_URL of a server without keys"
        )
