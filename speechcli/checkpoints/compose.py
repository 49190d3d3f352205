"""New models: random from two configurations, or warm from a pretrained encoder and a pretrained decoder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from speechcli.audio.extractor import Extractor
from speechcli.audio.log_mel import LogMelFeatures
from speechcli.checkpoints import folder as files
from speechcli.checkpoints.bundle import Bundle
from speechcli.checkpoints.features import default_features, read_features
from speechcli.checkpoints.language_adapters import find_adapters
from speechcli.checkpoints.special_ids import SpecialIds, find_ids, generation_defaults
from speechcli.checkpoints.warm import FreshParameters, find_sources, warm
from speechcli.errors import ModelError
from speechcli.families import SPEECH_ENCODERS, TEXT_DECODERS
from speechcli.families.composite import SpeechEncoderDecoderConfig, build, family_config, initialize
from speechcli.families.config import FamilyConfig
from speechcli.families.family import Family
from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder
from speechcli.nn.initialize import without_numbers
from speechcli.text.tokenizer import Tokenizer
from speechcli.text.vocabulary import has_tokenizer

NOTHING: Mapping[str, Any] = {}


def init(
    encoder: str | Path,
    decoder: str | Path,
    *,
    encoder_changes: Mapping[str, Any] = NOTHING,
    decoder_changes: Mapping[str, Any] = NOTHING,
    tokenizer: Path | None = None,
    ids: SpecialIds | None = None,
    language: str | None = None,
    seed: int = 0,
) -> Bundle:
    """Make a model of random weights from two configurations.

    Args:
        encoder: a family ("wav2vec2"), a config.json, or a folder with one; of a whole model, its encoder counts.
        decoder: likewise.
        encoder_changes: keys of the encoder's configuration with other values.
        decoder_changes: keys of the decoder's configuration with other values.
        tokenizer: folder of the vocabulary; None: the decoder's folder, if it has one. Its size is the decoder's
            `vocab_size` unless that is changed above.
        ids: special ids that win over the vocabulary's.
        language: that a multilingual decoder is to write.
        seed: of the random weights.

    Returns:
        the model; special ids that neither the vocabulary nor the configuration knows are left unset

    Raises:
        ModelError: a configuration is missing, not supported, or does not fit.
        UsageError: a changed key does not exist; names the nearest.
    """
    encoder_config = read_config(encoder, SPEECH_ENCODERS).with_values(encoder_changes)
    decoder_config = read_config(decoder, TEXT_DECODERS).with_values(decoder_changes)
    vocabulary = _vocabulary(tokenizer or _folder(decoder))
    if vocabulary is not None:
        decoder_config = decoder_config.with_values(_of_vocabulary(vocabulary) | dict(decoder_changes))
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder_config, decoder_config)
    found = find_ids(config.decoder, vocabulary, ids or SpecialIds(), required=False)
    return _bundle(_random_model(config, seed), config, _folder(encoder), vocabulary, found, language)


def warm_start(
    encoder: Path,
    decoder: Path,
    *,
    encoder_changes: Mapping[str, Any] = NOTHING,
    decoder_changes: Mapping[str, Any] = NOTHING,
    tokenizer: Path | None = None,
    ids: SpecialIds | None = None,
    language: str | None = None,
    seed: int = 0,
    require_ids: bool = True,
) -> tuple[Bundle, FreshParameters]:
    """Join a pretrained speech encoder and a pretrained text decoder.

    The encoder may have a head (CTC, pretraining, classification), which is left. The decoder may be a causal or
    masked language model, a bare model, or the decoder of a sequence-to-sequence model. Either may be a whole
    speech-encoder-decoder.

    Two differences from Hugging Face: the embeddings of a whole BART or mBART (`shared.weight`) become the decoder's
    embeddings and head, where `from_encoder_decoder_pretrained` leaves those random; and GPT-2 works.

    Args:
        encoder: folder of the encoder checkpoint.
        decoder: folder of the decoder checkpoint.
        encoder_changes: keys of the encoder's configuration with other values.
        decoder_changes: keys of the decoder's configuration with other values.
        tokenizer: folder of the vocabulary; None: the decoder's. Never the encoder's: its vocabulary is that of a
            CTC head.
        ids: special ids that win over the vocabulary's.
        language: that a multilingual decoder is to write.
        seed: of the weights that no checkpoint has.
        require_ids: whether to refuse a model that could not be trained for want of a special id.

    Returns:
        the model, and what came from where

    Raises:
        ModelError: a checkpoint is missing, corrupt or not supported, lacks weights, or a special id is not found.
        UsageError: a changed key does not exist; names the nearest.
    """
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        read_config(encoder, SPEECH_ENCODERS).with_values(encoder_changes),
        read_config(decoder, TEXT_DECODERS).with_values(decoder_changes),
    )
    vocabulary = _vocabulary(tokenizer or decoder)
    found = find_ids(config.decoder, vocabulary, ids or SpecialIds(), required=require_ids)
    sources = dict(find_sources(encoder, decoder, config))
    with without_numbers():
        model = build(config)
    report = warm(model, config, sources, seed)
    bundle = _bundle(model, config, encoder, vocabulary, found, language)
    bundle.adapters = find_adapters(encoder)
    return bundle, report


def read_config(source: str | Path, families: Mapping[str, Family]) -> FamilyConfig:
    """Read the configuration of one half.

    Args:
        source: a family's name, a config.json, or a folder with one; of a whole model, the fitting half counts.
        families: that may stand here.

    Raises:
        ModelError: it is missing, corrupt, or of a family that is not supported.
    """
    role, part = ("speech encoder", "encoder") if families is SPEECH_ENCODERS else ("text decoder", "decoder")
    path = Path(source)
    named = isinstance(source, str) and not path.exists()
    values: Mapping[str, Any] = {"model_type": source}
    if not named:
        values = files.read_json(path) if path.is_file() else files.read_config(path)
    if isinstance(values.get(part), Mapping):
        values = values[part]
    try:
        return family_config(values, families, role=role)
    except ModelError as error:
        why = "is no folder" if named else "cannot be used"
        raise ModelError(f"{source} {why}. {error.message}", hint=error.hint) from error


def _of_vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    # RoBERTa counts positions from the padding id, so the decoder's own idea of it must be the vocabulary's.
    ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
    known = {key: value for key, value in ids.items() if value is not None}
    return {"vocab_size": tokenizer.vocabulary_size} | known


def _random_model(config: SpeechEncoderDecoderConfig, seed: int) -> SpeechEncoderDecoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(config)
        initialize(model, config)
    return model


def _bundle(
    model: SpeechEncoderDecoder,
    config: SpeechEncoderDecoderConfig,
    encoder: Path | None,
    tokenizer: Tokenizer | None,
    ids: SpecialIds,
    language: str | None,
) -> Bundle:
    config.decoder_start_token_id = ids.decoder_start_token_id
    config.pad_token_id, config.eos_token_id = ids.pad_token_id, ids.eos_token_id
    config.extra["dtype"] = "float32"
    return Bundle(
        model=model.eval(),
        config=config,
        features=_features(config, encoder),
        tokenizer=tokenizer,
        generation=generation_defaults(model.decoder.max_tokens, ids, tokenizer, language),
        name=f"{config.encoder.model_type}-{config.decoder.model_type}",
    )


def _features(config: SpeechEncoderDecoderConfig, encoder: Path | None) -> Extractor:
    features = (encoder and read_features(encoder)) or default_features(config.encoder)
    # Whisper's own decoder reads the silence that fills the window too; a new one need not learn to skip it.
    return replace(features, return_attention_mask=True) if isinstance(features, LogMelFeatures) else features


def _folder(source: str | Path) -> Path | None:
    path = Path(source)
    return path if path.is_dir() else path.parent if path.is_file() else None


def _vocabulary(folder: Path | None) -> Tokenizer | None:
    return Tokenizer.load(folder) if folder is not None and has_tokenizer(folder) else None
