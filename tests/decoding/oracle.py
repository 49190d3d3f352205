"""Tiny transformers models as the oracle of decoding, and as a step with a cache that keeps only ids."""

from functools import cache

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    GenerationConfig,
    PretrainedConfig,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
    Wav2Vec2Config,
)
from transformers.modeling_outputs import BaseModelOutput

VOCABULARY = 20
WIDTH = 8
BERT, BART = "bert", "bart"
IDS = {
    BERT: {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
    BART: {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2},
}


def decoder_config(kind: str) -> PretrainedConfig:
    if kind == BERT:
        return AutoConfig.for_model(
            "bert", vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=8, max_position_embeddings=32, is_decoder=True, add_cross_attention=True,
        )  # fmt: skip
    return AutoConfig.for_model(
        "bart", vocab_size=VOCABULARY, d_model=WIDTH, decoder_layers=1, encoder_layers=1, decoder_attention_heads=2,
        encoder_attention_heads=2, decoder_ffn_dim=8, encoder_ffn_dim=8, max_position_embeddings=32,
        is_decoder=True, add_cross_attention=True,
    )  # fmt: skip


@cache
def model_of(kind: str, seed: int) -> SpeechEncoderDecoderModel:
    """A model whose weights are large enough to prefer some tokens, and more often than not the end."""
    encoder = Wav2Vec2Config(
        hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, conv_dim=(4,),
        conv_kernel=(4,), conv_stride=(4,), num_conv_pos_embeddings=2, num_conv_pos_embedding_groups=2,
        num_feat_extract_layers=1,
    )  # fmt: skip
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder_config(kind))
    model = SpeechEncoderDecoderModel(config).eval()
    model.generation_config = GenerationConfig()  # otherwise, unset options come from the decoder's config
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        head = model.decoder.get_output_embeddings()
        head.bias = torch.nn.Parameter(torch.zeros(VOCABULARY).index_fill(0, torch.tensor([2]), 1.0 + seed % 3))
    return model


def memory_of(batch: int, seed: int) -> Tensor:
    return torch.randn(batch, 3, WIDTH, generator=torch.Generator().manual_seed(seed))


class PrefixCache:
    """Remembers ids only; the step runs the whole prefix again."""

    def __init__(self, memory: Tensor) -> None:
        self.memory = memory
        self.ids = torch.zeros(memory.shape[0], 0, dtype=torch.long)
        self.reorders: list[Tensor] = []

    def reorder(self, rows: Tensor) -> None:
        self.reorders.append(rows)
        self.ids, self.memory = self.ids[rows], self.memory[rows]


class PrefixStep:
    def __init__(self, model: SpeechEncoderDecoderModel) -> None:
        self.model = model

    def __call__(self, ids: Tensor, cache: PrefixCache) -> Tensor:
        cache.ids = torch.cat([cache.ids, ids], dim=1)
        encoded = BaseModelOutput(last_hidden_state=cache.memory)
        return self.model(encoder_outputs=encoded, decoder_input_ids=cache.ids, use_cache=False).logits[:, -1]
