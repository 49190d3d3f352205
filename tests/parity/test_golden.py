"""Checkpoints written by transformers, with its outputs: version 5.23.0, and 4.40.2 for Speech2Text2."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from speechcli.checkpoints.bundle import load, save
from speechcli.decoding.generate import generate, start_prompt
from speechcli.decoding.hypothesis import padded_sequences
from speechcli.models.speech_encoder_decoder import sequence_loss, shift_right

FOLDERS = sorted((Path(__file__).parent.parent / "fixtures" / "golden").iterdir())
SEARCHES = {"greedy": {}, "greedy_nr": {"no_repeat_ngram_size": 1}, "beam": {"num_beams": 4, "num_return_sequences": 2}}


def searches(folder: Path) -> list[str]:
    """The content of a folder; that of Speech2Text2 has no beams."""
    with safe_open(folder / "golden.safetensors", "pt") as golden:
        return [name for name in SEARCHES if f"out.{name}" in golden.keys()]


def close(ours: torch.Tensor, golden: torch.Tensor) -> None:
    assert ours.shape == golden.shape
    assert float((ours - golden).abs().max()) <= 1e-4 * max(1.0, float(golden.abs().max()))


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
@pytest.mark.parametrize("suffix", ["", "_mask"], ids=["without mask", "with mask"])
@torch.no_grad()
def test_memory_logits_and_loss_are_the_golden_ones(folder: Path, suffix: str) -> None:
    # float32 rounds otherwise on other processors, by more than the tolerance in SEW-D
    golden, bundle = load_file(folder / "golden.safetensors"), load(folder, dtype=torch.float64)
    config, model = bundle.config, bundle.model
    sound = golden["in.input"].double()
    assert config.decoder_start_token_id is not None and config.pad_token_id is not None
    labels = golden["in.labels"]
    lengths = golden["in.attention_mask"].sum(1) if suffix else None
    ids = shift_right(labels, start_id=config.decoder_start_token_id, pad_id=config.pad_token_id)
    close(model.encode(sound, lengths).memory, golden["out.enc" + suffix])
    logits = model(sound, lengths, ids).logits
    close(logits, golden["out.logits" + suffix])
    close(sequence_loss(logits, labels)[None], golden["out.loss" + suffix])


@pytest.mark.parametrize(
    ("folder", "name"),
    [pytest.param(folder, name, id=f"{folder.name}-{name}") for folder in FOLDERS for name in searches(folder)],
)
@torch.no_grad()
def test_generated_tokens_are_the_golden_ones(folder: Path, name: str) -> None:
    golden, bundle = load_file(folder / "golden.safetensors"), load(folder)
    options = bundle.generation.with_(max_length=golden["out.greedy"].size(1), **SEARCHES[name])
    prompt = start_prompt(options, batch=len(golden["in.input"]))
    lengths = golden["in.attention_mask"].sum(1)
    cache = bundle.model.start(bundle.model.encode(golden["in.input"], lengths))
    hypotheses = generate(bundle.model.step, cache, prompt, options)
    assert padded_sequences(hypotheses, prompt, options).tolist() == golden[f"out.{name}"].tolist()


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_golden_folder_goes_through_us_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    save(load(folder), tmp_path)
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert set(after) == set(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads((folder / "config.json").read_text())
