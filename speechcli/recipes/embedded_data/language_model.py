r"""Trains the language model of the embedded model, a small GPT-2 over its tokens: more can be read than spoken.

    python -m speechcli.recipes.embedded_data.language_model --data RECORDINGS --catalogues CATALOGUES \
        --sentences SENTENCES --tokenizer default_model --out lm

It reads the catalogues whole, the phrases of this recipe, the texts of the training recordings, and SENTENCES: a folder
with one folder for each language, of text files with a sentence in each line. No text of a dev or test recording is
read. One shared processor core needed about eleven minutes for 1,000 steps.
"""

import argparse
import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from speechcli.checkpoints.convert import to_theirs
from speechcli.checkpoints.folder import read_config, write_json, write_weights, writing
from speechcli.checkpoints.language_model import forget_memory, load_language_model
from speechcli.families.family import tie
from speechcli.families.gpt2 import GPT2, GPT2Config
from speechcli.models.decoder import TextDecoder
from speechcli.recipes.embedded_data.arguments import exit_code, make_parser, say
from speechcli.recipes.embedded_data.catalogues import READ_WORDS, clean_text, read_sentences
from speechcli.recipes.embedded_data.manifest import LANGUAGES, held_out_manifests, held_out_texts, normalise
from speechcli.recipes.embedded_data.phrases import announcements, closed_classes
from speechcli.recipes.embedded_data.real import SETS, real_rows
from speechcli.recipes.embedded_data.vocabulary import LANGUAGE_TAGS
from speechcli.text.tokenizer import Tokenizer

Line = tuple[str, str]
"""A language and a text in it."""

