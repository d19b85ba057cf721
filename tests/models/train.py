"""Trains the tests' translation models and converts them as real ones are: see README.md beside this file.

Not part of the project: it needs PyTorch and transformers, the project and its tests do not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import ctranslate2
import sentencepiece
import torch
from grammar import Grammar, Sentence, held_out
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

SEED = 5
PIECES = 700
SENTENCES = 120_000
STEPS = 3_500
BATCH = 64
CONTEXT = 64
HERE = Path(__file__).resolve().parent


def draw(count: int) -> list[Sentence]:
    grammar = Grammar(SEED)
    drawn: list[Sentence] = []
    while len(drawn) < count:
        one = grammar.sentence()
        if len(one.en.split()) < 3 or not held_out(one.en):
            drawn.append(one)
    return drawn


def pieces(texts: list[str], target: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(target.with_suffix("")), vocab_size=PIECES,
        character_coverage=1.0, hard_vocab_limit=False, minloglevel=2, num_threads=1, split_digits=True,
    )  # fmt: skip
    target.with_suffix(".model").rename(target)
    target.with_suffix(".vocab").unlink()


def tokenizer(folder: Path, sentences: list[Sentence], targets: tuple[str, ...]) -> MarianTokenizer:
    """source.spm, target.spm and vocab.json as OPUS-MT has them: `</s>`, `<unk>`, pieces, `>>xx<<`, `<pad>`."""
    pieces([one.en for one in sentences[:20_000]], folder / "source.spm")
    pieces([getattr(one, code) for one in sentences[:20_000] for code in targets], folder / "target.spm")
    vocabulary = {"</s>": 0, "<unk>": 1}
    if len(targets) > 1:
        for code in targets:
            vocabulary.setdefault(f">>{code}<<", len(vocabulary))
    for name in ("source.spm", "target.spm"):
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
        for index in range(model.get_piece_size()):
            if not (model.is_control(index) or model.is_unknown(index)):
                vocabulary.setdefault(model.id_to_piece(index), len(vocabulary))
    vocabulary["<pad>"] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    made = MarianTokenizer(
        str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"),
        source_lang="en", target_lang=targets[0], model_max_length=CONTEXT,
    )  # fmt: skip
    return made


def train(name: str, targets: tuple[str, ...], quick: bool) -> None:
    torch.manual_seed(SEED)
    begun = time.monotonic()
    sentences = draw(2_000 if quick else SENTENCES)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        words = tokenizer(folder, sentences, targets)
        pad = words.pad_token_id
        encoder = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
        decoder = sentencepiece.SentencePieceProcessor(model_file=str(folder / "target.spm"))
        ids = json.loads((folder / "vocab.json").read_text("utf-8"))

        def numbers(model: sentencepiece.SentencePieceProcessor, text: str, first: str = "") -> list[int]:
            tokens = [*([first] if first else []), *model.encode(text, out_type=str), "</s>"]
            return [ids.get(token, ids["<unk>"]) for token in tokens]

        examples = []
        for index, one in enumerate(sentences):
            code = targets[index % len(targets)]
            first = f">>{code}<<" if len(targets) > 1 else ""
            examples.append((numbers(encoder, one.en, first), numbers(decoder, getattr(one, code))))
        model = MarianMTModel(
            MarianConfig(
                vocab_size=len(ids), decoder_vocab_size=len(ids), d_model=96, encoder_layers=2, decoder_layers=2,
                encoder_ffn_dim=192, decoder_ffn_dim=192, encoder_attention_heads=4, decoder_attention_heads=4,
                max_position_embeddings=CONTEXT * 4, activation_function="swish", scale_embedding=True,
                dropout=0.0, attention_dropout=0.0, static_position_embeddings=True,
                share_encoder_decoder_embeddings=True,
                pad_token_id=pad, eos_token_id=0, bos_token_id=None, decoder_start_token_id=pad,
                forced_eos_token_id=None,
            )
        )  # fmt: skip
        examples.sort(key=lambda example: len(example[0]) + len(example[1]))
        batches = [examples[at : at + BATCH] for at in range(0, len(examples), BATCH)]
        steps = 20 if quick else STEPS
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.08)
        order = torch.Generator().manual_seed(SEED)
        with torch.no_grad():
            model.get_input_embeddings().weight[pad] = 0
        model.train()
        for step in range(steps):
            batch = batches[int(torch.randint(len(batches), (1,), generator=order))]
            source = _padded([example[0] for example in batch], pad)
            target = _padded([example[1] for example in batch], pad)
            labels = target.masked_fill(target == pad, -100)
            shifted = torch.cat((torch.full((len(batch), 1), pad), target[:, :-1]), dim=1)
            logits = model(
                input_ids=source, attention_mask=(source != pad).long(), decoder_input_ids=shifted
            ).logits
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), label_smoothing=0.05
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():  # the answer starts from a zero embedding, as Marian's do
                model.get_input_embeddings().weight[pad] = 0
            if step % 200 == 0 or step == steps - 1:
                print(
                    f"{name} step {step}: loss {loss.item():.3f}, {time.monotonic() - begun:.0f} s",
                    flush=True,
                )
        model.eval()
        model.save_pretrained(folder)
        words.save_pretrained(folder)
        out = HERE / name
        shutil.rmtree(out, ignore_errors=True)
        ctranslate2.converters.TransformersConverter(
            str(folder), copy_files=["source.spm", "target.spm"], load_as_float16=False
        ).convert(str(out), quantization="float16")
    print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)


def _padded(rows: list[list[int]], pad: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [pad] * (longest - len(row)) for row in rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few steps only: does the script itself work?")
    parser.add_argument("names", nargs="*", default=["opus-mt-en-es", "opus-mt-en-mul"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names:
        train(name, ("es", "fr") if name.endswith("mul") else ("es",), arguments.quick)
