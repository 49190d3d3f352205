"""Every encoder with every decoder, held against transformers on tiny random models."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from speechcli.checkpoints.bundle import Bundle, load, save
from speechcli.checkpoints.convert import to_theirs
from speechcli.decoding.generate import generate, start_prompt
from speechcli.decoding.hypothesis import padded_sequences
from speechcli.models.speech_encoder_decoder import sequence_loss, shift_right
from tests.parity.reference import PAD, PAIRS, START, Reference, make_reference, quiet

# the reference mixes kinds of masks in its own WavLM, and sets an option for Blenderbot that it then ignores
pytestmark = [
    pytest.mark.filterwarnings("ignore:Support for mismatched"),
    pytest.mark.filterwarnings("ignore:Passing `encoder_no_repeat_ngram_size`"),
]


@pytest.fixture(scope="module", params=PAIRS, ids=[f"{encoder} with {decoder}" for encoder, decoder in PAIRS])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, Bundle]:
    quiet()
    reference = make_reference(*request.param, tmp_path_factory.mktemp("pair"))
    return reference, load(reference.folder)


def their_kwargs(reference: Reference, masked: bool) -> dict[str, torch.Tensor]:
    mask = {"attention_mask": reference.attention_mask} if masked else {}
    return {reference.input_name: reference.inputs} | mask


@pytest.mark.parametrize("masked", [False, True], ids=["without mask", "with mask"])
def test_logits_and_loss_are_theirs(pair: tuple[Reference, Bundle], masked: bool) -> None:
    reference, bundle = pair
    theirs = reference.model(**their_kwargs(reference, masked), labels=reference.labels)
    ids = shift_right(reference.labels, start_id=START, pad_id=PAD)
    ours = bundle.model(reference.inputs, reference.lengths if masked else None, ids)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sequence_loss(ours.logits, reference.labels), theirs.loss, atol=1e-5, rtol=1e-5)


def test_the_gradient_of_every_parameter_is_theirs(pair: tuple[Reference, Bundle]) -> None:
    reference, bundle = pair
    reference.model.zero_grad()
    bundle.model.zero_grad()
    reference.model(**their_kwargs(reference, True), labels=reference.labels).loss.backward()
    ids = shift_right(reference.labels, start_id=START, pad_id=PAD)
    sequence_loss(bundle.model(reference.inputs, reference.lengths, ids).logits, reference.labels).backward()
    ours = {name: value.grad for name, value in bundle.model.named_parameters(remove_duplicate=True)}
    with_values = {
        name: torch.zeros_like(bundle.model.get_parameter(name)) if grad is None else grad
        for name, grad in ours.items()
    }
    converted = to_theirs(bundle.config.keys, with_values, tied=None)
    theirs = dict(reference.model.named_parameters(remove_duplicate=False))
    largest = max(float(value.grad.abs().max()) for value in theirs.values() if value.grad is not None)
    for name, gradient in converted.items():
        expected = theirs[name].grad if theirs[name].grad is not None else torch.zeros_like(gradient)
        scale = max(float(expected.abs().max()), 1e-3 * largest)
        assert float((gradient - expected).abs().max()) <= 1e-4 * scale, name


@pytest.mark.parametrize("beams", [1, 5])
@pytest.mark.parametrize("masked", [False, True], ids=["without mask", "with mask"])
def test_generated_tokens_are_theirs(pair: tuple[Reference, Bundle], masked: bool, beams: int) -> None:
    reference, bundle = pair
    theirs = reference.model.generate(**their_kwargs(reference, masked), num_beams=beams, do_sample=False)
    options = bundle.generation.with_(num_beams=beams)
    model = bundle.model
    prompt = start_prompt(options, batch=3)
    with torch.no_grad():
        cache = model.start(model.encode(reference.inputs, reference.lengths if masked else None))
        hypotheses = generate(model.step, cache, prompt, options)
    assert padded_sequences(hypotheses, prompt, options).tolist() == theirs.tolist()


@torch.no_grad()
def test_every_cached_step_equals_the_full_pass(pair: tuple[Reference, Bundle]) -> None:
    reference, bundle = pair
    model = bundle.model
    ids = shift_right(reference.labels.clamp(min=3), start_id=START, pad_id=PAD)
    full = model(reference.inputs, reference.lengths, ids).logits
    cache = model.start(model.encode(reference.inputs, reference.lengths))
    for position in range(ids.size(1)):
        step = model.step(ids[:, position : position + 1], cache)
        torch.testing.assert_close(step, full[:, position], atol=1e-5, rtol=1e-5)


def test_a_folder_goes_through_us_bit_for_bit(pair: tuple[Reference, Bundle], tmp_path: Path) -> None:
    reference, bundle = pair
    save(bundle, tmp_path / "ours")
    before, after = load_file(reference.folder / "model.safetensors"), load_file(tmp_path / "ours/model.safetensors")
    assert set(after) == set(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    config = json.loads((reference.folder / "config.json").read_text())
    assert json.loads((tmp_path / "ours/config.json").read_text()) == config


def test_transformers_loads_what_we_write(pair: tuple[Reference, Bundle], tmp_path: Path) -> None:
    reference, bundle = pair
    save(bundle, tmp_path)
    loaded, info = transformers.SpeechEncoderDecoderModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    inputs = their_kwargs(reference, True)
    expected = reference.model(**inputs, labels=reference.labels).logits
    assert torch.equal(loaded.eval()(**inputs, labels=reference.labels).logits, expected)
