"""The weights that a warm start loads from each kind of text checkpoint, compared with transformers."""

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from speechcli.checkpoints.bundle import save
from speechcli.checkpoints.compose import init, warm_start
from speechcli.checkpoints.special_ids import SpecialIds
from tests.parity.reference import DECODERS, OTHER_DECODERS, quiet

from .tiny_models import encoder_config, randomized

MASKED = ("Model", "ForMaskedLM")
SEQ2SEQ = ("Model", "ForConditionalGeneration")
CLASSES = {
    "bert-generation": ("BertGenerationEncoder", "BertGenerationDecoder"),
    "electra": ("ElectraModel", "ElectraForPreTraining", "ElectraForMaskedLM", "ElectraForCausalLM"),
    "rembert": tuple("RemBert" + name for name in MASKED),
    "camembert": ("CamembertForMaskedLM",),
    "xlm-roberta": ("XLMRobertaForCausalLM",),
    "data2vec-text": ("Data2VecTextForMaskedLM",),
    "ernie": ("ErnieForPreTraining",),
    "xlm-roberta-xl": tuple("XLMRobertaXL" + name for name in MASKED),
    "roberta-prelayernorm": tuple("RobertaPreLayerNorm" + name for name in MASKED),
    "xmod": tuple("Xmod" + name for name in MASKED),
    "roformer": tuple("RoFormer" + name for name in MASKED),
    "roc_bert": tuple("RoCBert" + name for name in MASKED),
    "gpt2 scaled": ("GPT2Model", "GPT2LMHeadModel", "GPT2DoubleHeadsModel"),
    "xglm": ("XGLMModel", "XGLMForCausalLM"),
    "mvp": ("MvpForConditionalGeneration",),
    "plbart": ("PLBartModel",),
    "pegasus": tuple("Pegasus" + name for name in SEQ2SEQ),
    "marian": ("MarianModel", "MarianMTModel"),
    "blenderbot": ("BlenderbotForConditionalGeneration",),
    "blenderbot-small": ("BlenderbotSmallForCausalLM",),
    "bigbird_pegasus": tuple("BigBirdPegasus" + name for name in SEQ2SEQ),
    "trocr": ("TrOCRForCausalLM",),
}
EVERY = [(kind, name) for kind, names in CLASSES.items() for name in names]
CROSSING = ("crossattention", "ln_cross_attn", "encoder_attn", "enc_to_dec_proj")
HEADS = ("lm_head", "cls.predictions", "generator_")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quiet()
    folder = tmp_path_factory.mktemp("encoder")
    randomized(transformers.Wav2Vec2Model(encoder_config("wav2vec2")), seed=1).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_the_decoder_is_found_in_any_checkpoint(kind: str, name: str, encoder: Path, tmp_path: Path) -> None:
    config_class, values = (DECODERS | OTHER_DECODERS)[kind]
    seq2seq = any("encoder_layers" in key for key in values) and kind != "trocr"
    flags = {"is_decoder": True} if name.endswith(("CausalLM", "Decoder")) and not seq2seq else {}
    model = getattr(transformers, name)(getattr(transformers, config_class)(**values, **flags, pad_token_id=1))
    randomized(model, seed=2).save_pretrained(tmp_path / "text")
    bundle, report = warm_start(encoder, tmp_path / "text", ids=SpecialIds(0, 1, 2))
    save(bundle, tmp_path / "ours")
    ours = load_file(tmp_path / "ours" / "model.safetensors")

    config = transformers.AutoConfig.from_pretrained(tmp_path / "text")
    config.is_decoder = config.add_cross_attention = True
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "text", config=config).state_dict()
    fresh = {key.removeprefix("decoder.") for key in report.fresh}
    decoder = {key.removeprefix("decoder."): value for key, value in ours.items() if key.startswith("decoder.")}
    # of a sequence-to-sequence model, transformers leaves the embeddings, and a head of their own, random
    shared = {"model.decoder.embed_tokens.weight", "lm_head.weight"} if "ForCausalLM" not in name and seq2seq else set()
    assert [k for k in decoder if k not in fresh | shared and not torch.equal(decoder[k], theirs[k])] == []

    bare = name.endswith(("Model", "Encoder")) and "LMHead" not in name and "Heads" not in name
    may_be_fresh = CROSSING[3:] if seq2seq else CROSSING + HEADS * (bare or "ForPreTraining" in name)
    assert [key for key in report.fresh if not any(part in key for part in may_be_fresh)] == []
    assert report.from_decoder == len([key for key in decoder if key not in fresh])
    source = load_file(tmp_path / "text" / "model.safetensors")
    if shared:
        table = next(source[key] for key in source if key.endswith(("shared.weight", "decoder.embed_tokens.weight")))
        assert torch.equal(decoder["model.decoder.embed_tokens.weight"], table)
    taken = [tensor for key, tensor in source.items() if key not in report.left_in_decoder]
    assert all(any(torch.equal(tensor, kept) for kept in decoder.values()) for tensor in taken)


@pytest.mark.parametrize(("kind", "tokens"), [("camembert", 38), ("bert", 40), ("xglm", 40), ("speech_to_text_2", 200)])
def test_a_new_model_writes_no_more_tokens_than_its_decoder_has_positions_for(
    kind: str, tokens: int, encoder: Path
) -> None:
    size = {"d_model": 8} if kind in ("xglm", "speech_to_text_2") else {"hidden_size": 12, "num_attention_heads": 2}
    heads = {"xglm": {"attention_heads": 2}, "speech_to_text_2": {"decoder_attention_heads": 2}}.get(kind, {})
    positions = {} if kind == "speech_to_text_2" else {"max_position_embeddings": 40}
    changes = {"vocab_size": 20, "pad_token_id": 1} | size | heads | positions
    layers = {"xglm": "num_layers", "speech_to_text_2": "decoder_layers"}.get(kind, "num_hidden_layers")
    bundle = init(encoder, kind, decoder_changes=changes | {layers: 1}, ids=SpecialIds(0, 1, 2))
    assert bundle.generation.max_length == tokens
