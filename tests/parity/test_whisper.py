"""Whole Whisper models, held against transformers on tiny random ones."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from speechcli.checkpoints.bundle import Bundle, load, save
from speechcli.checkpoints.convert import to_theirs
from speechcli.decoding.generate import generate
from speechcli.decoding.hypothesis import padded_sequences
from speechcli.errors import ModelError, UsageError
from speechcli.models.speech_encoder_decoder import sequence_loss, shift_right
from tests.parity.reference import quiet
from tests.parity.whisper import (
    ENGLISH,
    EOS,
    GERMAN,
    NO_TIMESTAMPS,
    SHAPE,
    START,
    SUPPRESSED,
    TIMESTAMPS,
    TRANSCRIBE,
    WhisperReference,
    make_whisper,
)

VARIANTS = {
    "usual": {},
    "ignored scale": {"scale_embedding": True, "activation_function": "relu"},
    "untied": {"tie_word_embeddings": False},
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def whisper(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[WhisperReference, Bundle]:
    quiet()
    reference = make_whisper(tmp_path_factory.mktemp("whisper"), **request.param)
    return reference, load(reference.folder)


Pair = tuple[WhisperReference, Bundle]


def test_logits_and_loss_are_theirs(whisper: Pair) -> None:
    reference, bundle = whisper
    theirs = reference.model(**reference.inputs, labels=reference.labels)
    ids = shift_right(reference.labels, start_id=START, pad_id=EOS)
    ours = bundle.model(reference.features, None, ids)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sequence_loss(ours.logits, reference.labels), theirs.loss, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("first", [START, EOS], ids=["usual start", "padding at the start"])
def test_the_gradient_of_every_parameter_is_theirs(whisper: Pair, first: int) -> None:
    reference, bundle = whisper
    reference.model.zero_grad()
    bundle.model.zero_grad()
    ids = shift_right(reference.labels, start_id=first, pad_id=EOS)
    reference.model(**reference.inputs, decoder_input_ids=ids, labels=reference.labels).loss.backward()
    sequence_loss(bundle.model(reference.features, None, ids).logits, reference.labels).backward()
    ours = {name: value.grad for name, value in bundle.model.named_parameters() if value.grad is not None}
    theirs = {name: value.grad for name, value in reference.model.named_parameters() if value.grad is not None}
    converted = to_theirs(bundle.config.keys, ours, tied=None)
    assert set(converted) == set(theirs)
    for name, gradient in converted.items():
        torch.testing.assert_close(
            gradient, theirs[name], atol=1e-5, rtol=1e-4, msg=lambda text, name=name: name + text
        )


@pytest.mark.parametrize("beams", [1, 5])
def test_generated_tokens_are_theirs(whisper: Pair, beams: int) -> None:
    reference, bundle = whisper
    # after an unrequested timestamp, theirs decodes the rest of the window again
    options = bundle.generation.with_(num_beams=beams, suppress_tokens=[*SUPPRESSED, *TIMESTAMPS])
    theirs = reference.model.generate(
        **reference.inputs,
        language="de",
        task="transcribe",
        num_beams=beams,
        do_sample=False,
        suppress_tokens=[*SUPPRESSED, *TIMESTAMPS],
    )
    model = bundle.model
    prompt = torch.tensor([[START, GERMAN, TRANSCRIBE, NO_TIMESTAMPS]] * 3)
    with torch.no_grad():
        cache = model.start(model.encode(reference.features))
        hypotheses = generate(model.step, cache, prompt, options)
    # theirs omits the prompt of a text
    said = [[token for token in row if token != EOS] for row in theirs.tolist()]
    ours = [[token for token in row if token != EOS] for row in padded_sequences(hypotheses, prompt, options).tolist()]
    assert [row[4:] for row in ours] == said
    assert any(said)


def test_a_folder_goes_through_us_bit_for_bit(whisper: Pair, tmp_path: Path) -> None:
    reference, bundle = whisper
    save(bundle, tmp_path / "ours")
    before, after = load_file(reference.folder / "model.safetensors"), load_file(tmp_path / "ours/model.safetensors")
    assert set(after) == set(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    for name in ("config.json", "preprocessor_config.json"):
        assert json.loads((tmp_path / "ours" / name).read_text()) == json.loads((reference.folder / name).read_text())
    kept = json.loads((tmp_path / "ours/generation_config.json").read_text())
    assert kept["lang_to_id"] == {"<|en|>": ENGLISH, "<|de|>": GERMAN}


def test_transformers_loads_what_we_write(whisper: Pair, tmp_path: Path) -> None:
    reference, bundle = whisper
    save(bundle, tmp_path)
    loaded, info = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    expected = reference.model(**reference.inputs, labels=reference.labels).logits
    assert torch.equal(loaded.eval()(**reference.inputs, labels=reference.labels).logits, expected)


def test_features_that_are_no_window_are_refused(whisper: Pair) -> None:
    reference, bundle = whisper
    with pytest.raises(UsageError, match="windows of 100 frames of 8 mels, but got 99 frames of 8"):
        bundle.model.encode(reference.features[:, 1:])


def test_a_folder_without_an_extractor_takes_windows_of_the_encoder(tmp_path: Path) -> None:
    reference = make_whisper(tmp_path, max_source_positions=100, num_mel_bins=SHAPE["num_mel_bins"])
    (tmp_path / "preprocessor_config.json").unlink()
    assert load(reference.folder).features.longest == 2 * 16_000


def test_sizes_that_do_not_divide_are_refused(tmp_path: Path) -> None:
    reference = make_whisper(tmp_path)
    config = json.loads((reference.folder / "config.json").read_text())
    (reference.folder / "config.json").write_text(json.dumps(config | {"decoder_attention_heads": 5}))
    with pytest.raises(ModelError, match=r"`decoder_attention_heads` \(5\) must divide `d_model` \(24\)"):
        load(reference.folder)


def test_spans_of_the_features_are_hidden_behind_zeros_in_training_only(tmp_path: Path) -> None:
    masks = {"apply_spec_augment": True, "mask_time_prob": 0.3, "mask_feature_prob": 0.4, "mask_feature_length": 2}
    encoder = load(make_whisper(tmp_path, **masks).folder).model.encoder
    heard: list[torch.Tensor] = []
    encoder.frontend.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    features = torch.ones(2, 100, 8)
    torch.manual_seed(0)
    for training in (False, True):
        encoder.train(training)(features)
    assert torch.equal(heard[0], features)
    hidden = heard[1] == 0.0
    assert hidden.all(dim=2).any(dim=1).all()  # whole frames
    assert hidden.all(dim=1).any(dim=1).all()  # whole mels
    assert not hidden.all()
