r"""Trains the language model of the embedded model, a small GPT-2 over its tokens: more can be read than spoken.

    torchrun --nproc-per-node 2 -m speechcli.recipes.embedded_data.language_model --data RECORDINGS \
        --catalogues CATALOGUES --sentences SENTENCES --tokenizer default_model --out lm

It learns to write texts, and to translate: a transcript and its end is followed by the text in another language. It
reads the catalogues whole, the phrases of this recipe, the texts of the training recordings, and SENTENCES: a folder
with one folder for each language, of text files with a sentence in each line. No text of a dev or test recording is
read. Two processor cores needed about six minutes for 1,000 steps.
"""

import argparse
import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor, nn

from speechcli.checkpoints.convert import to_theirs
from speechcli.checkpoints.folder import read_config, write_json, write_weights, writing
from speechcli.checkpoints.language_model import forget_memory, load_language_model
from speechcli.families.family import tie
from speechcli.families.gpt2 import GPT2, GPT2Config
from speechcli.models.decoder import TextDecoder
from speechcli.recipes.embedded_data.arguments import exit_code, make_parser, say
from speechcli.recipes.embedded_data.reading import Example, Reading
from speechcli.text.tokenizer import Tokenizer

BATCH_TOKENS = 4096
SORTED = 2048
"""Examples of which those of like lengths are read together."""
HEARD_WEIGHT = 0.3
"""Weight of a token of a transcript whose translation follows, beside 1 for all others."""
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
    processes = PartialState(cpu=True)
    reading = Reading(options.data, options.catalogues, options.sentences, options.seed)
    counts = [len(reading.fixed), len(reading.varied), *(len(source.entries) for source in reading.sources)]
    say(f"{counts} texts, {sum(weight.numel() for weight in model.parameters()):,} weights")
    choice = random.Random(f"{options.seed} {processes.process_index}")
    batches = _batches(reading.examples(tokenizer, choice), BATCH_TOKENS // processes.num_processes, choice)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    model.train()
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * _schedule(step, options.steps)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, next(batches))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        _share_gradients(model, processes)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if not processes.is_main_process:
            continue
        if (step + 1) % 100 == 0:
            say(f"step {step + 1}: {loss.item():.3f}")
        if (step + 1) % 1000 == 0 or step + 1 == options.steps:
            save_language_model(model, config, tokenizer, options.out)


def _batches(examples: Iterator[Example], tokens: int, choice: random.Random) -> Iterator[list[Example]]:
    """Endless batches of examples of like lengths."""
    while True:
        batches: list[list[Example]] = [[]]
        for example in sorted((next(examples) for _ in range(SORTED)), key=_length):
            if (len(batches[-1]) + 1) * _length(example) > tokens:
                batches.append([])
            batches[-1].append(example)
        choice.shuffle(batches)
        yield from batches


def _length(example: Example) -> int:
    return len(example.heard) + len(example.text)


def _share_gradients(model: nn.Module, processes: PartialState) -> None:
    """Gives each process the mean of the gradients of all."""
    if processes.num_processes == 1:
        return
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    mean = nn.utils.parameters_to_vector(gradients)
    torch.distributed.all_reduce(mean)
    nn.utils.vector_to_parameters(mean / processes.num_processes, gradients)


def loss_of(model: TextDecoder, examples: Sequence[Example]) -> Tensor:
    """The mean cross-entropy of the tokens after the languages; those of transcripts weigh less.

    Args:
        model: the language model.
        examples: what is read. The end of a transcript is the start of its translation.
    """
    texts = [(*example.heard[:-1], *example.text) for example in examples]
    longest = max(map(len, texts))
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    weights = torch.zeros(len(texts), longest)
    for row, (text, example) in enumerate(zip(texts, examples, strict=True)):
        ids[row, : len(text)] = torch.tensor(text)
        weights[row, 2 : len(example.heard)] = 0.0 if example.misheard else HEARD_WEIGHT
        weights[row, len(text) - len(example.text) + 2 : len(text)] = 1.0
    logits = model(ids, torch.zeros(len(texts), 0, model.width))
    losses = nn.functional.cross_entropy(logits[:, :-1].float().mT, ids[:, 1:], reduction="none")
    return (losses * weights[:, 1:]).sum() / weights[:, 1:].sum()


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
        embd_pdrop=0.0,  # the texts are too many to be learned by heart
        attn_pdrop=0.0,
        resid_pdrop=0.0,
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
