"""Encoders of configurations drawn at random, every field that shapes them, held against transformers."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

from speechcli.checkpoints.convert import to_ours, to_theirs
from speechcli.families import SPEECH_ENCODERS
from speechcli.models.encoder import SpeechEncoder
from tests.parity.reference import quiet

# the reference mixes kinds of masks in its own WavLM
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched")

SEEDS = range(4)
ACTIVATIONS = ("gelu", "gelu_new", "gelu_python", "relu", "swish", "tanh", "quick_gelu", "mish", "relu2", "leaky_relu")

Draw = random.Random
Values = dict[str, Any]


def layers(draw: Draw, *, head_widths: tuple[int, ...] = (3, 4, 6, 8)) -> Values:
    heads = draw.randint(1, 4)
    return {
        "hidden_size": heads * draw.choice(head_widths),
        "num_attention_heads": heads,
        "num_hidden_layers": draw.randint(1, 3),
        "intermediate_size": draw.randint(1, 30),
        "hidden_act": draw.choice(ACTIVATIONS),
        "layer_norm_eps": draw.choice((1e-12, 1e-5, 1e-2)),
        "layerdrop": draw.choice((0, 0.5, 1.0)),
        "hidden_dropout": draw.choice((0, 0.3)),
        "mask_time_prob": draw.choice((0, 0.0, 0.3)),
        "mask_feature_prob": draw.choice((0.0, 0.3)),
        "apply_spec_augment": draw.random() < 0.5,
    }


def waveform(draw: Draw, **options: Any) -> Values:
    values, count = layers(draw, **options), draw.randint(1, 4)
    return values | {
        "conv_dim": [draw.choice((1, 5, 8, 12)) for _ in range(count - 1)] + [draw.choice((7, values["hidden_size"]))],
        "conv_kernel": [draw.randint(1, 10) for _ in range(count)],
        "conv_stride": [draw.randint(1, 5) for _ in range(count)],
        "conv_bias": draw.random() < 0.5,
        "feat_extract_activation": draw.choice(ACTIVATIONS),
        "num_conv_pos_embeddings": draw.randint(1, 20),
        "num_conv_pos_embedding_groups": draw.choice(divisors(values["hidden_size"])),
    }


def normed(draw: Draw) -> Values:
    stable = {"do_stable_layer_norm": draw.random() < 0.5}
    return waveform(draw) | stable | {"feat_extract_norm": draw.choice(("group", "layer"))}


def adapter(draw: Draw, width: int) -> Values:
    # With a larger kernel the reference counts frames that are not there.
    return {
        "add_adapter": draw.random() < 0.7,
        "adapter_kernel_size": draw.randint(1, 3),
        "adapter_stride": draw.randint(1, 3),
        "num_adapter_layers": draw.randint(0, 3),
        "output_hidden_size": draw.choice((None, width, 2 * width)),
    }


def wav2vec2(draw: Draw) -> Values:
    values = normed(draw)
    return values | adapter(draw, values["hidden_size"]) | {"adapter_attn_dim": draw.choice((None, 1, 5))}


def hubert(draw: Draw) -> Values:
    return normed(draw) | {
        "feat_proj_layer_norm": draw.random() < 0.5,
        "conv_pos_batch_norm": draw.random() < 0.5,
    }


def wavlm(draw: Draw) -> Values:
    values = normed(draw) | {"num_buckets": draw.choice((4, 7, 16)), "max_bucket_distance": draw.randint(5, 50)}
    return values | adapter(draw, values["hidden_size"])


def data2vec(draw: Draw) -> Values:
    values = waveform(draw) | {
        "conv_pos_kernel_size": draw.randint(1, 9),
        "num_conv_pos_embeddings": draw.randint(1, 3),
    }
    return values | adapter(draw, values["hidden_size"])


def conformer(draw: Draw) -> Values:
    values = waveform(draw, head_widths=(2, 4, 6)) | {"feat_extract_norm": draw.choice(("group", "layer"))}
    return values | conformer_layers(draw, ("relative", "rotary", None)) | adapter(draw, values["hidden_size"])


def conformer_layers(draw: Draw, kinds: tuple[str | None, ...]) -> Values:
    return {
        "position_embeddings_type": draw.choice(kinds),
        "rotary_embedding_base": draw.choice((10, 10000)),
        "max_source_positions": draw.choice((3, 500)),
        "conv_depthwise_kernel_size": draw.choice((1, 3, 9)),
    }


def wav2vec2_bert(draw: Draw) -> Values:
    values = layers(draw, head_widths=(2, 4, 6))
    values |= conformer_layers(draw, ("relative_key", "relative", "rotary", None))
    values |= adapter(draw, values["hidden_size"])
    # Where half the kernel is more than half the stride, the reference counts frames that are not there.
    values["adapter_stride"] = draw.randint(2, 4)
    return values | {
        "feature_projection_input_dim": 9,
        "left_max_position_embeddings": draw.randint(0, 9),
        "right_max_position_embeddings": draw.randint(0, 9),
        "adapter_act": draw.choice(ACTIVATIONS),
        "use_intermediate_ffn_before_adapter": values["add_adapter"] and draw.random() < 0.5,
    }


def sew(draw: Draw) -> Values:
    norm = {"feat_extract_norm": draw.choice(("group", "layer"))}
    return waveform(draw) | norm | {"squeeze_factor": draw.randint(1, 4)}


def sew_d(draw: Draw) -> Values:
    return sew(draw) | {
        "position_buckets": draw.choice((-1, 0, 4, 7, 16)),
        "max_position_embeddings": draw.randint(10, 60),
        "max_relative_positions": draw.choice((-1, 0, 11, 30)),
        "relative_attention": draw.random() < 0.75,
        "share_att_key": draw.random() < 0.5,
        "pos_att_type": draw.choice((["p2c", "c2p"], ["c2p"], ["p2c"], [])),
        "norm_rel_ebd": draw.choice(("layer_norm", "none", "none | Layer_Norm")),
        "feature_layer_norm_eps": draw.choice((1e-5, 1e-2)),
    }


def divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]


FAMILIES: dict[str, Callable[[Draw], Values]] = {
    "wav2vec2": wav2vec2,
    "hubert": hubert,
    "wavlm": wavlm,
    "unispeech": normed,
    "unispeech-sat": normed,
    "data2vec-audio": data2vec,
    "wav2vec2-conformer": conformer,
    "wav2vec2-bert": wav2vec2_bert,
    "sew": sew,
    "sew-d": sew_d,
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", FAMILIES)
@torch.no_grad()
def test_an_encoder_of_any_configuration_is_theirs(kind: str, seed: int) -> None:
    draw = Draw(f"{kind} {seed}")
    theirs, ours = make(kind, FAMILIES[kind](draw), seed)
    inputs, lengths = batch(draw, theirs.config)
    mask = (torch.arange(inputs.size(1)) < lengths[:, None]).long()
    alone, masked = theirs(inputs).last_hidden_state, theirs(inputs, attention_mask=mask).last_hidden_state
    scale = max(1.0, float(alone.abs().max()))
    torch.testing.assert_close(ours(inputs)[0] / scale, alone / scale, atol=1e-5, rtol=0)
    frames, counts = ours(inputs, lengths)
    torch.testing.assert_close(frames / scale, masked / scale, atol=1e-5, rtol=0)
    assert counts.tolist() == theirs._get_feature_vector_attention_mask(alone.size(1), mask).sum(1).tolist()
    assert same(to_theirs(SPEECH_ENCODERS[kind].keys, ours.state_dict()), theirs.state_dict())


@pytest.mark.parametrize(
    ("kind", "kernel", "stride"),
    [("wav2vec2", 4, 2), ("wavlm", 5, 3), ("wav2vec2-bert", 5, 3), ("wav2vec2-bert", 7, 5)],
)
@torch.no_grad()
def test_an_adapter_with_a_large_kernel_counts_frames_as_theirs(kind: str, kernel: int, stride: int) -> None:
    draw = Draw(f"{kind} {kernel}")
    values = FAMILIES[kind](draw) | {"add_adapter": True, "adapter_kernel_size": kernel, "adapter_stride": stride}
    theirs, ours = make(kind, values | {"num_adapter_layers": 1})
    inputs, lengths = batch(draw, theirs.config, frames=(18, 11, 6))
    mask = (torch.arange(inputs.size(1)) < lengths[:, None]).long()
    expected = theirs(inputs, attention_mask=mask).last_hidden_state
    frames, counts = ours(inputs, lengths)
    torch.testing.assert_close(frames, expected, atol=1e-5, rtol=1e-5)
    assert counts.tolist() == theirs._get_feature_vector_attention_mask(expected.size(1), mask).sum(1).tolist()


@pytest.mark.parametrize("kind", FAMILIES)
def test_gradients_of_an_encoder_equal_the_reference_without_dropout(kind: str) -> None:
    draw = Draw(f"{kind} learns")
    still = {"layerdrop": 0.0, "apply_spec_augment": False, "layer_norm_eps": 1e-3, "feature_layer_norm_eps": 1e-3}
    parts = ("hidden", "activation", "attention", "feat_proj", "conformer_conv")
    theirs, ours = make(kind, FAMILIES[kind](draw) | still | {f"{part}_dropout": 0.0 for part in parts})
    inputs, lengths = batch(draw, theirs.config)
    mask = (torch.arange(inputs.size(1)) < lengths[:, None]).long()
    expected = theirs.train()(inputs, attention_mask=mask).last_hidden_state
    frames = ours.train()(inputs, lengths)[0]
    torch.testing.assert_close(frames, expected, atol=1e-4, rtol=1e-4)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (frames * weights).sum().backward()
    gradients = {key: torch.zeros_like(value) for key, value in ours.state_dict().items()}
    gradients |= {key: value.grad for key, value in ours.named_parameters() if value.grad is not None}
    converted = to_theirs(SPEECH_ENCODERS[kind].keys, gradients)
    largest = max(float(value.grad.abs().max()) for value in theirs.parameters() if value.grad is not None)
    for key, value in theirs.named_parameters():
        wanted = torch.zeros_like(value) if value.grad is None else value.grad
        assert float((converted[key] - wanted).abs().max()) <= 1e-4 * largest, key
    buffers = {key: value for key, value in theirs.state_dict().items() if "running" in key}
    written = to_theirs(SPEECH_ENCODERS[kind].keys, ours.state_dict())
    assert all(torch.allclose(written[key], value, atol=1e-5) for key, value in buffers.items())


def make(kind: str, values: Values, seed: int = 0) -> tuple[Any, SpeechEncoder]:
    """Build an encoder of theirs, and ours with its weights and its configuration."""
    quiet()
    config = transformers.AutoConfig.for_model(kind, **values)
    torch.manual_seed(seed)
    theirs = randomized(transformers.AutoModel.from_config(config).eval())
    family = SPEECH_ENCODERS[kind]
    ours_config = family.config.from_dict(config.to_dict())
    assert ours_config.to_dict() == config.to_dict()
    ours: SpeechEncoder = family.build(ours_config).eval()
    expected = {key: tensor.shape for key, tensor in ours.state_dict().items()}
    tensors, left = to_ours(family.keys, theirs.state_dict(), expected)
    assert not left
    ours.load_state_dict({key: tensor.clone() for key, tensor in tensors.items()})
    return theirs, ours


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)


def batch(draw: Draw, config: Any, *, frames: tuple[int, int, int] = (17, 9, 2)) -> tuple[torch.Tensor, torch.Tensor]:
    """Three inputs of these numbers of frames, with a rest that is too short for another frame."""
    if config.model_type == "wav2vec2-bert":
        return torch.randn(3, frames[0], config.feature_projection_input_dim), torch.tensor(frames)
    samples = []
    for count in frames:
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            count = (count - 1) * stride + kernel
        samples.append(count + draw.randrange(config.conv_stride[0]))
    return torch.randn(3, max(samples)), torch.tensor(samples)


def randomized(model: Any) -> Any:
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "original0" not in name:
            torch.nn.init.normal_(parameter, 0.0, 1 / math.sqrt(parameter[0].numel()))
        elif "norm" not in name.lower():
            torch.nn.init.normal_(parameter, 0.0, 0.1)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    return model
