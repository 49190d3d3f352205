"""Behavior of the whole model that the parity tests do not cover."""

from collections.abc import Callable

import pytest
import torch

from speechcli.families.bert import BertConfig
from speechcli.families.composite import SpeechEncoderDecoderConfig, build
from speechcli.families.config import FamilyConfig
from speechcli.families.sew import SEWConfig, SEWDConfig
from speechcli.families.wav2vec2 import HubertConfig, Wav2Vec2Config
from speechcli.families.wav2vec2_bert import Wav2Vec2BertConfig
from speechcli.families.wav2vec2_conformer import Wav2Vec2ConformerConfig
from speechcli.families.wavlm import WavLMConfig
from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder, shift_right

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 32,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
DECODER = BertConfig(
    vocab_size=20, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=16,
)  # fmt: skip


def make(encoder: FamilyConfig) -> SpeechEncoderDecoder:
    torch.manual_seed(0)
    return build(SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, DECODER)).eval()


def test_shift_right_puts_pads_where_labels_are_ignored() -> None:
    labels = torch.tensor([[5, 6, 2], [7, 2, -100], [-100, -100, -100]])
    assert shift_right(labels, start_id=9, pad_id=1).tolist() == [[9, 5, 6], [9, 7, 2], [9, 1, 1]]


@torch.no_grad()
def test_several_targets_of_one_recording_share_its_encoder_pass() -> None:
    model = make(Wav2Vec2Config(**SIZES))
    inputs, lengths = torch.randn(2, 300), torch.tensor([300, 120])
    ids, rows = torch.randint(20, (3, 5)), torch.tensor([0, 1, 0])
    shared = model(inputs, lengths, ids, rows).logits
    apart = model(inputs[rows], lengths[rows], ids).logits
    torch.testing.assert_close(shared, apart)


@torch.no_grad()
def test_with_lengths_padding_does_not_change_the_frames_of_a_recording() -> None:
    model = make(Wav2Vec2Config(**SIZES | {"feat_extract_norm": "layer"}))
    short, ids = torch.randn(1, 200), torch.randint(20, (1, 4))
    padded = torch.cat([short, torch.full((1, 150), 7.0)], dim=1)
    alone = model(short, torch.tensor([200]), ids).logits
    torch.testing.assert_close(model(padded, torch.tensor([200]), ids).logits, alone, atol=1e-5, rtol=1e-4)


ROOMY = SIZES | {"feat_extract_norm": "layer"}
SQUEEZED = ROOMY | {"squeeze_factor": 3}
BERT_LIKE = {key: value for key, value in SIZES.items() if "conv" not in key} | {"feature_projection_input_dim": 9}


@pytest.mark.parametrize(
    ("config", "alike"),
    [
        (Wav2Vec2Config(**ROOMY), True),
        (Wav2Vec2Config(**SIZES), False),
        (Wav2Vec2Config(**ROOMY | {"add_adapter": True}), False),
        (WavLMConfig(**ROOMY), True),
        (HubertConfig(**ROOMY | {"conv_pos_batch_norm": True}), False),
        (Wav2Vec2ConformerConfig(**ROOMY), False),
        (Wav2Vec2BertConfig(**BERT_LIKE), True),
        (Wav2Vec2BertConfig(**BERT_LIKE | {"position_embeddings_type": "relative"}), True),
        (Wav2Vec2BertConfig(**BERT_LIKE | {"position_embeddings_type": "rotary"}), True),
        (Wav2Vec2BertConfig(**BERT_LIKE | {"add_adapter": True}), False),
        (SEWConfig(**SQUEEZED), False),
        (SEWDConfig(**SQUEEZED), False),
    ],
    ids=lambda value: value.model_type if isinstance(value, FamilyConfig) else str(value),
)
@torch.no_grad()
def test_an_encoder_states_whether_padding_changes_its_frames(config: FamilyConfig, alike: bool) -> None:
    encoder = make(config).encoder
    for name, buffer in encoder.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    filterbank = isinstance(config, Wav2Vec2BertConfig)
    inputs, length = (torch.randn(2, 40, 9), 23) if filterbank else (torch.randn(2, 400), 233)
    inputs[1, length:] = 0
    memory, lengths = encoder(inputs, torch.tensor([inputs.size(1), length]))
    alone, _ = encoder(inputs[1:, :length], torch.tensor([length]))
    real = memory[1, : lengths[1]]
    assert (real.shape == alone[0].shape and bool(torch.isclose(real, alone[0], atol=1e-5).all())) == alike
    assert encoder.ignores_padding == alike


