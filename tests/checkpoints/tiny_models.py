"""Tiny random models as transformers writes them, and tokenizers to go with their decoders."""

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from transformers import SpeechEncoderDecoderConfig, SpeechEncoderDecoderModel

ENCODERS = ("wav2vec2", "hubert", "wavlm")
DECODERS = ("bert", "gpt2", "roberta", "bart", "mbart")

_ENCODER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 12,
    "mask_time_length": 2,
}
_BERT: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 14,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
}
_BART: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 12,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 14,
    "decoder_ffn_dim": 14,
    "max_position_embeddings": 40,
    "scale_embedding": True,
}
_DECODER: dict[str, dict[str, Any]] = {
    "bert": _BERT,
    "roberta": _BERT,
    "gpt2": {"vocab_size": 40, "n_embd": 12, "n_layer": 2, "n_head": 2, "n_positions": 40},
    "bart": _BART,
    "mbart": _BART,
}
_ROLES: dict[str, dict[str, str]] = {
    "bert": {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"},
    "gpt2": dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
    "roberta": {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
}
_ROLES["bart"] = _ROLES["mbart"] = _ROLES["roberta"]


def encoder_config(kind: str, **changes: Any) -> Any:
    return transformers.AutoConfig.for_model(kind, **{**_ENCODER, **changes})


def decoder_config(kind: str, **changes: Any) -> Any:
    return transformers.AutoConfig.for_model(kind, **{**_DECODER[kind], **changes})


def randomized(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every tensor its own numbers: biases and norms too, which are alike in a fresh model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model.eval()


def seq2seq(encoder: str, decoder: str, *, tie_word_embeddings: bool = True, **encoder_changes: Any) -> Any:
    """A tiny SpeechEncoderDecoderModel of transformers."""
    torch.manual_seed(0)
    flags = {"is_decoder": True, "add_cross_attention": True, "tie_word_embeddings": tie_word_embeddings}
    text = decoder_config(decoder, **flags)
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder_config(encoder, **encoder_changes), text)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 0, 1, 2
    return randomized(SpeechEncoderDecoderModel(config=config))


def write_tokenizer(folder: Path, kind: str) -> None:
    """A vocabulary of forty words with the special tokens that this kind of decoder has."""
    folder.mkdir(parents=True, exist_ok=True)
    roles = _ROLES[kind]
    special = [*dict.fromkeys(roles.values()), *(["en_XX", "de_DE"] if kind == "mbart" else [])]
    words = {word: number for number, word in enumerate([*special, *(f"w{n}" for n in range(40 - len(special)))])}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token=roles["unk_token"]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.add_special_tokens([tokenizers.AddedToken(name, special=True) for name in special])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(roles | {"tokenizer_class": "PreTrainedTokenizerFast"}))


def write_features(folder: Path, **changes: Any) -> None:
    transformers.Wav2Vec2FeatureExtractor(**changes).save_pretrained(folder)


def write_model(folder: Path, encoder: str, decoder: str, **encoder_changes: Any) -> Path:
    """A tiny transformers model with everything that belongs to it."""
    seq2seq(encoder, decoder, **encoder_changes).save_pretrained(folder)
    write_tokenizer(folder, decoder)
    write_features(folder)
    return folder
