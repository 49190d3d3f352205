"""The configuration of a whole model: encoder, decoder and special token ids."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from speechcli.errors import ModelError
from speechcli.families import SPEECH_ENCODERS, TEXT_DECODERS, WHOLE_MODELS
from speechcli.families.config import FamilyConfig
from speechcli.families.family import Family, tie
from speechcli.families.refused import why_no_decoder, why_no_encoder
from speechcli.families.rules import Rule, Same, under
from speechcli.models.decoder import TextDecoder
from speechcli.models.encoder import SpeechEncoder
from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder

MODEL_TYPE = "speech-encoder-decoder"
_IDS = ("decoder_start_token_id", "pad_token_id", "eos_token_id")


@dataclass
class SpeechEncoderDecoderConfig:
    """Hugging Face's `SpeechEncoderDecoderConfig`: a whole `config.json`.

    It is mutable because the reference's documentation sets the ids after creating it.
    """

    encoder: FamilyConfig
    decoder: FamilyConfig
    decoder_start_token_id: int | None = None
    """The first token that the decoder reads."""
    pad_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    """All other keys; they are saved again."""
    model_type: str = MODEL_TYPE
    """`model_type` of the file: that of two nested configurations, or that of a family published as a whole model."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SpeechEncoderDecoderConfig":
        """Read a `config.json`.

        Raises:
            ModelError: it describes another kind of model, or a family that is not supported.
        """
        kind = values.get("model_type")
        if kind in WHOLE_MODELS:
            return cls._from_whole(values)
        if kind != MODEL_TYPE or "encoder" not in values or "decoder" not in values:
            raise ModelError(
                f"The model must be a {MODEL_TYPE} with an encoder and a decoder, but its `model_type` is {kind!r}.",
                hint="`speechcli warm-start --encoder … --decoder …` joins two checkpoints into such a model.",
            )
        special = {"encoder", "decoder", "model_type", *_IDS}
        ids: dict[str, Any] = {key: values.get(key) for key in _IDS}
        for key, value in ids.items():
            if not isinstance(value, int | list | None):
                raise ModelError(f"`{key}` must be the id of a token, but is {value!r:.80}.")
        return cls(
            encoder=family_config(values["encoder"], SPEECH_ENCODERS, role="speech encoder"),
            decoder=family_config(values["decoder"], TEXT_DECODERS, role="text decoder"),
            extra={key: value for key, value in values.items() if key not in special},
            **ids,
        )

    @classmethod
    def _from_whole(cls, values: Mapping[str, Any]) -> "SpeechEncoderDecoderConfig":
        kind = values["model_type"]
        encoder, decoder = SPEECH_ENCODERS[kind].config, TEXT_DECODERS[kind].config
        known = encoder.field_names() | decoder.field_names()
        ids: dict[str, Any] = {key: values.get(key) for key in _IDS}
        return cls(
            encoder=encoder.from_dict({key: values[key] for key in encoder.field_names() if key in values}),
            decoder=decoder.from_dict({key: values[key] for key in decoder.field_names() if key in values}),
            extra={key: value for key, value in values.items() if key not in {"model_type", *known, *_IDS}},
            model_type=kind,
            **ids,
        )

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder_config: FamilyConfig, decoder_config: FamilyConfig
    ) -> "SpeechEncoderDecoderConfig":
        """Join two configurations, and set the decoder's flags for a decoder with cross-attention."""
        flags = {"is_decoder": True, "add_cross_attention": True}
        decoder = type(decoder_config).from_dict(decoder_config.to_dict() | flags)
        extra = {"architectures": ["SpeechEncoderDecoderModel"], "is_encoder_decoder": True}
        return cls(encoder_config, decoder, extra=extra | {"tie_word_embeddings": False})

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `config.json`."""
        ids = {
            "decoder_start_token_id": self.decoder_start_token_id,
            "pad_token_id": self.pad_token_id,
            "eos_token_id": self.eos_token_id,
        }
        encoder, decoder = self.encoder.to_dict(), self.decoder.to_dict()
        parts = encoder | decoder if self.whole else {"encoder": encoder, "decoder": decoder}
        named = {key: value for key, value in ids.items() if value is not None}
        return parts | {"model_type": self.model_type} | named | self.extra

    @property
    def whole(self) -> bool:
        """Whether encoder and decoder were published as one model."""
        return self.model_type != MODEL_TYPE

    @property
    def encoder_family(self) -> Family:
        """The family of the encoder."""
        return SPEECH_ENCODERS[self.encoder.model_type]

    @property
    def decoder_family(self) -> Family:
        """The family of the decoder."""
        return TEXT_DECODERS[self.decoder.model_type]

    @property
    def keys(self) -> tuple[Rule, ...]:
        """The key rules of the whole model."""
        if self.whole:
            return (
                *under(self.encoder_family.base, "encoder.", self.encoder_family.keys),
                *under("", "decoder.", self.decoder_family.keys),
            )
        decoder = self.decoder_family
        return (
            *under("encoder.", "encoder.", self.encoder_family.keys),
            *under("decoder.", "decoder.", decoder.keys_in(self.decoder)),
            Same("enc_to_dec_proj", "projection"),
        )

    @property
    def tied(self) -> tuple[str, str] | None:
        """Our names of the head's matrix and the tied embeddings, in the whole model; None: they are not tied."""
        names = self.decoder_family.tied_in(self.decoder)
        return None if names is None else ("decoder." + names[0], "decoder." + names[1])