@torch.no_grad()
def test_a_clip_too_short_for_one_frame_is_padded_to_one() -> None:
    model = make(Wav2Vec2Config(**SIZES))
    assert model.encoder.frontend.min_samples == 20
    for samples in (0, 1, 19, 20):
        encoded = model.encode(torch.randn(1, samples), torch.tensor([samples]))
        assert encoded.memory.shape == (1, 1, 32)
        assert encoded.frame_lengths.tolist() == [1]
        assert encoded.memory.isfinite().all()


@torch.no_grad()
def test_an_adapter_whose_width_differs_from_both_sides_is_projected() -> None:
    # the reference builds the projection for the encoder's width and crashes
    model = make(Wav2Vec2Config(**SIZES | {"add_adapter": True, "output_hidden_size": 28}))
    assert model.projection is not None and model.projection.in_features == 28
    assert model.encode(torch.randn(1, 600), torch.tensor([600])).memory.size(2) == 32


@torch.no_grad()
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_an_adapters_lengths_are_those_of_its_convolutions(kernel: int) -> None:
    model = make(Wav2Vec2Config(**SIZES | {"add_adapter": True, "adapter_kernel_size": kernel}))
    encoded = model.encode(torch.randn(1, 900), torch.tensor([900]))
    assert encoded.mask is not None
    assert int(encoded.mask.sum()) == encoded.memory.size(1)


@pytest.mark.parametrize(
    "config", [Wav2Vec2Config, HubertConfig, WavLMConfig, Wav2Vec2ConformerConfig, SEWConfig, SEWDConfig]
)
def test_every_encoder_can_freeze_its_frontend(config: Callable[..., FamilyConfig]) -> None:
    model = make(config(**SIZES))
    model.encoder.freeze_frontend()
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith("encoder.frontend.")} != set()


@pytest.mark.parametrize("samples", [25, 60, 200, 400])
def test_spec_augment_hides_nothing_of_clips_shorter_than_one_span(samples: int) -> None:
    model = make(Wav2Vec2Config(**SIZES | {"mask_time_prob": 0.9, "mask_time_length": 10, "layerdrop": 0.0}))
    model.train()
    masks = model.encoder.spec_augment
    assert masks is not None
    frames = torch.zeros(1, int(model.encoder.frontend.out_lengths(torch.tensor([samples]))), 24)
    hidden = (masks(frames, None) == masks.embedding).all(dim=2)
    assert hidden.any() == (frames.size(1) >= 10)
    assert model.encode(torch.randn(1, samples), torch.tensor([samples])).memory.isfinite().all()


def test_spec_augment_masks_approximately_the_given_share() -> None:
    torch.manual_seed(0)
    model = make(Wav2Vec2Config(**SIZES | {"mask_time_prob": 0.3, "mask_feature_prob": 0.25, "mask_feature_length": 4}))
    masks = model.encoder.spec_augment
    assert masks is not None
    masks.train()
    x = masks(torch.full((64, 400, 24), 5.0), None)
    hidden = (x == masks.embedding).sum(dim=2) > 12
    assert 0.2 < float(hidden.float().mean()) < 0.3  # overlapping spans make it less
    assert 0.15 < float((x == 0).all(dim=1).float().mean()) < 0.25


def test_evaluation_hides_and_drops_nothing() -> None:
    model = make(WavLMConfig(**SIZES | {"mask_time_prob": 0.9}))
    inputs, ids = torch.randn(2, 300), torch.randint(20, (2, 4))
    torch.testing.assert_close(model(inputs, None, ids).logits, model(inputs, None, ids).logits, atol=0, rtol=0)
    model.train()
    assert not torch.equal(model(inputs, None, ids).logits, model(inputs, None, ids).logits)


def test_recomputed_layers_have_the_same_gradients_with_dropout() -> None:
    model = make(Wav2Vec2Config(**SIZES | {"hidden_dropout": 0.3, "layerdrop": 0.0})).train()
    inputs, ids = torch.randn(2, 300), torch.randint(20, (2, 5))
    passes = []
    model.encoder.layers[0].register_forward_pre_hook(lambda *_: passes.append(1))

    def gradients(recompute: bool) -> list[torch.Tensor | None]:
        model.encoder.recompute = recompute
        model.zero_grad()
        torch.manual_seed(1)
        model(inputs, torch.tensor([300, 200]), ids).logits.logsumexp(-1).sum().backward()
        return [parameter.grad for parameter in model.parameters()]

    kept = gradients(False)
    assert len(passes) == 1
    again = gradients(True)
    assert len(passes) == 3
    for one, other in zip(kept, again, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
