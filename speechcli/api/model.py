"""`SpeechEncoderDecoderModel` with Hugging Face's interface, a thin wrapper around a `Bundle`."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from speechcli.api.opening import decoder_inputs, opening
from speechcli.checkpoints import bundle as bundles
from speechcli.checkpoints.bundle import Bundle
from speechcli.checkpoints.compose import warm_start
from speechcli.checkpoints.features import default_features
from speechcli.checkpoints.hub import resolve_model, upload
from speechcli.checkpoints.special_ids import SpecialIds
from speechcli.checkpoints.warm import FreshParameters
from speechcli.decoding.generate import generate
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.hypothesis import padded_sequences
from speechcli.errors import UsageError
from speechcli.families.composite import SpeechEncoderDecoderConfig, build, initialize
from speechcli.models.decoder import TextDecoder
from speechcli.models.encoder import SpeechEncoder
from speechcli.models.speech_encoder_decoder import sequence_loss
from speechcli.text.prompts import Task


class SpeechEncoderDecoderOutput(NamedTuple):
    """The result of `forward`."""

    loss: Tensor | None
    """Mean cross-entropy over labels other than -100; None without labels."""
    logits: Tensor
    """(batch, tokens, vocabulary)"""
    encoder_last_hidden_state: Tensor
    """(batch, frames, decoder width): after the projection."""


class SpeechEncoderDecoderModel(nn.Module):
    """Any speech encoder with any text decoder.

    Args:
        config: the configuration; the weights are random.

    Attributes:
        config: may be changed: `model.config.decoder_start_token_id = …`.
        generation_config: options of `generate`; ids that are not set are those of `config`.
        fresh_parameters: which weights a warm start loaded and initialized; None for other models.
    """

    def __init__(self, config: SpeechEncoderDecoderConfig) -> None:
        model = build(config)
        initialize(model, config)
        self._take(
            Bundle(model, config, default_features(config.encoder), None, GenerationOptions(), "speech-encoder-decoder")
        )

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: Path | None = None,
        local_files_only: bool = False,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Load a model, in evaluation mode, from a folder or from the Hugging Face Hub; see `bundle.load` for `dtype`.

        Raises:
            ModelError: the model does not exist, is not supported, or its weights do not fit.
        """
        folder = resolve_model(str(name), revision=revision, token=token, cache_dir=cache_dir, offline=local_files_only)
        return cls._of(bundles.load(folder, dtype=dtype, name=str(name)))

    @classmethod
    def from_encoder_decoder_pretrained(
        cls,
        encoder: str | Path,
        decoder: str | Path,
        *,
        decoder_start_token_id: int | None = None,
        pad_token_id: int | None = None,
        eos_token_id: int | None = None,
        token: str | None = None,
        cache_dir: Path | None = None,
        local_files_only: bool = False,
        **changes: Any,
    ) -> Self:
        """Join a pretrained encoder and a pretrained decoder; see `speechcli.checkpoints.compose.warm_start`.

        Args:
            encoder: folder, or name on the Hub, of a speech encoder with or without a head.
            decoder: folder, or name on the Hub, of a text model.
            decoder_start_token_id: first token of the decoder input; None: that of the vocabulary.
            pad_token_id: padding token; None: that of the vocabulary.
            eos_token_id: token that ends a text; None: that of the vocabulary.
            token: access token for the Hub.
            cache_dir: folder for downloads.
            local_files_only: do not use the network.
            **changes: `encoder_KEY` and `decoder_KEY` change a key of that configuration.

        Raises:
            ModelError: a checkpoint does not exist, is not supported, or lacks weights.
            UsageError: a keyword has neither prefix, or its key does not exist.
        """
        where: dict[str, Any] = {"token": token, "cache_dir": cache_dir, "offline": local_files_only}
        bundle, report = warm_start(
            resolve_model(str(encoder), **where),
            resolve_model(str(decoder), **where),
            encoder_changes=_prefixed(changes, "encoder_"),
            decoder_changes=_prefixed(changes, "decoder_"),
            ids=SpecialIds(decoder_start_token_id, pad_token_id, eos_token_id),
            require_ids=False,
        )
        # As in Hugging Face, the maximum length has its default, and the ids are those of the configuration.
        model = cls._of(replace(bundle, generation=GenerationOptions()))
        model.fresh_parameters = report
        return model

    @classmethod
    def _of(cls, bundle: Bundle) -> Self:
        model = cls.__new__(cls)
        model._take(bundle)
        return model.eval()

    def _take(self, bundle: Bundle) -> None:
        super().__init__()
        self.network = bundle.model
        self.config, self.generation_config = bundle.config, bundle.generation
        self.fresh_parameters: FreshParameters | None = None
        self._bundle = bundle

    @property
    def encoder(self) -> SpeechEncoder:
        """The speech encoder."""
        return self.network.encoder

    @property
    def decoder(self) -> TextDecoder:
        """The text decoder."""
        return self.network.decoder

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a model folder for `from_pretrained`, here and in transformers.

        Raises:
            OutputError: the folder cannot be written.
        """
        bundle = replace(self._bundle, model=self.network, config=self.config, generation=self._generation())
        bundles.save(bundle, Path(folder))

    def push_to_hub(self, repo_id: str, *, token: str | None = None, private: bool | None = None) -> str:
        """Upload the model to the Hugging Face Hub, and return its address.

        Raises:
            ModelError: the Hub does not accept it.
        """
        with tempfile.TemporaryDirectory() as scratch:
            self.save_pretrained(Path(scratch) / "model")
            return upload(Path(scratch) / "model", repo_id, token=token, private=private)

    def freeze_feature_encoder(self) -> None:
        """Freeze the feature encoder (the convolutions over the waveform), for any encoder."""
        self.encoder.freeze_frontend()

    def forward(
        self,
        inputs: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Tensor | Sequence[Tensor] | None = None,
        labels: Tensor | None = None,
        *,
        input_values: Tensor | None = None,
        input_features: Tensor | None = None,
    ) -> SpeechEncoderDecoderOutput:
        """Compute the logits for all positions of a batch of texts, as in training.

        Args:
            inputs: the output of the feature extractor; also called `input_values` or `input_features`.
            attention_mask: (batch, samples) or (batch, frames), zero for padding.
            decoder_input_ids: (batch, tokens); None: the labels, shifted right.
            decoder_attention_mask: (batch, tokens), zero for padding.
            encoder_outputs: (batch, frames, encoder width), alone or first in a sequence, instead of the inputs.
            labels: (batch, tokens), padded with -100.
            input_values: another name of `inputs`.
            input_features: another name of `inputs`.

        Raises:
            UsageError: there are no inputs or several, no decoder inputs, or a required id is not set.
        """
        if decoder_input_ids is None:
            decoder_input_ids = decoder_inputs(labels, self.config)
        memory, mask = self._memory((inputs, input_values, input_features), attention_mask, encoder_outputs)
        real = None if decoder_attention_mask is None else decoder_attention_mask.bool()
        logits = self.decoder(decoder_input_ids, memory, mask, mask=real)
        return SpeechEncoderDecoderOutput(None if labels is None else sequence_loss(logits, labels), logits, memory)

    @torch.no_grad()
    def generate(
        self,
        inputs: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        input_values: Tensor | None = None,
        input_features: Tensor | None = None,
        encoder_outputs: Tensor | Sequence[Tensor] | None = None,
        decoder_input_ids: Tensor | None = None,
        generation_config: GenerationOptions | None = None,
        language: str | None = None,
        task: Task | None = None,
        **options: Any,
    ) -> Tensor:
        """Decode a batch of recordings, always in evaluation mode.

        Args:
            inputs: as in `forward`.
            attention_mask: as in `forward`.
            input_values: as in `forward`.
            input_features: as in `forward`.
            encoder_outputs: as in `forward`.
            decoder_input_ids: (batch, tokens) prompts of the texts; None: see `speechcli.api.opening`.
            generation_config: decoding options; None: those of the model.
            language: the spoken language; for models that translate into many languages, that of the texts. None:
                detected if the model can, else its default.
            task: "transcribe" or "translate", for models that can do both.
            **options: values of `GenerationOptions` that override those of `generation_config`.

        Returns:
            Ids (batch * num_return_sequences, tokens), including the prompts.

        Raises:
            UsageError: an option does not exist or is not possible, or the start token is not set.
        """
        chosen = self._generation(generation_config).with_(**options)
        training = self.training
        self.eval()
        try:
            memory, mask = self._memory((inputs, input_values, input_features), attention_mask, encoder_outputs)
            prompt = decoder_input_ids
            if prompt is None:
                prompt, chosen = opening(self._bundle, memory, mask, chosen, language=language, task=task)
            found = generate(self.network.step, self.decoder.start(memory, mask), prompt, chosen)
        finally:
            self.train(training)
        return padded_sequences(found, prompt, chosen)

    def _generation(self, options: GenerationOptions | None = None) -> GenerationOptions:
        options = self.generation_config if options is None else options
        names = ("decoder_start_token_id", "pad_token_id", "eos_token_id")
        return options.with_(**{n: getattr(self.config, n) for n in names if getattr(options, n) is None})

    def _memory(
        self,
        names: Sequence[Tensor | None],
        attention_mask: Tensor | None,
        encoder_outputs: Tensor | Sequence[Tensor] | None,
    ) -> tuple[Tensor, Tensor | None]:
        lengths = None if attention_mask is None else attention_mask.sum(-1)
        given = [tensor for tensor in names if tensor is not None]
        if encoder_outputs is None:
            if len(given) != 1:
                raise UsageError(
                    f"The model takes one of `inputs`, `input_values` and `input_features`, but got {len(given)}."
                )
            encoded = self.network.encode(given[0].mT if self._bundle.features.mels_first else given[0], lengths)
            return encoded.memory, encoded.mask
        memory = encoder_outputs if isinstance(encoder_outputs, Tensor) else encoder_outputs[0]
        if lengths is not None:
            lengths = self._memory_lengths(lengths, memory)
        if self.network.projection is not None:
            memory = self.network.projection(memory)
        return memory, self.network.memory_mask(memory, lengths)

    def _memory_lengths(self, lengths: Tensor, memory: Tensor) -> Tensor:
        lengths = self.encoder.frontend.out_lengths(lengths)
        # Only the adapter knows how it shortens, so it is applied to empty frames.
        frames = memory.new_zeros(memory.size(0), int(lengths.max()), self.encoder.frame_width)
        _, shortened = self.encoder.adapt(frames, lengths)
        return lengths if shortened is None else shortened


def _prefixed(changes: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    for name in changes:
        if not name.startswith(("encoder_", "decoder_")):
            raise UsageError(f"A keyword must begin with `encoder_` or `decoder_`, but is {name!r}.")
    return {name.removeprefix(prefix): value for name, value in changes.items() if name.startswith(prefix)}
