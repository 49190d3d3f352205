"""Whisper's encoder with other decoders, and its decoder with other encoders: the reference can join neither."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from speechcli.checkpoints.bundle import Bundle, load, save
from speechcli.checkpoints.compose import init, warm_start
from speechcli.checkpoints.warm import FreshParameters
from speechcli.errors import ModelError
from speechcli.pipelines.info import info
from speechcli.pipelines.speech_options import ModelOptions
from tests.parity.reference import quiet
from tests.parity.whisper import START, make_whisper
from tests.text.vocabularies import write_whisper

from .tiny_models import decoder_config, randomized, write_tokenizer


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    quiet()
    folder = tmp_path_factory.mktemp("sources")
    make_whisper(folder / "whisper")
    torch.manual_seed(0)
    text = transformers.BertForMaskedLM(decoder_config("bert"))
    randomized(text, seed=2).save_pretrained(folder / "bert")
    write_tokenizer(folder / "bert", "bert")
    return folder / "whisper", folder / "bert"


@pytest.fixture(scope="module")
def joined(places: tuple[Path, Path]) -> tuple[Bundle, FreshParameters]:
    return warm_start(*places)


def test_all_weights_of_the_encoder_are_those_of_the_checkpoint(joined: tuple[Bundle, FreshParameters]) -> None:
    _, report = joined
    assert not [key for key in report.fresh if key.startswith("encoder.")]
    assert report.from_encoder == 5 + 2 * 15 + 2  # two convolutions and positions, two layers, the last norm
    assert all(key.startswith("model.decoder.") for key in report.left_in_encoder)


@pytest.mark.parametrize("name", ["WhisperModel", "WhisperForAudioClassification"])
def test_the_encoder_is_found_in_a_checkpoint_without_a_decoders_head(
    joined: tuple[Bundle, FreshParameters], places: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    getattr(transformers, name).from_pretrained(places[0]).save_pretrained(tmp_path)
    bundle, report = warm_start(tmp_path, places[1])
    assert report.from_encoder == joined[1].from_encoder
    expected, found = joined[0].model.encoder.state_dict(), bundle.model.encoder.state_dict()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_logits_are_those_of_the_two_halves_joined_by_hand(
    joined: tuple[Bundle, FreshParameters], places: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, _ = joined
    save(bundle, tmp_path)
    ours = load(tmp_path)
    whisper = transformers.WhisperForConditionalGeneration.from_pretrained(places[0]).model.encoder
    weights = load_file(tmp_path / "model.safetensors")
    bert = transformers.BertLMHeadModel(decoder_config("bert", is_decoder=True, add_cross_attention=True)).eval()
    bert.load_state_dict({key.removeprefix("decoder."): weights[key] for key in weights}, strict=False)
    features, lengths, ids = torch.randn(2, 100, 8), torch.tensor([100, 31]), torch.randint(5, 40, (2, 6))
    hidden = whisper(features.transpose(1, 2)).last_hidden_state
    memory = torch.nn.functional.linear(hidden, weights["enc_to_dec_proj.weight"], weights["enc_to_dec_proj.bias"])
    mask = (torch.arange(50) < torch.tensor([50, 16])[:, None]).long()
    wanted = bert(input_ids=ids, encoder_hidden_states=memory, encoder_attention_mask=mask).logits
    torch.testing.assert_close(ours.model(features, lengths, ids).logits, wanted, atol=1e-5, rtol=1e-5)


def test_the_decoder_does_not_attend_to_the_silence_that_fills_the_window(
    joined: tuple[Bundle, FreshParameters],
) -> None:
    bundle, _ = joined
    batch = bundle.features([np.ones(4_000, np.float32), np.ones(16_000, np.float32)])
    encoded = bundle.model.encode(*batch)
    assert encoded.mask is not None and encoded.mask.sum(1).tolist() == [13, 50]  # a frame is 20 ms
    alone = bundle.model.encode(*bundle.features([np.ones(4_000, np.float32)]))
    torch.testing.assert_close(encoded.memory[:1], alone.memory, atol=1e-5, rtol=1e-5)


def test_a_random_model_may_have_whispers_encoder_or_decoder() -> None:
    sizes = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 8}
    text = {"d_model": 16, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8, "vocab_size": 30}
    bundle = init("whisper", "whisper", encoder_changes=sizes, decoder_changes=text)
    positions = bundle.model.encoder.positions.weight
    wanted = transformers.models.whisper.modeling_whisper.sinusoids(1500, 16)
    torch.testing.assert_close(positions, wanted, atol=1e-6, rtol=0)
    assert not positions.requires_grad
    assert not bundle.features.return_attention_mask  # a Whisper decoder reads the whole window
    assert bundle.features.longest == 30 * 16_000


def test_a_random_decoder_of_whisper_takes_its_ids_from_another_vocabulary(places: tuple[Path, Path]) -> None:
    sizes = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 8}
    text = {"d_model": 16, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8}
    bundle = init("whisper", "whisper", encoder_changes=sizes, decoder_changes=text, tokenizer=places[1])
    assert bundle.tokenizer is not None
    assert bundle.model.decoder.vocabulary == bundle.tokenizer.vocabulary_size
    assert bundle.config.decoder.to_dict()["pad_token_id"] == bundle.config.pad_token_id == bundle.tokenizer.pad_id


def test_a_pretrained_window_can_be_shortened(places: tuple[Path, Path], tmp_path: Path) -> None:
    make_whisper(tmp_path / "whisper", max_source_positions=100)
    whole = load(tmp_path / "whisper")
    bundle, report = warm_start(tmp_path / "whisper", places[1], encoder_changes={"max_source_positions": 50})
    assert not [key for key in report.fresh if key.startswith("encoder.")]
    assert torch.equal(bundle.model.encoder.positions.weight, whole.model.encoder.positions.weight[:50])
    assert bundle.features.longest == 16_000
    save(bundle, tmp_path / "joined")
    encoded = load(tmp_path / "joined").model.encode(*bundle.features([np.ones(4_000, np.float32)]))
    assert encoded.memory.size(1) == 50


def test_a_pretrained_window_cannot_be_lengthened(places: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match="embed_positions.weight is 50×24 where 100×24 is needed"):
        warm_start(*places, encoder_changes={"max_source_positions": 100})


def test_the_decoder_of_whisper_starts_with_its_dedicated_token(places: tuple[Path, Path], tmp_path: Path) -> None:
    vocabulary = write_whisper(tmp_path / "vocabulary", words=60)
    bundle, report = warm_start(*[places[0]] * 2, tokenizer=vocabulary)
    assert bundle.config.decoder_start_token_id == START
    assert not report.fresh
    assert bundle.config.to_dict()["model_type"] == "speech-encoder-decoder"


def test_info_shows_encoder_and_decoder_of_a_whole_model(places: tuple[Path, Path]) -> None:
    found = info(ModelOptions(str(places[0])))
    model = load(places[0]).model
    assert found.encoder == {"family": "whisper", "width": 24, "layers": 2, "heads": 3}
    assert found.decoder == {
        "family": "whisper", "width": 24, "layers": 3, "heads": 4, "vocabulary": 118, "positions": 40,
    }  # fmt: skip
    assert found.parameters == {
        "encoder": sum(parameter.numel() for parameter in model.encoder.parameters()),
        "decoder": sum(parameter.numel() for parameter in model.decoder.parameters()),
        "total": sum(parameter.numel() for parameter in model.parameters()),
    }
    assert "lang_to_id" not in found.generation
