"""Which size of Whisper runs where: pure functions of settings and of the sizes that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from media_server.config import AUTO, Settings

GPU_PREFERENCE = (
    "large-v3-turbo",
    "large-v3",
    "large-v2",
    "medium",
    "small",
    "base",
    "tiny",
    "distil-large-v3.5",
    "distil-large-v3",
    "medium.en",
    "small.en",
    "base.en",
    "tiny.en",
)
"""For ``auto`` on a GPU, best first; those that know English only come behind all others."""
CPU_PREFERENCE = ("base", "tiny", "base.en", "tiny.en")
"""For ``auto`` on a CPU: ``base`` is the largest that keeps up live."""
SIZES = (
    *GPU_PREFERENCE,
    "large-v1",
    "distil-large-v2",
    "distil-medium.en",
    "distil-small.en",
)
"""Sizes that are looked for; others can be named by ``ASR_MODEL_SIZE``."""
ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A size that is there (empty: none is) with its device, and why it was chosen."""

    size: str
    device: str
    reason: str
    missing: str = ""
    """The size that was asked for and is not there."""

    def compute_type(self, precision: str) -> str:
        """For ``ASR_COMPUTE_TYPE=auto``: what ``MODEL_PRECISION`` means on the device. CPUs do not count in fp16."""
        on_gpu = {"fp16": "float16", "fp32": "float32", "int8": "int8_float16"}
        return (on_gpu if self.device == "cuda" else on_gpu | {"fp16": "int8", "int8": "int8"})[precision]


def named(setting: str) -> str:
    """The size that ``ASR_MODEL_SIZE`` means: "whisper-base" is "base", "turbo" is "large-v3-turbo"."""
    size = setting.removeprefix("whisper-")
    return ALIASES.get(size, size)


def choose(settings: Settings, whisper: Mapping[str, str], cuda: bool) -> Choice:
    """``whisper``: size (or the folder that was named) -> folder. An explicit setting wins where it can be met."""
    device = settings.asr_device if settings.asr_device != AUTO else "cuda" if cuda else "cpu"
    wanted = settings.asr_model_size
    best = _best(whisper, device)
    if wanted == AUTO:
        return Choice(best, device, _because(device))
    found = _wanted(settings, whisper)
    if found:
        return Choice(found, device, "ASR_MODEL_SIZE asks for it")
    return Choice(best, device, f"ASR_MODEL_SIZE={wanted} is not here, {_because(device)} is", wanted)


def behind(choice: Choice, whisper: Mapping[str, str]) -> Choice | None:
    """What takes over where the GPU turns out to be of no use."""
    size = _best(whisper, "cpu") or choice.size
    if choice.device != "cuda" or not size:
        return None
    return Choice(size, "cpu", "takes over on the CPU when the GPU does not work")


def _wanted(settings: Settings, whisper: Mapping[str, str]) -> str:
    if settings.asr_model_size in whisper:
        exact = settings.asr_model_size
    else:
        exact = named(settings.asr_model_size)
    english = f"{exact}.en"
    if settings.default_src_lang == "en" and english in whisper:
        return english  # for English alone it is the better of the two
    return exact if exact in whisper else ""


def _best(whisper: Mapping[str, str], device: str) -> str:
    order = GPU_PREFERENCE if device == "cuda" else (*CPU_PREFERENCE, *reversed(GPU_PREFERENCE))
    return next((size for size in order if size in whisper), "")


def _because(device: str) -> str:
    return "the best model here for a GPU" if device == "cuda" else "the best model here that keeps up live"
