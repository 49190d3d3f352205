"""Tiny random models of transformers, one for every encoder and decoder that we have."""

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

WAVEFORM = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 37,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
STABLE = WAVEFORM | {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
ADAPTER = STABLE | {"add_adapter": True, "num_adapter_layers": 2}
FILTERBANK = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 37,
    "feature_projection_input_dim": 20,
    "conv_depthwise_kernel_size": 5,
    "left_max_position_embeddings": 6,
    "right_max_position_embeddings": 3,
}
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2Config", WAVEFORM),
    "wav2vec2 stable": ("Wav2Vec2Config", STABLE),
    "wav2vec2 adapter": ("Wav2Vec2Config", ADAPTER),
    "wav2vec2 adapter projected": ("Wav2Vec2Config", ADAPTER | {"output_hidden_size": 32}),
    "wav2vec2 even positions": ("Wav2Vec2Config", WAVEFORM | {"num_conv_pos_embeddings": 15}),
    "hubert": ("HubertConfig", WAVEFORM),
    "hubert stable": ("HubertConfig", STABLE),
    "hubert batch norm": ("HubertConfig", WAVEFORM | {"conv_pos_batch_norm": True, "feat_proj_layer_norm": False}),
    "wavlm": ("WavLMConfig", WAVEFORM | {"num_buckets": 12, "max_bucket_distance": 20}),
    "wavlm stable": ("WavLMConfig", STABLE | {"num_buckets": 12, "max_bucket_distance": 20}),
    "wav2vec2-bert": ("Wav2Vec2BertConfig", FILTERBANK),
}

DATA2VEC = {key: value for key, value in WAVEFORM.items() if key != "num_conv_pos_embeddings"} | {
    "num_conv_pos_embeddings": 3,
    "conv_pos_kernel_size": 7,
}
CONFORMER = {key: value for key, value in WAVEFORM.items() if key != "num_conv_pos_embeddings"} | {
    "num_conv_pos_embeddings": 8,
    "conv_depthwise_kernel_size": 5,
    "layer_norm_eps": 1e-3,
}
FILTERBANK_ADAPTER = FILTERBANK | {"add_adapter": True, "num_adapter_layers": 2}
SEW = WAVEFORM | {"squeeze_factor": 2}
SEW_D = SEW | {"max_position_embeddings": 12, "position_buckets": 8, "layer_norm_eps": 1e-5}

BERT = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
}
BART = {
    "vocab_size": 60,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 64,
}
GPT2 = {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
XMOD = {"languages": ["en_XX", "de_DE"], "default_language": "de_DE"}
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", BERT),
    "bert relu untied": ("BertConfig", BERT | {"hidden_act": "relu", "tie_word_embeddings": False}),
    "roberta": ("RobertaConfig", BERT),
    "gpt2": ("GPT2Config", GPT2),
    "bart": ("BartConfig", BART),
    "bart scaled": ("BartConfig", BART | {"scale_embedding": True, "activation_function": "relu"}),
    "mbart": ("MBartConfig", BART | {"scale_embedding": True}),
}
OTHER_ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "unispeech": ("UniSpeechConfig", WAVEFORM),
    "unispeech stable": ("UniSpeechConfig", STABLE),
    "unispeech-sat": ("UniSpeechSatConfig", WAVEFORM | {"mask_time_prob": 0.0}),
    "data2vec-audio": ("Data2VecAudioConfig", DATA2VEC),
    "data2vec-audio adapter": ("Data2VecAudioConfig", DATA2VEC | {"add_adapter": True, "conv_pos_kernel_size": 6}),
    "wav2vec2-conformer": ("Wav2Vec2ConformerConfig", CONFORMER),
    "wav2vec2-conformer rotary": (
        "Wav2Vec2ConformerConfig",
        CONFORMER | {"position_embeddings_type": "rotary", "rotary_embedding_base": 500, "feat_extract_norm": "layer"},
    ),
    "wav2vec2-conformer adapter": (
        "Wav2Vec2ConformerConfig",
        CONFORMER | {"position_embeddings_type": None, "add_adapter": True, "output_hidden_size": 32},
    ),
    "wav2vec2-bert relative": ("Wav2Vec2BertConfig", FILTERBANK | {"position_embeddings_type": "relative"}),
    "wav2vec2-bert rotary": ("Wav2Vec2BertConfig", FILTERBANK | {"position_embeddings_type": "rotary"}),
    "wav2vec2-bert no positions": ("Wav2Vec2BertConfig", FILTERBANK | {"position_embeddings_type": None}),
    "wav2vec2-bert adapter": ("Wav2Vec2BertConfig", FILTERBANK_ADAPTER),
    "wav2vec2-bert adapter projected": (
        "Wav2Vec2BertConfig",
        FILTERBANK_ADAPTER
        | {
            "num_attention_heads": 4,
            "output_hidden_size": 32,
            "use_intermediate_ffn_before_adapter": True,
            "adapter_act": "gelu",
        },
    ),
    "wav2vec2 language adapters": ("Wav2Vec2Config", STABLE | {"adapter_attn_dim": 5}),
    "sew": ("SEWConfig", SEW),
    "sew by four": (
        "SEWConfig",
        SEW
        | {"squeeze_factor": 4, "conv_dim": (16, 16, 24), "num_conv_pos_embeddings": 7, "feat_extract_norm": "layer"},
    ),
    "sew-d": ("SEWDConfig", SEW_D),
    "sew-d own projections": (
        "SEWDConfig",
        SEW_D | {"share_att_key": False, "norm_rel_ebd": "none", "feature_layer_norm_eps": 1e-2},
    ),
    "sew-d near distances": (
        "SEWDConfig",
        SEW_D | {"position_buckets": -1, "max_position_embeddings": 5, "pos_att_type": ["p2c"]},
    ),
}
OTHER_DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "camembert": ("CamembertConfig", BERT),
    "xlm-roberta": ("XLMRobertaConfig", BERT),
    "data2vec-text": ("Data2VecTextConfig", BERT),
    "ernie": ("ErnieConfig", BERT),
    "mvp": ("MvpConfig", BART),
    "plbart": ("PLBartConfig", BART),
    "pegasus": ("PegasusConfig", BART),
    "marian": ("MarianConfig", BART | {"scale_embedding": True}),
    "blenderbot": ("BlenderbotConfig", BART),
    "blenderbot-small": ("BlenderbotSmallConfig", BART),
    "bert-generation": ("BertGenerationConfig", BERT),
    "bert-generation untied": ("BertGenerationConfig", BERT | {"tie_word_embeddings": False}),
    "electra": ("ElectraConfig", BERT | {"embedding_size": 24}),
    "electra of one width": ("ElectraConfig", BERT | {"embedding_size": 32, "tie_word_embeddings": False}),
    "rembert": ("RemBertConfig", BERT | {"input_embedding_size": 20, "output_embedding_size": 28}),
    "roberta untied": ("RobertaConfig", BERT | {"tie_word_embeddings": False}),
    "xlm-roberta-xl": ("XLMRobertaXLConfig", BERT),
    "roberta-prelayernorm": ("RobertaPreLayerNormConfig", BERT),
    "xmod": ("XmodConfig", BERT | XMOD),
    "xmod norm first": ("XmodConfig", BERT | XMOD | {"pre_norm": True, "adapter_layer_norm": True}),
    "roformer": ("RoFormerConfig", BERT | {"embedding_size": 20}),
    "roc_bert": ("RoCBertConfig", BERT | {"pronunciation_embed_dim": 5, "shape_embed_dim": 3}),
    "bigbird_pegasus": ("BigBirdPegasusConfig", BART),
    "xglm": (
        "XGLMConfig",
        {"vocab_size": 60, "d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 40},
    ),
    "trocr": ("TrOCRConfig", BART),
    "trocr reads the encoder": ("TrOCRConfig", BART | {"cross_attention_hidden_size": 24}),
    "gpt2 scaled": ("GPT2Config", GPT2 | {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}),
}
# the reference's GPT-2 takes no memory that an adapter hands on as it is (a view of a transposed tensor)
PAIRS = [pair for pair in itertools.product(ENCODERS, DECODERS) if pair != ("wav2vec2 adapter projected", "gpt2")]
PAIRS += [(encoder, "bart") for encoder in OTHER_ENCODERS] + [("wav2vec2 stable", name) for name in OTHER_DECODERS]
START, PAD, EOS = 0, 1, 2


