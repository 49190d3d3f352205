"""Checkpoints that transformers 5.23.0 wrote, with what it computed from them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from speechcli.checkpoints.bundle import load
from speechcli.decoding.generate import generate, start_prompt
from speechcli.decoding.hypothesis import padded_sequences
from speechcli.models.speech_encoder_decoder import sequence_loss, shift_right

FOLDERS = sorted((Path(__file__).parent.parent / "fixtures" / "golden").iterdir())


def close(ours: torch.Tensor, golden: torch.Tensor) -> None:
    assert ours.shape == golden.shape
    assert float((ours - golden).abs().max()) <= 1e-4 * max(1.0, float(golden.abs().max()))


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
@pytest.mark.parametrize("suffix", ["", "_mask"], ids=["without mask", "with mask"])
@torch.no_grad()
def test_memory_logits_and_loss_are_the_golden_ones(folder: Path, suffix: str) -> None:
    golden, bundle = load_file(folder / "golden.safetensors"), load(folder)
    config, model = bundle.config, bundle.model
    assert config.decoder_start_token_id is not None and config.pad_token_id is not None
    labels = golden["in.labels"]
    lengths = golden["in.attention_mask"].sum(1) if suffix else None
    ids = shift_right(labels, start_id=config.decoder_start_token_id, pad_id=config.pad_token_id)
    close(model.encode(golden["in.input"], lengths).memory, golden["out.enc" + suffix])
    logits = model(golden["in.input"], lengths, ids).logits
    close(logits, golden["out.logits" + suffix])
    close(sequence_loss(logits, labels)[None], golden["out.loss" + suffix])


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("greedy", {}),
        ("greedy_nr", {"no_repeat_ngram_size": 1}),
        ("beam", {"num_beams": 4, "num_return_sequences": 2}),
    ],
)
@torch.no_grad()
def test_generated_tokens_are_the_golden_ones(folder: Path, name: str, changes: dict[str, int]) -> None:
    golden, bundle = load_file(folder / "golden.safetensors"), load(folder)
    options = bundle.generation.with_(max_length=golden["out.greedy"].size(1), **changes)
    prompt = start_prompt(options, batch=len(golden["in.input"]))
    lengths = golden["in.attention_mask"].sum(1)
    cache = bundle.model.start(bundle.model.encode(golden["in.input"], lengths))
    hypotheses = generate(bundle.model.step, cache, prompt, options)
    assert padded_sequences(hypotheses, prompt, options).tolist() == golden[f"out.{name}"].tolist()
