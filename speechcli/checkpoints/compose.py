"""New models: random ones from two configurations, or warm-started from a pretrained encoder and decoder."""

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
from speechcli.families.whisper import WhisperConfig
from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder
from speechcli.nn.initialize import without_weights
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
    """Create a model with random weights from two configurations.

    Args:
        encoder: a family ("wav2vec2"), a config.json, or a folder with one; of a whole model, its encoder is used.
        decoder: a family ("bert"), a config.json, or a folder with one; of a whole model, its decoder is used.
        encoder_changes: changed keys of the encoder's configuration.
        decoder_changes: changed keys of the decoder's configuration.
        tokenizer: folder of the tokenizer; None: the decoder's folder, if it has one. The size of its vocabulary
            becomes the decoder's `vocab_size` unless that is in `decoder_changes`.
        ids: special ids that override those of the vocabulary.
        language: language that a multilingual decoder writes by default.
        seed: random seed of the weights.

    Returns:
        the model; special ids that are in neither the vocabulary nor the configuration are left unset

    Raises:
        ModelError: a configuration is missing, not supported, or invalid.
        UsageError: a changed key does not exist; the hint names a similar one.
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

    Heads of the encoder (CTC, pretraining, classification) are ignored. The decoder may be a causal or masked language
    model, a bare model, or the decoder of a sequence-to-sequence model. Both may be part of a whole speech encoder
    decoder.

    Two differences from Hugging Face: the embeddings of a whole BART or mBART (`shared.weight`) become the decoder's
    embeddings and head, which `from_encoder_decoder_pretrained` leaves random; and GPT-2 works.

    Args:
        encoder: folder of the encoder checkpoint.
        decoder: folder of the decoder checkpoint.
        encoder_changes: changed keys of the encoder's configuration.
        decoder_changes: changed keys of the decoder's configuration.
        tokenizer: folder of the tokenizer; None: that of the decoder. The encoder's is never used: its vocabulary is
            that of a CTC head.
        ids: special ids that override those of the vocabulary.
        language: language that a multilingual decoder writes by default.
        seed: random seed of the weights that are in neither checkpoint.
        require_ids: whether to raise an error if a special id is not found that is needed for training.

    Returns:
        the model, and a report of the origin of its weights

    Raises:
        ModelError: a checkpoint is missing, damaged or not supported, lacks weights, or a special id is not found.
        UsageError: a changed key does not exist; the hint names a similar one.
    """
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        read_config(encoder, SPEECH_ENCODERS).with_values(encoder_changes),
        read_config(decoder, TEXT_DECODERS).with_values(decoder_changes),
    )
    vocabulary = _vocabulary(tokenizer or decoder)
    found = find_ids(config.decoder, vocabulary, ids or SpecialIds(), required=require_ids)
    sources = dict(find_sources(encoder, decoder, config))
    with without_weights():
        model = build(config)
    report = warm(model, config, sources, seed)
    bundle = _bundle(model, config, encoder, vocabulary, found, language)
    bundle.adapters = find_adapters(encoder)
    return bundle, report


def read_config(source: str | Path, families: Mapping[str, Family]) -> FamilyConfig:
    """Read the configuration of an encoder or a decoder.

    Args:
        source: a family's name, a config.json, or a folder with one; of a whole model, its encoder or decoder.
        families: the supported families.

    Raises:
        ModelError: it is missing, damaged, or of an unsupported family.
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
        why = "does not exist" if named else "cannot be used"
        raise ModelError(f"{source} {why}. {error.message}", hint=error.hint) from error


def _of_vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    # RoBERTa counts positions from the padding id, so the configuration must have the padding id of the vocabulary.
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
    usual = default_features(config.encoder)
    features = (encoder and read_features(encoder)) or usual
    if not isinstance(features, LogMelFeatures) or not isinstance(usual, LogMelFeatures):
        return features
    # The window may be shorter than the pretrained one. Whisper's decoder attends to the silence that fills it; others
    # are trained with a mask.
    masked = not isinstance(config.decoder, WhisperConfig)
    return replace(features, chunk_length=usual.chunk_length, return_attention_mask=masked)


def _folder(source: str | Path) -> Path | None:
    path = Path(source)
    return path if path.is_dir() else path.parent if path.is_file() else None


def _vocabulary(folder: Path | None) -> Tokenizer | None:
    return Tokenizer.load(folder) if folder is not None and has_tokenizer(folder) else None
