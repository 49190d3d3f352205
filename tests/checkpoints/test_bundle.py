"""Model folders of transformers, read and written back, bit for bit; what does not fit is refused in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, SpeechEncoderDecoderModel
from transformers.utils import logging

from speechcli.checkpoints.bundle import add_ctc_head, load, save
from speechcli.errors import ModelError, OutputError
from speechcli.text.characters import Characters

from .tiny_models import DECODERS, ENCODERS, seq2seq

Write = Callable[..., Path]
PAIRS = [(encoder, decoder) for encoder in ENCODERS for decoder in DECODERS]
VARIANTS = [
    ("wav2vec2", "bart", {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}),
    ("wav2vec2", "mbart", {"add_adapter": True, "output_hidden_size": 12, "num_adapter_layers": 1}),
    ("wav2vec2", "gpt2", {"add_adapter": True, "output_hidden_size": 16, "num_adapter_layers": 2}),
    ("hubert", "bert", {"conv_pos_batch_norm": True}),
    ("wav2vec2", "bert", {"mask_time_prob": 0.0}),
]
logging.disable_progress_bar()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_tensors(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []


def their_logits(folder: Path) -> torch.Tensor:
    theirs, info = SpeechEncoderDecoderModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    with torch.no_grad():
        return theirs.eval()(input_values=audio(), decoder_input_ids=IDS).logits


def audio() -> torch.Tensor:
    return torch.randn(2, 800, generator=torch.Generator().manual_seed(1))


IDS = torch.tensor([[0, 5, 6, 7], [0, 8, 9, 3]])


@pytest.mark.parametrize(("encoder", "decoder", "changes"), [(*pair, {}) for pair in PAIRS] + VARIANTS)
def test_a_folder_of_transformers_is_saved_bit_for_bit(
    model_folder: Write, tmp_path: Path, encoder: str, decoder: str, changes: dict[str, object]
) -> None:
    theirs, ours = model_folder(encoder, decoder, **changes), tmp_path / "ours"
    bundle = load(theirs)
    save(bundle, ours)
    assert_same_tensors(weights(theirs), weights(ours))
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert json.loads((ours / name).read_text()) == json.loads((theirs / name).read_text())
    with torch.no_grad():
        logits = bundle.model(audio(), None, IDS).logits
    torch.testing.assert_close(logits, their_logits(ours), atol=1e-5, rtol=0)


def test_transformers_loads_the_saved_processor(model_folder: Write, tmp_path: Path) -> None:
    save(load(model_folder("wav2vec2", "bert")), tmp_path / "ours")
    processor = AutoProcessor.from_pretrained(tmp_path / "ours")
    assert processor.feature_extractor.sampling_rate == 16_000
    assert processor.tokenizer.convert_tokens_to_ids("w3") == 7


def test_a_folder_without_a_feature_extractor_gets_that_of_its_family(model_folder: Write) -> None:
    folder = model_folder("wav2vec2", "bert", feat_extract_norm="layer")
    (folder / "preprocessor_config.json").unlink()
    assert load(folder).features.return_attention_mask is True


def test_the_features_of_a_processor_file_are_found(model_folder: Write) -> None:
    folder = model_folder("wav2vec2", "bert")
    values = json.loads((folder / "preprocessor_config.json").read_text()) | {"sampling_rate": 8000}
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": values}))
    (folder / "preprocessor_config.json").unlink()
    assert load(folder).features.sampling_rate == 8000


def test_a_folder_without_a_vocabulary_loads_without_a_tokenizer(model_folder: Write, tmp_path: Path) -> None:
    folder = model_folder("wav2vec2", "bert")
    (folder / "tokenizer.json").unlink()
    bundle = load(folder)
    assert bundle.tokenizer is None
    save(bundle, tmp_path / "ours")
    assert not (tmp_path / "ours" / "processor_config.json").exists()


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_head_that_differs_from_the_embeddings_is_kept(model_folder: Write, tmp_path: Path, decoder: str) -> None:
    folder = model_folder("wav2vec2", decoder)
    tied = load(folder)
    head, tokens = tied.config.tied or ("", "")
    state = tied.model.state_dict()
    assert state[head].data_ptr() == state[tokens].data_ptr()
    names = {"bert": "cls.predictions.decoder", "roberta": "lm_head.decoder"}
    tensors = weights(folder)
    tensors[f"decoder.{names.get(decoder, 'lm_head')}.weight"] = torch.randn(40, 12)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    bundle = load(folder)
    assert bundle.config.decoder.to_dict()["tie_word_embeddings"] is False
    save(bundle, tmp_path / "ours")
    again = weights(tmp_path / "ours")
    assert_same_tensors(tensors, {key: again[key] for key in tensors})
    with torch.no_grad():
        logits = bundle.model(audio(), None, IDS).logits
    torch.testing.assert_close(logits, their_logits(tmp_path / "ours"), atol=1e-5, rtol=0)


@pytest.mark.parametrize("decoder", DECODERS)
def test_an_untied_model_is_saved_bit_for_bit(tmp_path: Path, decoder: str) -> None:
    seq2seq("wav2vec2", decoder, tie_word_embeddings=False).save_pretrained(tmp_path / "theirs")
    bundle = load(tmp_path / "theirs")
    save(bundle, tmp_path / "ours")
    assert_same_tensors(weights(tmp_path / "theirs"), weights(tmp_path / "ours"))
    with torch.no_grad():
        logits = bundle.model(audio(), None, IDS).logits
    torch.testing.assert_close(logits, their_logits(tmp_path / "theirs"), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("encoder", "decoder"), [("wav2vec2", "mbart"), ("hubert", "gpt2")])
def test_a_model_from_a_file_is_not_filled_with_random_numbers_first(
    model_folder: Write, monkeypatch: pytest.MonkeyPatch, encoder: str, decoder: str
) -> None:
    folder = model_folder(encoder, decoder)
    for fill in ("normal_", "uniform_"):
        monkeypatch.setattr(torch.Tensor, fill, None, raising=False)
    load(folder)


def test_a_tied_model_has_one_parameter_for_head_and_embeddings(model_folder: Write) -> None:
    model = load(model_folder("wav2vec2", "gpt2")).model
    assert model.decoder.head.weight is model.decoder.tokens.weight


def test_old_spellings_and_buffers_are_read(model_folder: Write) -> None:
    folder = model_folder("wav2vec2", "gpt2")
    tensors = weights(folder)
    conv = "encoder.encoder.pos_conv_embed.conv."
    for number, letter in enumerate("gv"):
        tensors[f"{conv}weight_{letter}"] = tensors.pop(f"{conv}parametrizations.weight.original{number}")
    tensors["decoder.transformer.h.0.attn.bias"] = torch.ones(1, 1, 40, 40, dtype=torch.uint8)
    torch.save(tensors, folder / "pytorch_model.bin")
    before = load(folder).model.state_dict()
    (folder / "model.safetensors").unlink()
    assert_same_tensors(load(folder).model.state_dict(), before)


def test_nothing_is_unset_after_loading(model_folder: Write) -> None:
    folder = model_folder("wav2vec2", "bert")
    tensors = weights(folder)
    del tensors["encoder.masked_spec_embed"]
    save_file(tensors, folder / "model.safetensors")
    state = load(folder).model.state_dict()
    assert not [key for key, tensor in state.items() if tensor.is_meta]
    assert_same_tensors(state, load(folder).model.state_dict())


def test_all_problems_are_in_one_error(model_folder: Write) -> None:
    folder = model_folder("wav2vec2", "bert")
    tensors = weights(folder)
    del tensors["encoder.encoder.layers.1.attention.q_proj.bias"]
    tensors["encoder.surplus"] = torch.ones(1)
    tensors["enc_to_dec_proj.bias"] = torch.ones(13)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError) as caught:
        load(folder)
    message = caught.value.message
    assert str(folder) in message
    assert "1 missing (encoder.encoder.layers.1.attention.q_proj.bias)" in message
    assert "1 unexpected (encoder.surplus)" in message
    assert "enc_to_dec_proj.bias is 13 where 12 is needed" in message


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.float8_e5m2])
def test_quantized_weights_are_refused(model_folder: Write, dtype: torch.dtype) -> None:
    folder = model_folder("wav2vec2", "bert")
    tensors = weights(folder)
    tensors["enc_to_dec_proj.weight"] = tensors["enc_to_dec_proj.weight"].to(dtype)
    save_file(tensors, folder / "model.safetensors")
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(ModelError, match=f"floating-point numbers, but 1 tensors are {name}"):
        load(folder)


def test_an_unsupported_family_is_refused_with_those_that_are(model_folder: Write) -> None:
    folder = model_folder("wav2vec2", "bert")
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["model_type"] = "llama"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="bert, .*'llama'"):
        load(folder)


def test_a_folder_of_another_model_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    with pytest.raises(ModelError, match="wav2vec2") as caught:
        load(tmp_path)
    assert caught.value.hint is not None and "warm-start" in caught.value.hint


def test_the_weights_may_be_read_in_another_dtype(model_folder: Write, tmp_path: Path) -> None:
    folder = model_folder("wav2vec2", "gpt2")
    half = load(folder, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in half.model.state_dict().values()} == {torch.bfloat16}
    save(half, tmp_path / "half")
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    assert load(tmp_path / "half").model.decoder.tokens.weight.dtype == torch.float32


def test_weights_on_the_cpu_are_not_copied(model_folder: Write) -> None:
    model = load(model_folder("wav2vec2", "bert")).model
    alone = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    assert all(tensor.data_ptr() for tensor in model.state_dict().values()) and len(alone) > 1
    assert not model.training


def test_a_ctc_head_is_saved_in_its_own_file(model_folder: Write, tmp_path: Path) -> None:
    bundle = load(model_folder("wav2vec2", "bert"))
    add_ctc_head(bundle, vocabulary_size=40, blank_id=6)
    bundle.settings["license"] = "CC0"
    save(bundle, tmp_path / "ours")
    again = load(tmp_path / "ours")
    assert again.settings == {"ctc": {"vocabulary_size": 40, "blank_id": 6}, "license": "CC0"}
    assert again.model.ctc_head is not None and bundle.model.ctc_head is not None
    assert torch.equal(again.model.ctc_head.weight, bundle.model.ctc_head.weight)
    their_logits(tmp_path / "ours")
    again.model.ctc_head = None
    save(again, tmp_path / "ours")
    assert not (tmp_path / "ours" / "ctc_head.safetensors").exists()
    assert load(tmp_path / "ours").model.ctc_head is None


def test_a_ctc_head_of_the_wrong_width_is_refused(model_folder: Write) -> None:
    folder = model_folder("wav2vec2", "bert")
    (folder / "speechcli.json").write_text('{"ctc": {}}')
    save_file({"weight": torch.ones(40, 3), "bias": torch.ones(40)}, folder / "ctc_head.safetensors")
    with pytest.raises(ModelError, match=r"must have a weight \(vocabulary, 16\)"):
        load(folder)


def test_a_ctc_head_over_characters_must_have_one_for_each_of_its_rows(model_folder: Write) -> None:
    folder = model_folder("wav2vec2", "bert")
    bundle = load(folder)
    add_ctc_head(bundle, vocabulary_size=4, blank_id=0, characters=Characters("abc"))
    save(bundle, folder)
    assert load(folder).characters == Characters("abc")
    for wrong in ("ab", 3, ["a", "b"]):
        (folder / "speechcli.json").write_text(json.dumps({"ctc": {"characters": wrong}}))
        with pytest.raises(ModelError, match="must name the 3 characters"):
            load(folder)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"translates_into": "fr"}, "`translates_into` in .* must be a list of language codes, but is 'fr'"),
        ({"translates_into": [1]}, "`translates_into` in .* must be a list of language codes, but is"),
        ({"ctc": 3}, "`ctc` in .* must be an object, but is 3"),
        ({"lm": {"translates": 1}}, "`lm.translates` in .* must be true or false, but is 1"),
        ({"ctc": {"weight": "0.5"}}, "`ctc.weight` in .* must be a number, but is '0.5'"),
        ({"lm": [0.5]}, "`lm` in .* must be an object, but is"),
    ],
)
def test_wrong_settings_in_our_own_file_are_refused(
    settings: dict[str, object], sentence: str, model_folder: Write
) -> None:
    folder = model_folder("wav2vec2", "bert")
    (folder / "speechcli.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=sentence):
        load(folder)


def test_a_trained_model_is_saved_over_its_own_folder(model_folder: Write) -> None:
    folder = model_folder("wav2vec2", "gpt2")
    bundle = load(folder)
    with torch.no_grad():
        bundle.model.decoder.tokens.weight.mul_(2)
    save(bundle, folder)
    assert torch.equal(load(folder).model.decoder.head.weight, bundle.model.decoder.tokens.weight)


def test_a_model_that_cannot_be_written_is_an_output_error(model_folder: Write, tmp_path: Path) -> None:
    bundle = load(model_folder("wav2vec2", "bert"))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save(bundle, tmp_path / "file")
