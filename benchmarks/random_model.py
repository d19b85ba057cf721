"""Translation models of any size with random weights, in the layout of real ones: they say nonsense at real cost."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.converters import marian
from ctranslate2.converters.converter import Converter
from ctranslate2.specs import common_spec, transformer_spec
from numpy.typing import NDArray


class _Weights(dict[str, NDArray[np.float32]]):
    """Random arrays under the names of a Marian model, made when they are asked for."""

    def __init__(self, dim: int, inner: int, words: int, seed: int) -> None:
        super().__init__()
        self._random = np.random.default_rng(seed)
        self._dim, self._inner, self._words = dim, inner, words
        self["Wemb"] = self._draw(words, dim)
        self["decoder_ff_logit_out_b"] = self._draw(1, words)

    def get(self, key: str, default: Any = None) -> Any:
        if (
            key not in self
            and not key.endswith(("_Wemb", "Wpos"))
            and "_Wt" not in key
            and "logit_out" not in key
        ):
            self[key] = self._make(key)
        return dict.get(self, key, default)

    def __missing__(self, key: str) -> NDArray[np.float32]:
        if key.endswith("_pre"):
            raise KeyError(key)
        self[key] = (
            np.ones((1, self._dim), np.float32) if "scale" in key else np.zeros((1, self._dim), np.float32)
        )
        return self[key]

    def _make(self, key: str) -> NDArray[np.float32]:
        sizes = {"_W1": (self._dim, self._inner), "_W2": (self._inner, self._dim), "_b1": (1, self._inner)}
        for end, size in sizes.items():
            if key.endswith(end):
                return self._draw(*size)
        return self._draw(1, self._dim) if "_b" in key[-3:] else self._draw(self._dim, self._dim)

    def _draw(self, *size: int) -> NDArray[np.float32]:
        drawn: NDArray[np.float32] = self._random.normal(0, 0.05, size).astype(np.float32)
        return drawn


class _Random(Converter):  # type: ignore[misc]  # the library has no types
    def __init__(
        self, vocabulary: Sequence[str], layers: int, dim: int, heads: int, inner: int, seed: int
    ) -> None:
        self._vocabulary = list(vocabulary)
        self._shape = (layers, dim, heads, inner, seed)

    def _load(self) -> Any:
        layers, dim, heads, inner, seed = self._shape
        spec = transformer_spec.TransformerSpec.from_config(
            (layers, layers), heads, pre_norm=False, activation=common_spec.Activation.SWISH
        )
        marian.set_transformer_spec(spec, _Weights(dim, inner, len(self._vocabulary), seed))
        spec.register_source_vocabulary(self._vocabulary)
        spec.register_target_vocabulary(self._vocabulary)
        spec.config.decoder_start_token = "</s>"
        return spec


def make(
    folder: Path, vocabulary: Sequence[str], *, layers: int = 6, dim: int = 512, heads: int = 8, inner: int = 2048,
    quantization: str = "int8", seed: int = 5, tokenizers: dict[str, Path] | None = None,
) -> None:  # fmt: skip
    """A model in ``folder``; the defaults are OPUS-MT's usual size. ``tokenizers``: name in the folder -> file."""
    _Random(vocabulary, layers, dim, heads, inner, seed).convert(str(folder), quantization=quantization)
    for name, path in (tokenizers or {}).items():
        shutil.copyfile(path, folder / name)