LONGEST = 200
"""Tokens; longer texts are cut."""
BATCH_TOKENS = 4096
MOST_SENTENCES = 40_000
"""Of the text files, in each language."""
PHRASE_SEEDS, PROMPT_COPIES, SPELLING_COPIES = 3, 8, 2
"""How many times the recipe's phrases are put together anew, and prompts and spelled texts are read in each pass."""
UNENDED, LOWERED, SENTENCED = 0.15, 0.15, 0.15
"""Parts of the other texts that lose their full stop, and their capital too, or gain both, as prompts do."""
PLAIN_E = 0.75
"""Part of the other Russian texts that lose the dots of "ё", which most prompts leave out."""
WARMUP_STEPS = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains the model; returns the exit code."""
    options = _options(arguments)
    return exit_code(lambda: _train(options))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser("speechcli.recipes.embedded_data.language_model", __doc__, "--data", "--out", "--catalogues")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder with the tokenizer of the embedded model")
    parser.add_argument("--sentences", type=Path, help="folder with a folder of text files for each language")
    parser.add_argument("--model", type=Path, help="a language model to train on, instead of random weights")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def _train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    tokenizer = Tokenizer.load(options.tokenizer)
    if options.model is None:
        config = _config(tokenizer, options.width, options.layers)
        model = _new(config)
    else:
        config = GPT2Config.from_dict(read_config(options.model))
        model, _ = load_language_model(options.model)
    fixed, varied = read_lines(options.data, options.catalogues, options.sentences, options.seed)
    say(f"{len(fixed) + len(varied)} texts, {sum(weight.numel() for weight in model.parameters()):,} weights")
    batches = _batches(fixed, varied, tokenizer, random.Random(options.seed))
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    model.train()
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * _schedule(step, options.steps)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, next(batches))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0:
            say(f"step {step + 1}: {loss.item():.3f}")
        if (step + 1) % 1000 == 0 or step + 1 == options.steps:
            save_language_model(model, config, tokenizer, options.out)


def read_lines(data: Path, catalogues: Path | None, sentences: Path | None, seed: int) -> tuple[list[Line], list[Line]]:
    """Collects what is read in one pass.

    Args:
        data: the folder of the recordings, for the texts of their training parts.
        catalogues: the folder of unpacked packages; None leaves that source out.
        sentences: the folder of text files; None leaves that source out.
        seed: fixes the recipe's phrases.

    Returns:
        Texts that are read as they are written, and texts whose capital and full stop may change; none is that of a dev
        or test recording.
    """
    held_out = held_out_texts(held_out_manifests(data))
    rows = {name: real_rows(data, name, "train") for name in SETS}
    prompts = sorted({line for row in rows["asterisk"] for line in row.texts.items()})
    spelled = [line for row in rows["an4"] for line in row.texts.items()]
    words = [(row.language, row.transcript) for name in ("fsdd", "arabic_commands") for row in rows[name]]
    meanings = [line for row in rows["arabic_commands"] for line in row.texts.items() if line[0] != row.language]
    phrases = [
        line
        for number in range(PHRASE_SEEDS)
        for _, texts in (*closed_classes(seed + number), *announcements())
        if not any(normalise(text) in held_out for text in texts.values())
        for line in texts.items()
    ]
    choice = random.Random(seed)
    general = list(read_sentences(catalogues)) if catalogues else []
    general += _sentences(sentences, choice) if sentences else []
    distinct = {(language, normalise(text)): (language, text) for language, text in general}
    fixed = _plain(phrases, choice) + prompts * (PROMPT_COPIES // 2) + spelled * SPELLING_COPIES
    varied = _plain(list(distinct.values()), choice) + prompts * (PROMPT_COPIES // 2)
    # words of a closed set are in dev and test, too: as many as there are recordings, and nothing of them is learned
    return _without(fixed, held_out) + words + meanings, _without(varied, held_out)


def _without(lines: list[Line], held_out: frozenset[str]) -> list[Line]:
    return [(language, text) for language, text in lines if normalise(text) not in held_out]


def _plain(lines: list[Line], choice: random.Random) -> list[Line]:
    return [
        (language, text.replace("ё", "е") if language == "ru" and choice.random() < PLAIN_E else text)
        for language, text in lines
    ]


def _sentences(folder: Path, choice: random.Random) -> Iterator[Line]:
    for language in LANGUAGES:
        files = sorted((folder / language).glob("*.txt"))
        texts = (text for path in files for text in path.read_text(encoding="utf-8").splitlines())
        clean = [tidy for text in texts if (tidy := clean_text(text, language, words=READ_WORDS))]
        yield from ((language, text) for text in choice.sample(clean, min(len(clean), MOST_SENTENCES)))


def _batches(
    fixed: Sequence[Line], varied: Sequence[Line], tokenizer: Tokenizer, choice: random.Random
) -> Iterator[list[list[int]]]:
    """Endless batches of texts of like lengths."""
    while True:
        lines = [*fixed, *((language, _vary(text, choice)) for language, text in varied)]
        choice.shuffle(lines)
        for start in range(0, len(lines), BATCH_TOKENS):
            texts = sorted((encode(line, tokenizer) for line in lines[start : start + BATCH_TOKENS]), key=len)
            batches: list[list[list[int]]] = [[]]
            for text in texts:
                if (len(batches[-1]) + 1) * len(text) > BATCH_TOKENS:
                    batches.append([])
                batches[-1].append(text)
            choice.shuffle(batches)
            yield from batches


def _vary(text: str, choice: random.Random) -> str:
    """Prompts are written with and without a capital and a full stop; so is every text, then."""
    draw = choice.random()
    if draw < UNENDED + LOWERED:
        text = text.rstrip(".!")
    if draw < LOWERED and not text.startswith(("I ", "I'")):
        text = text[:1].lower() + text[1:]
    if UNENDED + LOWERED <= draw < UNENDED + LOWERED + SENTENCED and text[-1:].isalpha():
        text = text[:1].upper() + text[1:] + "."
    return text


def encode(line: Line, tokenizer: Tokenizer) -> list[int]:
    """The tokens of a text as the decoder writes them: its start, the language, the text and its end."""
    language, text = line
    tag = tokenizer.backend.token_to_id(next(tag for tag in LANGUAGE_TAGS if tag.startswith(f"{language}_")))
    assert tag is not None
    return [tokenizer.end_id, tag, *tokenizer.encode(text)[: LONGEST - 3], tokenizer.end_id]


def loss_of(model: TextDecoder, texts: Sequence[Sequence[int]]) -> Tensor:
    """The mean cross-entropy of the tokens after the language's.

    Args:
        model: the language model.
        texts: tokens of each text.
    """
    longest = max(map(len, texts))
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        labels[row, 2 : len(text)] = torch.tensor(text[2:])
    logits = model(ids, torch.zeros(len(texts), 0, model.width))
    return nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def _config(tokenizer: Tokenizer, width: int, layers: int) -> GPT2Config:
    return GPT2Config(
        vocab_size=tokenizer.backend.get_vocab_size(),
        n_positions=256,
        n_embd=width,
        n_layer=layers,
        n_head=width // 64,
        bos_token_id=tokenizer.end_id,
        eos_token_id=tokenizer.end_id,
        pad_token_id=tokenizer.pad_id,
    )


def _new(config: GPT2Config) -> TextDecoder:
    model: TextDecoder = GPT2.build(config)
    forget_memory(model)
    GPT2.initialize(model, config)
    tie(model, GPT2.tied)
    return model


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up and a cosine down to zero."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def save_language_model(model: TextDecoder, config: GPT2Config, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes a folder that `--lm` and transformers load, with weights in float16."""
    state = {name: tensor.half() for name, tensor in model.state_dict().items()}
    with writing(folder) as stage:
        write_weights(stage, to_theirs(GPT2.keys, state, tied=GPT2.tied))
        write_json(stage / "config.json", {**config.to_dict(), "architectures": ["GPT2LMHeadModel"]})
        tokenizer.save(stage)


if __name__ == "__main__":
    sys.exit(main())
