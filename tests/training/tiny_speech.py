"""A real model of a few thousand weights, eight recordings of tones, and manifests of them."""

import json

import numpy as np
import soundfile
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from speechcli.audio.features import FilterbankFeatures
from speechcli.checkpoints.bundle import Bundle, save
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.families.composite import SpeechEncoderDecoderConfig, build
from speechcli.text.tokenizer import Tokenizer

ENCODER = {
    "model_type": "wav2vec2-bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "feature_projection_input_dim": 320,
    "conv_depthwise_kernel_size": 3,
    "add_adapter": False,
    "mask_time_prob": 0.05,
    "layerdrop": 0.0,
    "vocab_size": 24,
}
DECODER = {
    "model_type": "mbart",
    "d_model": 16,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
    "dropout": 0.0,
    "init_std": 0.1,
    "vocab_size": 24,
}
WORDS = ("low", "mid", "high", "top")
TRANSLATIONS = ("bajo", "medio", "alto", "cima")


def tiny_tokenizer(folder):
    letters = sorted(set("".join(WORDS + TRANSLATIONS)))
    names = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters]
    backend = tokenizers.Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "en_XX", "es_XX"])
    folder.mkdir(parents=True)
    backend.save(str(folder / "tokenizer.json"))
    roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(roles))
    return Tokenizer.load(folder)


def save_tiny_model(folder, spare=0):
    import torch

    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(folder.with_name("tokenizer"))
    encoder, decoder = ENCODER, DECODER | {"vocab_size": tokenizer.vocabulary_size + spare}
    config = SpeechEncoderDecoderConfig.from_dict(
        {
            "model_type": "speech-encoder-decoder",
            "encoder": encoder,
            "decoder": decoder | {"is_decoder": True, "add_cross_attention": True},
            "decoder_start_token_id": 2,
            "pad_token_id": 1,
            "eos_token_id": 2,
        }
    )
    generation = GenerationOptions(decoder_start_token_id=2, pad_token_id=1, eos_token_id=2, bos_token_id=0)
    save(Bundle(build(config), config, FilterbankFeatures(stride=4), tokenizer, generation, "tiny"), folder)


def save_tones(folder):
    """Write eight tones and a wide manifest of them."""
    folder.mkdir()
    rows = ["audio\tsrc_lang\ttext_en\ttext_es"]
    for i in range(8):
        seconds = np.arange(int(16_000 * (0.4 + 0.05 * i))) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * 300 * (1 + i % 4) * seconds)
        tone[len(tone) // 2 :] = 0  # features are normalized over time: a tone that never ends is silence
        soundfile.write(folder / f"{i}.wav", tone, 16_000)
        rows.append(f"{i}.wav\ten\t{WORDS[i % 4]}\t{TRANSLATIONS[i % 4]}")
    (folder / "tones.tsv").write_text("\n".join(rows) + "\n")
    return folder / "tones.tsv"
