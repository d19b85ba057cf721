"""Translation by models for CTranslate2: OPUS-MT (Marian), NLLB and M2M100. No PyTorch.

A text is cut into sentences, since these models are trained on single ones; the sentences of all requests of a batch
that go to one model are decoded together. Each model brings its own sentencepiece models. What such a model wants
around the pieces of a sentence:

- OPUS-MT: ``</s>`` behind them, unless the converter's ``config.json`` has the runtime add it; in front ``>>xx<<``
  where the model has several targets;
- NLLB and M2M100: the source's token in front, ``</s>`` behind, and the target's token as the answer's first.

Models are loaded at start-up, as many as are kept; others when they are first needed, in place of the one that was
used least recently. A folder that turns out broken costs its own pairs and says so.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from media_server.engines.base import Capabilities, Pair, TranslateRequest, Translation
from media_server.engines.sentences import clean, sentences
from media_server.engines.translation_models import TranslationModel, Unusable, inspect
from media_server.errors import EngineFailed, EngineUnavailable

KEPT = 6  # models in memory, 75 to 600 MB each
LONGEST = 300  # characters of a sentence; a longer one is cut at a clause
BATCH_CPU, BATCH_CUDA = 8, 32  # requests at a time
MOST_PIECES = 200  # of what is decoded at once; the models know 512 positions, some fewer
TOKENS_AT_ONCE = 2048  # of a decode; more are decoded one after the other
BEAM_CPU, BEAM_CUDA = 2, 4
_EOS = "</s>"
_UNKNOWN = ("<unk>", "⁇")
_MARKS = "*@#"
_NO_SPACES = frozenset({"zh", "ja", "th", "lo", "km", "my"})


class MarianTranslator:
    """``models``: JSON, a list of ``[folder, source, target]``; source and target may be empty, then the folder's name
    and vocabulary tell them. The first ones are loaded first. ``device``: ``auto``, ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        models: str,
        name: str = "marian",
        device: str = "cpu",
        threads: int = 1,
        kept: int = KEPT,
        licence: str = "CC-BY-4.0",
    ) -> None:
        self._wanted: list[tuple[str, str, str]] = [(f, s, t) for f, s, t in json.loads(models)]
        self._name = name
        self._device = device
        self._threads = threads
        self._kept = max(1, kept)
        self._licence = licence
        self._by_pair: dict[tuple[str, str], TranslationModel] = {}
        self._loaded: OrderedDict[Path, _Loaded] = OrderedDict()
        self._faults: list[str] = []

    def load(self) -> Capabilities:
        import ctranslate2

        wanted, self._device = self._device, _usable_device(self._device)
        usable = self._load_first()
        note = ""
        if not usable and self._device == "cuda" and wanted == "auto":
            # A driver without CUDA's libraries is noticed only here.
            note = f"The GPU is not used for translation: {'; '.join(self._faults)}"
            self._device, self._faults = "cpu", []
            usable = self._load_first()
        if not usable:
            reasons = "; ".join(self._faults) or "no folder is named"
            raise EngineUnavailable(f"No translation model can be used. {reasons}")
        pairs: dict[tuple[str, str], Pair] = {}
        for model in usable:
            for pair in model.pairs():
                key = (pair.source, pair.target)
                if key not in pairs or pairs[key].quality < pair.quality:
                    pairs[key], self._by_pair[key] = pair, model
        shown = ", ".join(model.name for model in usable[:4]) + (", ..." if len(usable) > 4 else "")
        return Capabilities(
            kind="translate",
            name=self._name,
            model=f"{shown} {_number_format(self._device)}",
            version=f"CTranslate2 {ctranslate2.__version__}",
            licence=self._licence,
            pairs=tuple(pairs.values()),
            batch=BATCH_CUDA if self._device == "cuda" else BATCH_CPU,
            faults=(*self._faults, *([note] if note else [])),
        )

    def _load_first(self) -> list[TranslationModel]:
        """The usable models; the first of them are in memory afterwards."""
        usable: list[TranslationModel] = []
        for folder, source, target in self._wanted:
            try:
                model = inspect(Path(folder), source, target)
                if len(self._loaded) < self._kept:
                    self._load(model)
            except (Unusable, EngineFailed) as error:
                self._faults.append(str(error))
            else:
                usable.append(model)
        return usable

    def close(self) -> None:
        self._loaded.clear()

    def translate(self, request: TranslateRequest) -> Translation:
        """A request without texts only gets its model loaded."""
        return self.translate_batch([request])[0]

    def translate_batch(self, requests: list[TranslateRequest]) -> list[Translation]:
        """Answers in the order of the requests; the sentences of one pair are decoded together."""
        groups: dict[tuple[str, str], list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault((request.source, request.target), []).append(number)
        done: dict[int, Translation] = {}
        for (source, target), numbers in groups.items():
            if (source, target) not in self._by_pair:
                raise EngineFailed(f"{self._name} has no pair {source}-{target} here")
            model = self._load(self._by_pair[source, target])
            cut = {number: [_parts(text) for text in requests[number].texts] for number in numbers}
            waiting = [
                part for texts in cut.values() for parts in texts for part in parts if _has_words(part)
            ]
            answers = iter(model.translate(waiting, source, target))
            space = "" if target in _NO_SPACES else " "
            for number, texts in cut.items():
                done[number] = Translation(
                    tuple(
                        space.join(next(answers) if _has_words(part) else part for part in parts)
                        for parts in texts
                    )
                )
        return [done[number] for number in range(len(requests))]

    def _load(self, model: TranslationModel) -> _Loaded:
        if (loaded := self._loaded.get(model.folder)) is None:
            try:
                loaded = _Loaded(model, self._device, self._threads)
            except (RuntimeError, ValueError, OSError) as error:
                raise EngineFailed(f"{model.name} cannot be loaded: {_first_line(error)}") from None
            while len(self._loaded) >= self._kept:
                self._loaded.popitem(last=False)
            self._loaded[model.folder] = loaded
        self._loaded.move_to_end(model.folder)
        return loaded


class _Loaded:
    """A model in memory with its tokenizers."""

    def __init__(self, model: TranslationModel, device: str, threads: int) -> None:
        import ctranslate2
        import sentencepiece

        self._model = model
        opus = model.family == "opus"
        source = model.folder / ("source.spm" if opus else "sentencepiece.bpe.model")
        target = model.folder / "target.spm" if opus else source
        self._source: Any = sentencepiece.SentencePieceProcessor(model_file=str(source))
        self._target: Any = (
            sentencepiece.SentencePieceProcessor(model_file=str(target)) if opus else self._source
        )
        config = json.loads((model.folder / "config.json").read_text(encoding="utf-8"))
        self._eos = [] if config.get("add_source_eos") else [_EOS]
        self._beam = BEAM_CUDA if device == "cuda" else BEAM_CPU
        self._translator: Any = ctranslate2.Translator(
            str(model.folder),
            device=device,
            compute_type=_number_format(device),
            inter_threads=1,
            intra_threads=threads,
        )

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """One sentence a text; answers in their order."""
        if not texts:
            return []
        first = self._first_token(source, target)
        cut = [_cut(self._source.encode(text, out_type=str)) for text in texts]
        tokens = [[*first, *pieces, *self._eos] for chunks in cut for pieces in chunks]
        answer = {}
        if self._model.family != "opus":
            answer["target_prefix"] = [[self._model.target_tokens[target]]] * len(tokens)
        results = self._translator.translate_batch(
            tokens,
            max_batch_size=TOKENS_AT_ONCE,
            batch_type="tokens",
            beam_size=self._beam,
            max_decoding_length=min(MOST_PIECES + 50, 3 * max(map(len, tokens)) + 16),
            no_repeat_ngram_size=8,  # an answer that loops ends; no sentence says eight pieces twice
            disable_unk=True,
            **answer,
        )
        answers = iter(results)
        said = [[piece for _ in chunks for piece in next(answers).hypotheses[0]] for chunks in cut]
        return [self._text(pieces, text) for pieces, text in zip(said, texts, strict=True)]

    def _first_token(self, source: str, target: str) -> list[str]:
        if self._model.family != "opus":
            return [self._model.source_tokens[source]]
        token = self._model.target_tokens.get(target)
        return [token] if token else []

    def _text(self, tokens: Sequence[str], original: str) -> str:
        """Pieces as text, without control tokens; the original where the model has nothing to say."""
        controls = {*self._model.target_tokens.values(), _EOS, "<s>", "<pad>", "<unk>"}
        text = str(self._target.decode([token for token in tokens if token not in controls]))
        for unknown in _UNKNOWN:
            if unknown not in original:
                text = text.replace(unknown, "")
        for mark in _MARKS:
            if text.count(mark) > original.count(mark):
                text = text.replace(mark, "")
        return " ".join(clean(text).split()) or " ".join(original.split())


def _parts(text: str) -> list[str]:
    """The sentences of a text, none with a line break."""
    return [" ".join(part.split()) for part in sentences(clean(text), LONGEST)]


def _cut(pieces: Sequence[str]) -> list[Sequence[str]]:
    """Pieces as the model may have them at once: what has no sentence ends may be longer than it can take."""
    return [pieces[at : at + MOST_PIECES] for at in range(0, len(pieces), MOST_PIECES)] or [()]


def _has_words(text: str) -> bool:
    return any(map(str.isalpha, text))


def _usable_device(wanted: str) -> str:
    """``auto`` takes a GPU where there is one. Raises where one was asked for by name and there is none."""
    import ctranslate2

    if wanted == "cpu":
        return "cpu"
    reason = "CTranslate2 finds no GPU"
    try:
        if ctranslate2.get_cuda_device_count() > 0:
            return "cuda"
    except (RuntimeError, ValueError) as error:
        reason = _first_line(error)
    if wanted == "cuda":
        raise EngineUnavailable(f"MT_DEVICE=cuda: {reason}. With MT_DEVICE=cpu or auto it works without.")
    return "cpu"


def _number_format(device: str) -> str:
    return "float16" if device == "cuda" else "int8"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