def family_config(values: Mapping[str, Any], families: Mapping[str, Family], *, role: str) -> FamilyConfig:
    """Read the configuration of the encoder or the decoder.

    Args:
        values: the configuration, with a `model_type`.
        families: the supported families.
        role: "speech encoder" or "text decoder", for the message.

    Raises:
        ModelError: the family is not supported.
    """
    if not isinstance(values, Mapping):
        raise ModelError(f"The configuration of the {role} must be a JSON object, but is {values!r:.80}.")
    kind = str(values.get("model_type"))
    if kind not in families:
        why = why_no_encoder(kind) if "encoder" in role else why_no_decoder(kind) if "decoder" in role else ""
        raise ModelError(f"The {role} must be one of {', '.join(families)}, but its `model_type` is {kind!r}{why}.")
    return families[kind].config.from_dict(values)


def build(config: SpeechEncoderDecoderConfig) -> SpeechEncoderDecoder:
    """Build a model, with torch's default initialization.

    There is a projection between encoder and decoder if the reference has one, and also if their actual widths differ
    but the reference builds none, or one of the wrong width, and then crashes (an adapter whose width differs from
    both sides; `output_hidden_size` without an adapter).

    Raises:
        ModelError: the encoder and the decoder cannot be joined.
    """
    try:
        encoder: SpeechEncoder = config.encoder_family.build(config.encoder)
        decoder: TextDecoder = config.decoder_family.build(config.decoder)
    except (ValueError, RuntimeError) as error:  # torch rejects sizes that our checks do not cover
        why = "there is not enough memory" if "alloc" in str(error) else str(error).rstrip(".")
        raise ModelError(f"The configuration cannot be built: {why}.") from error
    output_width = getattr(config.encoder, "output_hidden_size", None) or encoder.frame_width
    stated = config.decoder.to_dict().get("cross_attention_hidden_size")
    if stated is not None and not stated == encoder.width == decoder.memory_width:
        raise ModelError(
            f"`cross_attention_hidden_size` must be the width of the encoder ({encoder.width}) and of the decoder's "
            f"memory ({decoder.memory_width}), but is {stated}."
        )
    needed = stated is None and (output_width != decoder.width or encoder.width != decoder.width)
    projection = nn.Linear(encoder.width, decoder.width) if needed else None
    model = SpeechEncoderDecoder(encoder, decoder, projection=projection, reads_padding=config.whole)
    tie(model, config.tied)
    return model


def initialize(model: SpeechEncoderDecoder, config: SpeechEncoderDecoderConfig) -> None:
    """Initialize a model with random weights as its families do."""
    config.encoder_family.initialize(model.encoder, config.encoder)
    config.decoder_family.initialize(model.decoder, config.decoder)
    for head in (model.projection, model.ctc_head):
        if head is not None:
            head.reset_parameters()
