"""Decoders alone, with legal but unusual values in every field of their configurations, against transformers."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from speechcli.checkpoints.convert import to_ours, to_theirs
from speechcli.checkpoints.weights import assign
from speechcli.families import TEXT_DECODERS
from speechcli.families.rules import Copy, Rule
from speechcli.models.decoder import TextDecoder
from speechcli.nn.feedforward import ACTIVATIONS

from .reference import quiet, randomize

DRAWS = 3


def bert(draw: random.Random) -> dict[str, Any]:
    heads = draw.choice([1, 2, 3])
    return {
        "vocab_size": draw.randint(30, 50),
        "hidden_size": heads * draw.choice([3, 5, 8]),
        "num_hidden_layers": draw.randint(1, 3),
        "num_attention_heads": heads,
        "intermediate_size": draw.randint(1, 40),
        "hidden_act": draw.choice(list(ACTIVATIONS)),
        "max_position_embeddings": draw.randint(20, 40),
        "type_vocab_size": draw.randint(1, 3),
        "layer_norm_eps": draw.choice([1e-12, 1e-5, 1e-2]),
        "pad_token_id": draw.choice([0, 1, 4]),
        "tie_word_embeddings": draw.random() < 0.5,
    }


def bart(draw: random.Random) -> dict[str, Any]:
    heads = draw.choice([1, 2, 3])
    width = heads * draw.choice([4, 5, 8])
    return {
        "vocab_size": draw.randint(30, 50),
        "d_model": width,
        "encoder_layers": draw.randint(1, 4),
        "decoder_layers": draw.randint(1, 3),
        "encoder_attention_heads": width,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": 3,
        "decoder_ffn_dim": draw.randint(1, 40),
        "activation_function": draw.choice(list(ACTIVATIONS)),
        "max_position_embeddings": draw.randint(20, 40),
        "scale_embedding": draw.random() < 0.5,
        "pad_token_id": draw.choice([0, 1, 4]),
        "tie_word_embeddings": draw.random() < 0.5,
    }


def electra(draw: random.Random) -> dict[str, Any]:
    values = bert(draw)
    return values | {"embedding_size": draw.choice([values["hidden_size"], 7])}


def ernie(draw: random.Random) -> dict[str, Any]:
    return bert(draw) | {"use_task_id": draw.random() < 0.5, "task_type_vocab_size": draw.randint(1, 4)}


def rembert(draw: random.Random) -> dict[str, Any]:
    return bert(draw) | {"input_embedding_size": draw.randint(4, 20), "output_embedding_size": draw.randint(4, 20)}


def xmod(draw: random.Random) -> dict[str, Any]:
    switches = ("pre_norm", "adapter_layer_norm", "adapter_reuse_layer_norm", "ln_before_adapter")
    return (
        bert(draw)
        | {name: draw.random() < 0.5 for name in switches}
        | {
            "languages": ["en_XX", "de_DE", "zh_CN"],
            "default_language": draw.choice(["en_XX", "de_DE"]),
            "adapter_reduction_factor": draw.choice([1, 2, 3]),
        }
    )


def roformer(draw: random.Random) -> dict[str, Any]:
    values = bert(draw)
    width = values["num_attention_heads"] * draw.choice([2, 4, 8])
    return values | {
        "hidden_size": width,
        "embedding_size": draw.choice([None, width, 7]),
        "rotary_value": draw.random() < 0.5,
    }


def roc_bert(draw: random.Random) -> dict[str, Any]:
    switches = ("enable_pronunciation", "enable_shape", "concat_input")
    return (
        bert(draw)
        | {name: draw.random() < 0.5 for name in switches}
        | {"pronunciation_embed_dim": 5, "pronunciation_vocab_size": 9, "shape_embed_dim": 3, "shape_vocab_size": 7}
    )


def bigbird(draw: random.Random) -> dict[str, Any]:
    return bart(draw) | {
        "use_bias": draw.random() < 0.5,
        "attention_type": draw.choice(["original_full", "block_sparse"]),
    }


def trocr(draw: random.Random) -> dict[str, Any]:
    return bart(draw) | {
        "use_learned_position_embeddings": draw.random() < 0.5,
        "layernorm_embedding": draw.random() < 0.5,
        "cross_attention_hidden_size": draw.choice([None, 11]),
    }


def xglm(draw: random.Random) -> dict[str, Any]:
    values = bart(draw)
    common = ("vocab_size", "d_model", "activation_function", "max_position_embeddings", "scale_embedding")
    return {key: values[key] for key in (*common, "pad_token_id", "tie_word_embeddings")} | {
        "num_layers": values["decoder_layers"],
        "attention_heads": values["decoder_attention_heads"],
        "ffn_dim": values["decoder_ffn_dim"],
    }


def gpt2(draw: random.Random) -> dict[str, Any]:
    heads = draw.choice([1, 2, 3])
    return {
        "vocab_size": draw.randint(30, 50),
        "n_embd": heads * draw.choice([3, 5, 8]),
        "n_layer": draw.randint(1, 3),
        "n_head": heads,
        "n_inner": draw.choice([None, 1, 13]),
        "n_positions": draw.randint(20, 40),
        "activation_function": draw.choice(list(ACTIVATIONS)),
        "layer_norm_epsilon": draw.choice([1e-5, 1e-2]),
        "scale_attn_weights": draw.random() < 0.5,
        "scale_attn_by_inverse_layer_idx": draw.random() < 0.5,
        "reorder_and_upcast_attn": draw.random() < 0.5,
        "tie_word_embeddings": draw.random() < 0.5,
    }


KINDS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    **dict.fromkeys(("bert", "bert-generation", "roberta", "camembert", "xlm-roberta", "data2vec-text"), bert),
    **dict.fromkeys(("xlm-roberta-xl", "roberta-prelayernorm", "megatron-bert"), bert),
    **{
        "electra": electra,
        "ernie": ernie,
        "rembert": rembert,
        "xmod": xmod,
        "roformer": roformer,
        "roc_bert": roc_bert,
        "gpt2": gpt2,
        "xglm": xglm,
        "trocr": trocr,
    },
    **dict.fromkeys(("bart", "mbart", "mvp", "plbart", "pegasus", "marian", "blenderbot", "blenderbot-small"), bart),
    "bigbird_pegasus": bigbird,
}


def twins(kind: str, seed: int) -> tuple[Any, TextDecoder]:
    quiet()
    draw = random.Random(f"{kind} {seed}")
    values = KINDS[kind](draw)
    if kind == "marian":
        values["decoder_vocab_size"] = values["vocab_size"]
    config = transformers.AutoConfig.for_model(kind, is_decoder=True, add_cross_attention=True, **values)
    torch.manual_seed(seed)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    randomize(theirs)
    ours = TEXT_DECODERS[kind].config.from_dict(config.to_dict())
    decoder: TextDecoder = TEXT_DECODERS[kind].build(ours)
    assign(decoder, renamed(ours, decoder, theirs.state_dict()), tied=tied_names(ours))
    return theirs, decoder.eval()


def tied_names(config: Any) -> tuple[str, str] | None:
    return TEXT_DECODERS[config.model_type].tied_in(config)


def renamed(config: Any, decoder: TextDecoder, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    expected = {key: tensor.shape for key, tensor in decoder.state_dict().items()}
    return to_ours(rules(config), tensors, expected, tied=tied_names(config))[0]


def rules(config: Any) -> tuple[Rule, ...]:
    return TEXT_DECODERS[config.model_type].keys_in(config)


@pytest.mark.parametrize("seed", range(DRAWS))
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_logits_equal_the_reference_for_any_configuration(kind: str, seed: int) -> None:
    theirs, ours = twins(kind, seed)
    ids = torch.randint(5, 30, (2, 6))
    # the reference's Megatron only works with a memory that is as long as the text
    memory = torch.randn(2, 6 if kind == "megatron-bert" else 9, ours.memory_width)
    mask = torch.arange(memory.size(1)) < torch.tensor([[memory.size(1)], [4]])
    for given in (None, mask):
        expected = theirs(ids, encoder_hidden_states=memory, encoder_attention_mask=given, use_cache=False).logits
        close(ours(ids, memory, given), expected)
    cache = ours.start(memory, mask)
    close(torch.stack([ours.step(ids[:, at : at + 1], cache) for at in range(6)], dim=1), expected)


@pytest.mark.parametrize("seed", range(DRAWS))
@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_goes_back_under_its_name(kind: str, seed: int) -> None:
    theirs, ours = twins(kind, seed)
    config = TEXT_DECODERS[kind].config.from_dict(theirs.config.to_dict())
    written, state = to_theirs(rules(config), ours.state_dict(), tied=tied_names(config)), theirs.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in written.items())
    twice = {key for rule in rules(config) if isinstance(rule, Copy) for key in rule.copies(ours.state_dict())}
    shared = {state[key].data_ptr() for key in written}
    assert {key for key in state if key not in written and state[key].data_ptr() not in shared} <= twice


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_theirs_where_a_text_begins_with_padding(kind: str) -> None:
    theirs, ours = twins(kind, 0)
    ids = torch.randint(5, 30, (2, 6))
    ids[:, 0] = theirs.config.pad_token_id or 0
    memory, weights = torch.randn(2, 6, ours.memory_width), torch.randn(2, 6, ours.vocabulary)
    (theirs(ids, encoder_hidden_states=memory, use_cache=False).logits * weights).sum().backward()
    (ours(ids, memory) * weights).sum().backward()
    gradients = {
        name: torch.zeros_like(value) if value.grad is None else value.grad
        for name, value in theirs.named_parameters(remove_duplicate=False)
    }
    config = TEXT_DECODERS[kind].config.from_dict(theirs.config.to_dict())
    expected = renamed(config, ours, gradients)
    for name, value in ours.named_parameters():
        if value.requires_grad:
            close(torch.zeros_like(value) if value.grad is None else value.grad, expected[name], 1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_decoder_in_bfloat16_returns_the_reference_logits_rounded(kind: str) -> None:
    theirs, ours = twins(kind, 0)
    ids, memory = torch.randint(5, 30, (2, 6)), torch.randn(2, 6, ours.memory_width)
    expected = theirs(ids, encoder_hidden_states=memory, use_cache=False).logits
    logits = ours.bfloat16()(ids, memory.bfloat16())
    assert logits.dtype == torch.bfloat16
    close(logits, expected, 0.1)


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    assert float((ours - theirs).abs().max()) <= tolerance * max(1.0, float(theirs.abs().max()))
