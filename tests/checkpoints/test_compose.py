"""New models: the origin of weights in a warm start, compared with transformers; special ids; random models."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import SpeechEncoderDecoderModel

from speechcli.checkpoints.bundle import load, save
from speechcli.checkpoints.compose import init, warm_start
from speechcli.checkpoints.special_ids import SpecialIds
from speechcli.errors import ModelError, UsageError

from .tiny_models import (
    DECODERS,
    ENCODERS,
    decoder_config,
    encoder_config,
    randomized,
    seq2seq,
    write_features,
    write_tokenizer,
)

ENCODER_CLASSES = {
    "wav2vec2": ("Wav2Vec2Model", "Wav2Vec2ForCTC", "Wav2Vec2ForPreTraining", "Wav2Vec2ForSequenceClassification"),
    "hubert": ("HubertModel", "HubertForCTC"),
    "wavlm": ("WavLMModel", "WavLMForCTC", "WavLMForXVector"),
    "data2vec-audio": ("Data2VecAudioModel", "Data2VecAudioForCTC"),
    "unispeech": ("UniSpeechModel", "UniSpeechForPreTraining"),
    "unispeech-sat": ("UniSpeechSatModel", "UniSpeechSatForCTC", "UniSpeechSatForPreTraining"),
    "wav2vec2-conformer": (
        "Wav2Vec2ConformerModel",
        "Wav2Vec2ConformerForCTC",
        "Wav2Vec2ConformerForPreTraining",
        "Wav2Vec2ConformerForAudioFrameClassification",
    ),
    "wav2vec2-bert": ("Wav2Vec2BertModel", "Wav2Vec2BertForCTC", "Wav2Vec2BertForXVector"),
    "sew": ("SEWModel", "SEWForCTC", "SEWForSequenceClassification"),
    "sew-d": ("SEWDModel", "SEWDForCTC", "SEWDForSequenceClassification"),
}
DECODER_CLASSES = {
    "bert": ("BertModel", "BertForMaskedLM", "BertForPreTraining", "BertLMHeadModel"),
    "gpt2": ("GPT2Model", "GPT2LMHeadModel"),
    "roberta": ("RobertaModel", "RobertaForMaskedLM", "RobertaForCausalLM"),
    "bart": ("BartModel", "BartForConditionalGeneration", "BartForCausalLM"),
    "mbart": ("MBartModel", "MBartForConditionalGeneration", "MBartForCausalLM"),
}
EVERY_ENCODER = [(kind, name) for kind, names in ENCODER_CLASSES.items() for name in names]
EVERY_DECODER = [(kind, name) for kind in DECODERS for name in DECODER_CLASSES[kind]]


def write_encoder(folder: Path, kind: str = "wav2vec2", name: str | None = None, **changes: Any) -> Path:
    torch.manual_seed(0)
    model = getattr(transformers, name or ENCODER_CLASSES[kind][0])(encoder_config(kind, **changes))
    randomized(model, seed=1).save_pretrained(folder)
    return folder


def write_decoder(folder: Path, kind: str = "bert", name: str | None = None, *, tokenizer: bool = True) -> Path:
    torch.manual_seed(0)
    name = name or DECODER_CLASSES[kind][0]
    flags = {"is_decoder": True} if "CausalLM" in name or "LMHead" in name else {}
    randomized(getattr(transformers, name)(decoder_config(kind, **flags)), seed=2).save_pretrained(folder)
    if tokenizer:
        write_tokenizer(folder, kind)
    return folder


def their_warm_start(encoder: Path, decoder: Path) -> dict[str, torch.Tensor]:
    config = transformers.AutoConfig.from_pretrained(decoder)
    config.is_decoder = config.add_cross_attention = True
    model = SpeechEncoderDecoderModel.from_encoder_decoder_pretrained(encoder, decoder, decoder_config=config)
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def compare(tmp_path: Path, encoder: Path, decoder: Path, kind: str) -> tuple[set[str], dict[str, torch.Tensor]]:
    """Warm-start both; every tensor that is not random here must be theirs. Returns our random keys and our file."""
    bundle, report = warm_start(encoder, decoder)
    save(bundle, tmp_path / "ours")
    ours, theirs = load_file(tmp_path / "ours" / "model.safetensors"), their_warm_start(encoder, decoder)
    fresh = set(report.fresh)
    assert fresh <= ours.keys()
    assert report.from_encoder + report.from_decoder + len(fresh) == len(ours)
    random_there = {"decoder.model.decoder.embed_tokens.weight"} if kind in ("bart", "mbart") else set()
    assert [k for k in ours if k not in fresh | random_there and not torch.equal(ours[k], theirs[k])] == []
    _, info = SpeechEncoderDecoderModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    return fresh, ours


@pytest.mark.parametrize(("kind", "name"), EVERY_ENCODER)
def test_the_encoder_is_found_in_any_checkpoint(tmp_path: Path, kind: str, name: str) -> None:
    encoder = write_encoder(tmp_path / "encoder", kind, name)
    fresh, _ = compare(tmp_path, encoder, write_decoder(tmp_path / "decoder"), "bert")
    assert not [key for key in fresh if key.startswith("encoder.")]


@pytest.mark.parametrize(("kind", "name"), EVERY_DECODER)
def test_the_decoder_is_found_in_any_checkpoint(tmp_path: Path, kind: str, name: str) -> None:
    decoder = write_decoder(tmp_path / "decoder", kind, name)
    fresh, ours = compare(tmp_path, write_encoder(tmp_path / "encoder"), decoder, kind)
    crossing = ("crossattention", "ln_cross_attn", "enc_to_dec_proj")
    headless = name in ("BertModel", "RobertaModel")
    assert not [key for key in fresh if not any(c in key for c in crossing) and not headless]
    if kind in ("bart", "mbart"):
        assert fresh == {"enc_to_dec_proj.weight", "enc_to_dec_proj.bias"}
        source = load_file(decoder / "model.safetensors")
        shared = next(source[key] for key in source if key.endswith(("shared.weight", "embed_tokens.weight")))
        assert torch.equal(ours["decoder.model.decoder.embed_tokens.weight"], shared)


def test_unused_heads_are_reported_by_their_names_in_the_file(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", name="Wav2Vec2ForCTC")
    decoder = write_decoder(tmp_path / "decoder", name="BertForPreTraining")
    _, report = warm_start(encoder, decoder)
    assert sorted(report.left_in_encoder) == ["lm_head.bias", "lm_head.weight"]
    assert "bert.pooler.dense.weight" in report.left_in_decoder
    assert "cls.seq_relationship.weight" in report.left_in_decoder
    text = "\n".join(report.sentences())
    assert "decoder.bert.encoder.layer.*.crossattention (20)" in text
    assert "enc_to_dec_proj (2)" in text and "lm_head (2)" in text


def test_the_same_seed_gives_the_same_random_weights(tmp_path: Path) -> None:
    halves = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder")
    state = torch.random.get_rng_state()
    first, again, other = (warm_start(*halves, seed=seed)[0].model.projection for seed in (1, 1, 2))
    assert first is not None and again is not None and other is not None
    assert torch.equal(first.weight, again.weight) and not torch.equal(first.weight, other.weight)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_encoder_and_decoder_are_found_in_whole_models(tmp_path: Path) -> None:
    seq2seq("wav2vec2", "bart").save_pretrained(tmp_path / "a")
    seq2seq("hubert", "gpt2").save_pretrained(tmp_path / "b")
    write_tokenizer(tmp_path / "a", "bart")
    bundle, report = warm_start(tmp_path / "b", tmp_path / "a")
    a, b, state = load(tmp_path / "a"), load(tmp_path / "b"), bundle.model.state_dict()
    assert report.fresh == ("enc_to_dec_proj.weight", "enc_to_dec_proj.bias")
    assert all(torch.equal(t, state[k]) for k, t in a.model.state_dict().items() if k.startswith("decoder."))
    assert all(torch.equal(t, state[k]) for k, t in b.model.state_dict().items() if k.startswith("encoder."))


def test_an_old_pickle_names_the_embeddings_too(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder", "bart")
    tensors = load_file(decoder / "model.safetensors")
    tensors["decoder.embed_tokens.weight"] = tensors["shared.weight"].clone()
    torch.save(tensors, decoder / "pytorch_model.bin")
    (decoder / "model.safetensors").unlink()
    bundle, report = warm_start(encoder, decoder)
    assert torch.equal(bundle.model.decoder.tokens.weight, tensors["shared.weight"])
    assert not [key for key in report.left_in_decoder if "shared" in key]


def test_a_new_adapter_is_random_and_reported(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder")
    _, report = warm_start(encoder, decoder, encoder_changes={"add_adapter": True, "num_adapter_layers": 1})
    assert [key for key in report.fresh if "adapter" in key] == [
        "encoder.adapter.layers.0.conv.weight",
        "encoder.adapter.layers.0.conv.bias",
    ]


def test_an_untied_head_is_initialized_with_the_embeddings(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder", "gpt2")
    bundle, _ = warm_start(encoder, decoder, decoder_changes={"tie_word_embeddings": False})
    head, tokens = bundle.model.decoder.head.weight, bundle.model.decoder.tokens.weight
    assert torch.equal(head, tokens) and head.data_ptr() != tokens.data_ptr()
    tied, _ = warm_start(encoder, decoder)
    assert tied.model.decoder.head.weight is tied.model.decoder.tokens.weight


def test_more_layers_than_the_checkpoint_has_are_refused(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder")
    with pytest.raises(ModelError, match="encoder checkpoint lacks 16 tensors"):
        warm_start(encoder, decoder, encoder_changes={"num_hidden_layers": 3})


def test_fewer_layers_than_the_checkpoint_has_are_taken_from_the_bottom(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder")
    bundle, report = warm_start(encoder, decoder, encoder_changes={"num_hidden_layers": 1})
    assert len(bundle.model.encoder.layers) == 1
    assert len(report.left_in_encoder) == 16


def test_the_error_for_an_unknown_configuration_key_names_the_nearest_one(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder", "hubert"), write_decoder(tmp_path / "decoder")
    with pytest.raises(UsageError, match="hubert configuration has no key 'add_adapter'"):
        warm_start(encoder, decoder, encoder_changes={"add_adapter": True})
    with pytest.raises(UsageError) as caught:
        warm_start(encoder, decoder, encoder_changes={"layer_drop": 0.0})
    assert caught.value.hint == "Did you mean 'layerdrop'?"


def test_misshapen_tensors_of_encoder_and_decoder_are_in_one_error(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder")
    changes = {"encoder_changes": {"intermediate_size": 24}, "decoder_changes": {"vocab_size": 50}}
    with pytest.raises(ModelError, match="misshapen") as caught:
        warm_start(encoder, decoder, **changes)
    assert "encoder.encoder.layers.0.feed_forward" in caught.value.message
    assert "word_embeddings" in caught.value.message


def test_a_decoder_in_place_of_the_encoder_is_refused(tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "decoder")
    with pytest.raises(ModelError, match="speech encoder must be one of wav2vec2, .* 'bert'"):
        warm_start(decoder, decoder)


@pytest.mark.parametrize(
    ("kind", "start", "pad", "eos"),
    [("bert", 0, 2, 1), ("gpt2", 0, 0, 0), ("roberta", 0, 1, 2), ("bart", 0, 1, 2), ("mbart", 2, 1, 2)],
)
def test_special_ids_come_from_the_vocabulary_and_go_to_both_files(
    tmp_path: Path, kind: str, start: int, pad: int, eos: int
) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder", kind)
    save(warm_start(encoder, decoder)[0], tmp_path / "ours")
    for name in ("config.json", "generation_config.json"):
        values = json.loads((tmp_path / "ours" / name).read_text())
        found = (values["decoder_start_token_id"], values["pad_token_id"], values["eos_token_id"])
        assert found == (start, pad, eos)
    generation = load(tmp_path / "ours").generation
    assert generation.length_limits(1).longest == {"roberta": 38}.get(kind, 40)


def test_the_language_of_a_multilingual_decoder_is_forced(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder", "mbart")
    assert warm_start(encoder, decoder)[0].generation.forced_bos_token_id is None
    assert warm_start(encoder, decoder, language="German")[0].generation.forced_bos_token_id == 5
    with pytest.raises(UsageError):
        warm_start(encoder, decoder, language="fr")


def test_an_id_that_cannot_be_found_is_refused(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder", tokenizer=False)
    with pytest.raises(ModelError, match="Training needs `eos_token_id`") as caught:
        warm_start(encoder, decoder)
    assert caught.value.hint is not None and "--tokenizer" in caught.value.hint
    with pytest.raises(ModelError, match="`eos_token_id` must be one of the decoder's .* tokens, but is 9999"):
        warm_start(encoder, decoder, ids=SpecialIds(eos_token_id=9999))
    given = SpecialIds(decoder_start_token_id=3, eos_token_id=4)
    bundle, _ = warm_start(encoder, decoder, ids=given)
    assert (bundle.config.decoder_start_token_id, bundle.config.pad_token_id) == (3, 1)
    assert warm_start(encoder, decoder, require_ids=False)[0].config.eos_token_id is None


def test_an_id_of_larger_models_is_not_taken_where_none_is_needed(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder", tokenizer=False)
    stated = {"decoder_start_token_id": 58100, "eos_token_id": 3, "pad_token_id": 58100}
    path = decoder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | stated))
    config = warm_start(encoder, decoder, require_ids=False)[0].config
    assert (config.decoder_start_token_id, config.pad_token_id, config.eos_token_id) == (None, 3, 3)
    with pytest.raises(ModelError, match="`decoder_start_token_id` must be one of the decoder's 40 tokens"):
        warm_start(encoder, decoder)


def test_a_model_saved_over_another_keeps_nothing_of_its_vocabulary(tmp_path: Path) -> None:
    encoder, target = write_encoder(tmp_path / "encoder"), tmp_path / "model"
    old = write_decoder(tmp_path / "old", "bart", "BartForCausalLM")
    (old / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    save(warm_start(encoder, old)[0], target)
    (target / "README.md").touch()
    bundle, _ = warm_start(encoder, write_decoder(tmp_path / "new", "bert"))
    save(bundle, target)
    before, after = bundle.tokenizer, load(target).tokenizer
    assert before is not None and after is not None
    assert (after.vocabulary_size, after.end_id) == (before.vocabulary_size, before.end_id)
    assert (target / "README.md").exists()


def test_the_vocabulary_of_the_encoder_is_never_used(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), write_decoder(tmp_path / "decoder", "bart", tokenizer=False)
    write_tokenizer(encoder, "bert")
    bundle, _ = warm_start(encoder, decoder)
    assert bundle.tokenizer is None
    assert bundle.config.eos_token_id == 2


def test_a_vocabulary_larger_than_the_embeddings_is_refused(tmp_path: Path) -> None:
    encoder, decoder = write_encoder(tmp_path / "encoder"), tmp_path / "decoder"
    transformers.BertModel(decoder_config("bert", vocab_size=30)).save_pretrained(decoder)
    write_tokenizer(decoder, "bert")
    with pytest.raises(ModelError, match="embeddings for 30 tokens, but its vocabulary has 40"):
        warm_start(encoder, decoder)


def test_features_come_from_the_encoder_or_from_its_family(tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "decoder")
    plain = write_encoder(tmp_path / "plain")
    layered = write_encoder(tmp_path / "layered", feat_extract_norm="layer")
    stated = write_encoder(tmp_path / "stated")
    write_features(stated, do_normalize=False, return_attention_mask=True)
    features = [warm_start(encoder, decoder)[0].features for encoder in (plain, layered, stated)]
    assert [each.to_dict()["return_attention_mask"] for each in features] == [False, True, True]
    assert [each.to_dict()["do_normalize"] for each in features] == [True, True, False]


def test_a_random_model_is_made_of_two_configurations(tmp_path: Path) -> None:
    encoder_config("wav2vec2").save_pretrained(tmp_path / "encoder")
    write_tokenizer(tmp_path / "decoder", "roberta")
    decoder_config("roberta", pad_token_id=7, vocab_size=100).save_pretrained(tmp_path / "decoder")
    bundle = init(tmp_path / "encoder" / "config.json", tmp_path / "decoder", decoder_changes={"num_hidden_layers": 1})
    assert bundle.model.decoder.tokens.weight.shape == (40, 12)
    assert len(bundle.model.decoder.layers) == 1
    assert bundle.config.decoder.to_dict()["pad_token_id"] == 1
    save(bundle, tmp_path / "ours")
    _, info = SpeechEncoderDecoderModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    same = load(tmp_path / "ours").model.state_dict()
    assert all(torch.equal(tensor, same[key]) for key, tensor in bundle.model.state_dict().items())


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_random_model_may_be_made_of_two_names(encoder: str, decoder: str) -> None:
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    tiny |= {"conv_dim": (8,), "conv_kernel": (10,), "conv_stride": (5,), "num_conv_pos_embeddings": 8}
    width = {"gpt2": "n_embd", "bart": "d_model", "mbart": "d_model"}.get(decoder, "hidden_size")
    layers = {"gpt2": "n_layer", "bart": "decoder_layers", "mbart": "decoder_layers"}.get(decoder, "num_hidden_layers")
    bundle = init(
        encoder,
        decoder,
        encoder_changes=tiny,
        decoder_changes={width: 48, layers: 1, "vocab_size": 50},
        ids=SpecialIds(1, 2, 3),
    )
    assert bundle.tokenizer is None and bundle.config.decoder_start_token_id == 1
    std = bundle.model.decoder.layers[0].cross_attn.query.weight.std().item()
    assert std == pytest.approx(0.02, rel=0.1)


def test_the_error_for_an_unknown_name_lists_the_families() -> None:
    with pytest.raises(ModelError, match=r"wav2vec9 does not exist. The speech encoder must be one of wav2vec2, "):
        init("wav2vec9", "bert")
    with pytest.raises(ModelError, match="llama does not exist.*has no cross-attention"):
        init("wav2vec2", "llama")
