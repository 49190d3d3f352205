"""A random model of a few thousand weights with languages and a CTC head, and recordings of tones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

from speechcli.audio.features import FilterbankFeatures, WaveformFeatures
from speechcli.checkpoints.bundle import Bundle, add_ctc_head, save
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.families.composite import SpeechEncoderDecoderConfig, build
from speechcli.text.tokenizer import Tokenizer

RATE = 16_000
LETTERS = "abcdefghijklmnop"
LANGUAGES = ("de_DE", "en_XX", "es_XX")

_ENCODER = {
    "model_type": "wav2vec2",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "conv_dim": [8, 8, 8],
    "conv_kernel": [10, 8, 8],
    "conv_stride": [8, 8, 5],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
_DECODER = {
    "model_type": "mbart",
    "d_model": 12,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 60,
    "is_decoder": True,
    "add_cross_attention": True,
}


def make_tokenizer(folder: Path, languages: tuple[str, ...] = LANGUAGES) -> Tokenizer:
    names = ["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS]
    backend = tokenizers.Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", *languages])
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(roles))
    return Tokenizer.load(folder)


def make_bundle(
    folder: Path,
    *,
    languages: tuple[str, ...] = LANGUAGES,
    ctc: bool = True,
    mask: bool = True,
    encoder: dict[str, Any] = _ENCODER,
    features: WaveformFeatures | FilterbankFeatures | None = None,
    **generation: Any,
) -> Bundle:
    torch.manual_seed(1)
    tokenizer = make_tokenizer(folder, languages)
    ids = {"decoder_start_token_id": 2, "pad_token_id": 1, "eos_token_id": 2}
    decoder = _DECODER | {"vocab_size": tokenizer.vocabulary_size}
    values = {"model_type": "speech-encoder-decoder", "encoder": encoder, "decoder": decoder, **ids}
    config = SpeechEncoderDecoderConfig.from_dict(values)
    model = build(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.3)
    options = GenerationOptions(**{"bos_token_id": 0, "max_length": 12, **ids, **generation})
    features = features or WaveformFeatures(return_attention_mask=mask)
    bundle = Bundle(model, config, features, tokenizer, options, "tiny")
    if ctc:
        add_ctc_head(bundle, vocabulary_size=tokenizer.vocabulary_size, blank_id=1)
    return bundle


def save_model(folder: Path, **options: Any) -> Path:
    save(make_bundle(folder.with_name(folder.name + "-tokenizer"), **options), folder)
    return folder


def tone(seconds: float, pitch: float = 220.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def noise(seconds: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.1).astype(np.float32)


def write_tone(path: Path, seconds: float = 0.5, pitch: float = 220.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, pitch), RATE)
    return path
