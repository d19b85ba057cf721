"""When each word of a clip has been said: Whisper's cross-attention aligned with the true words, offline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material import Clip
from media_server.engines.log_mel import samples_of


class Aligner:
    """Holds the model that the words are aligned with. Good to about 0.1 s."""

    def __init__(self, model_dir: Path) -> None:
        from faster_whisper import WhisperModel
        from faster_whisper.transcribe import Tokenizer

        self._whisper: Any = WhisperModel(
            str(model_dir), device="cpu", compute_type="int8", local_files_only=True
        )
        self._tokenizer: Any = Tokenizer(
            self._whisper.hf_tokenizer, self._whisper.model.is_multilingual, task="transcribe", language="en"
        )

    def align(self, clip: Clip) -> Clip:
        """The clip with ``word_ends_s``, one for each word of its text as written, in rising order."""
        whisper, tokenizer = self._whisper, self._tokenizer
        features = whisper.feature_extractor(samples_of(clip.pcm), padding=0)
        frames = features.shape[1]
        padded = np.pad(features, ((0, 0), (0, 3000 - frames)), constant_values=float(features.min()))
        tokens = tokenizer.encode(" " + clip.text)
        (aligned,) = whisper.find_alignment(tokenizer, [tokens], whisper.encode(padded), frames)
        ends: list[float] = []
        for word in aligned:
            if not word["word"].strip():
                continue
            if any(character.isalnum() for character in word["word"]):
                ends.append(float(word["end"]))
        if len(ends) != len(clip.text.split()):
            raise ValueError(f"{len(ends)} ends for {len(clip.text.split())} words")
        limit = clip.voiced[1] / 16_000
        return replace(clip, word_ends_s=tuple(np.maximum.accumulate(np.minimum(ends, limit)).tolist()))