@dataclass(frozen=True)
class Reference:
    """A model of theirs, the folder that it was written to, and a batch of three with different lengths."""

    model: Any
    folder: Path
    inputs: Tensor
    lengths: Tensor
    labels: Tensor

    @property
    def input_name(self) -> str:
        return "input_features" if self.inputs.ndim == 3 else "input_values"

    @property
    def attention_mask(self) -> Tensor:
        return (torch.arange(self.inputs.size(1)) < self.lengths[:, None]).long()


def make_reference(encoder: str, decoder: str, folder: Path, *, seed: int = 0) -> Reference:
    """Write a tiny model of theirs, with weights wide enough that every part shows in the result."""
    torch.manual_seed(seed)
    model = build_reference(encoder, decoder)
    model.save_pretrained(folder)
    if encoder.startswith("wav2vec2-bert"):
        inputs, lengths = torch.randn(3, 31, 20), torch.tensor([31, 18, 7])
    else:
        inputs, lengths = torch.randn(3, 611), torch.tensor([611, 400, 150])
    labels = torch.randint(3, 60, (3, 6))
    labels[1, 4:] = labels[2, 2:] = -100
    return Reference(model, folder, inputs, lengths, labels)


def build_reference(encoder: str, decoder: str) -> Any:
    (encoder_class, encoder_values), (decoder_class, decoder_values) = (
        (ENCODERS | OTHER_ENCODERS)[encoder],
        (DECODERS | OTHER_DECODERS)[decoder],
    )
    ids = {"bos_token_id": START, "pad_token_id": PAD, "eos_token_id": EOS}
    config = transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        getattr(transformers, encoder_class)(**encoder_values),
        getattr(transformers, decoder_class)(**(decoder_values | ids), is_decoder=True, add_cross_attention=True),
    )
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = START, PAD, EOS
    model = transformers.SpeechEncoderDecoderModel(config).eval()
    randomize(model)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    model.generation_config.update(
        decoder_start_token_id=START, bos_token_id=START, pad_token_id=PAD, eos_token_id=EOS, max_new_tokens=12
    )
    return model


def randomize(model: torch.nn.Module) -> None:
    """Weights wide enough that every part shows in the result."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "original0" not in name:
            torch.nn.init.normal_(parameter, 0.0, 0.15)
        elif "norm" not in name.lower() and "ln_" not in name:
            torch.nn.init.normal_(parameter, 0.0, 0.1)


@functools.cache
def quiet() -> None:
    """Keep their progress bars and notes out of the tests' output."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
