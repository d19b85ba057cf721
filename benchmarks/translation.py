"""What a translation model of OPUS-MT's size costs here: ``make bench-mt``.

The weights are random, so the length of the answers is fixed (that of the sources, as it is on average); everything
else is as ``engines/marian`` does it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import ctranslate2
import numpy as np

from benchmarks.random_model import make
from media_server.engines.marian import BEAM_CPU, BEAM_CUDA

WORDS = 58_100  # of opus-mt-en-es, about
PIECES = 20  # of a sentence of twelve words
BATCHES = (1, 2, 4, 8, 16)


def measure(translator: ctranslate2.Translator, batch: int, beam: int, seconds: float) -> tuple[float, float]:
    """(sentences a second, milliseconds a batch at the median)."""
    rng = np.random.default_rng(batch)
    took: list[float] = []
    begun = time.perf_counter()
    while len(took) < 4 or time.perf_counter() - begun < seconds:
        tokens = [[f"w{n}" for n in rng.integers(0, WORDS - 3, PIECES)] + ["</s>"] for _ in range(batch)]
        started = time.perf_counter()
        translator.translate_batch(
            tokens, beam_size=beam, min_decoding_length=PIECES, max_decoding_length=PIECES, disable_unk=True
        )
        took.append(time.perf_counter() - started)
    return batch * len(took) / sum(took), float(np.median(took)) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="per line")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if ctranslate2.get_cuda_device_count() else "cpu")
    arguments = parser.parse_args()
    cuda = arguments.device == "cuda"
    beam, number_format = (BEAM_CUDA, "float16") if cuda else (BEAM_CPU, "int8")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "model"
        make(
            folder, ["</s>", "<unk>", *(f"w{n}" for n in range(WORDS - 3)), "<s>"], quantization=number_format
        )
        size = (folder / "model.bin").stat().st_size / 1e6
        translator = ctranslate2.Translator(
            str(folder), device=arguments.device, compute_type=number_format,
            inter_threads=1, intra_threads=arguments.threads,
        )  # fmt: skip
        print(f"OPUS-MT's size, random weights, {number_format} on {arguments.device}: {size:.0f} MB on disk")
        print(f"{PIECES} pieces in and out, {arguments.threads} thread(s)")
        print("beam  batch  sentences/s  ms a batch")
        for width in dict.fromkeys((1, beam)):
            for batch in BATCHES:
                rate, batch_ms = measure(translator, batch, width, arguments.seconds)
                print(f"{width:>4} {batch:>6} {rate:>12.1f} {batch_ms:>11.0f}", flush=True)


if __name__ == "__main__":
    main()
