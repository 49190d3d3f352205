"""A model with its configuration, features, tokenizer and settings; loading and saving of its folder."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechcli.audio.extractor import Extractor
from speechcli.checkpoints import folder as files
from speechcli.checkpoints.convert import check_numbers, modern_name, narrowed, to_ours, to_theirs, unread
from speechcli.checkpoints.features import default_features, read_features, write_features
from speechcli.checkpoints.language_adapters import apply_adapter, find_adapters, link_adapters
from speechcli.checkpoints.lora import lora_base, with_lora
from speechcli.checkpoints.weights import fill, read_ctc_head, untie_if_different
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.errors import ModelError
from speechcli.families.composite import SpeechEncoderDecoderConfig, build
from speechcli.families.rules import Copy
from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder
from speechcli.nn.initialize import without_weights
from speechcli.nn.lora import merged_state
from speechcli.text.characters import Characters
from speechcli.text.tokenizer import Tokenizer
from speechcli.text.vocabulary import has_tokenizer


@dataclass
class Bundle:
    """A model with everything needed to use it. Its fields may be replaced; `save` writes the current ones."""

    model: SpeechEncoderDecoder
    config: SpeechEncoderDecoderConfig
    features: Extractor
    tokenizer: Tokenizer | None
    """None: the folder has no vocabulary, so the model returns token ids."""
    generation: GenerationOptions
    name: str
    """Name of the model in results and messages."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Content of `speechcli.json`: settings that Hugging Face's files do not support."""
    unread: dict[str, Tensor] = field(default_factory=dict)
    """Unused tensors of the file, by key, which are saved again because transformers expects them."""
    stored: Mapping[str, torch.dtype] = field(default_factory=dict)
    """Data types of the file's tensors by key, if `save` should preserve them."""
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """Files with the encoder's adapters for each language, by the model's own tags; `save` copies them."""
    language_model: Path | None = None
    """Folder of the language model that comes with the model, for shallow fusion; `save` copies it."""

    @property
    def characters(self) -> Characters | None:
        """The vocabulary of the CTC head; None if it is that of the decoder."""
        symbols = self.settings.get("ctc", {}).get("characters")
        return None if symbols is None else Characters(symbols)

    @property
    def taught(self) -> tuple[str, ...]:
        """Codes of the languages that a Whisper decoder was trained to translate into, besides English."""
        return tuple(self.settings.get("translates_into", ()))

    def set_language(self, name: str) -> str:
        """Load the encoder's adapters for the spoken language, in place: see `apply_adapter`."""
        return apply_adapter(self.model.encoder, self.config.encoder_family, self.adapters, name)

    def forget_misfits(self) -> None:
        """Remove the language model, and the language adapters if the encoder is trained: they would no longer fit."""
        self.language_model = None
        self.settings.pop("lm", None)
        learning = (name for name, parameter in self.model.encoder.named_parameters() if parameter.requires_grad)
        if any(not name.startswith("adapter.") for name in learning):
            self.adapters = {}


def load(
    folder: Path, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu", name: str | None = None
) -> Bundle:
    """Load a model folder written by transformers or by `save`, or a folder with LoRA weights and its base model.

    The weights are memory-mapped: on the CPU, in the data type of the file, nothing is copied.

    Args:
        folder: folder with config.json and weights, or with adapter_config.json, which names the base model.
        dtype: data type of the weights in memory; None: float32, and `save` writes unchanged weights in the half
            precision of the file.
        device: the device of the model.
        name: name of the model; None: that of the folder.

    Returns:
        the model, in evaluation mode, with its configuration, features, tokenizer and generation options

    Raises:
        ModelError: a file is missing, damaged or not supported, or the weights do not fit the configuration.
    """
    base = lora_base(folder)
    additions, folder = (None, folder) if base is None else (folder, base)
    values = files.read_config(folder)
    with files.naming(folder):
        config = SpeechEncoderDecoderConfig.from_dict(values)
        with without_weights():
            model = build(config)
        expected = {key: tensor.shape for key, tensor in model.state_dict().items()}
        theirs = files.read_weights(folder)
        if additions is not None:
            theirs = with_lora(theirs, additions, config.keys)
        tensors, _ = to_ours(config.keys, theirs, expected, tied=config.tied)
        check_numbers(model.state_dict(), tensors)
    untie_if_different(config, tensors)
    memory = torch.float32 if dtype is None else dtype
    fill(model, tensors, dtype=memory, tied=config.tied)
    settings = _read_settings(folder / files.OURS)
    if "ctc" in settings:
        model.ctc_head = _read_ctc_head(folder, model.encoder.frame_width, memory, settings["ctc"])
    return Bundle(
        model=model.to(device).eval(),
        config=config,
        features=read_features(folder) or default_features(config.encoder),
        tokenizer=Tokenizer.load(folder) if has_tokenizer(folder) else None,
        generation=GenerationOptions.from_files(values, files.read_optional_json(folder / files.GENERATION)),
        name=name or (additions or folder).resolve().name,
        settings=settings,
        unread=unread(config.keys, theirs),
        stored={modern_name(key): tensor.dtype for key, tensor in theirs.items()} if dtype is None else {},
        adapters=find_adapters(folder),
        language_model=own if additions is None and (own := folder / files.LANGUAGE_MODEL).is_dir() else None,
    )


def save(bundle: Bundle, folder: Path) -> None:
    """Write a model folder for `load` and transformers, atomically; low-rank updates (LoRA) are merged.

    Raises:
        OutputError: the folder cannot be written, for example because the disk is full.
    """
    state = {key: t for key, t in merged_state(bundle.model).items() if not key.startswith("teacher_head.")}
    head = {key.removeprefix("ctc_head."): state.pop(key) for key in list(state) if key.startswith("ctc_head.")}
    config = replace(bundle.config, extra=dict(bundle.config.extra))
    untie_if_different(config, state)
    theirs = to_theirs(config.keys, state, tied=config.tied)
    copies = [rule.copies(state) for rule in config.keys if isinstance(rule, Copy) and rule.written]
    theirs |= {key: bundle.unread.get(key, tensor) for copy in copies for key, tensor in copy.items()}
    theirs = narrowed(theirs, bundle.stored)
    _state_dtype(config, theirs)
    settings = {key: value for key, value in bundle.settings.items() if key != "ctc"}
    if head:
        settings["ctc"] = {"vocabulary_size": head["weight"].size(0)} | bundle.settings.get("ctc", {})
    with files.writing(folder) as stage:
        files.write_weights(stage, theirs)
        if head:
            files.write_tensors(stage / files.CTC_HEAD, head)
        if settings:
            files.write_json(stage / files.OURS, settings)
        files.write_json(stage / files.GENERATION, bundle.generation.to_dict())
        if bundle.tokenizer is not None:
            bundle.tokenizer.save(stage)
        write_features(stage, bundle.features, with_processor=bundle.tokenizer is not None)
        link_adapters(bundle.adapters, stage)
        if bundle.language_model is not None:
            shutil.copytree(bundle.language_model, stage / files.LANGUAGE_MODEL)
        files.write_json(stage / files.CONFIG, config.to_dict())


def add_ctc_head(
    bundle: Bundle, *, vocabulary_size: int, blank_id: int, characters: Characters | None = None, seed: int = 0
) -> None:
    """Add a randomly initialized CTC head to a model, in place.

    Args:
        bundle: the model; an existing CTC head is replaced.
        vocabulary_size: number of tokens of the head, including the blank.
        blank_id: id of the blank; stored in `bundle.settings["ctc"]`.
        characters: the vocabulary of the head; None: that of the decoder. Stored in `bundle.settings["ctc"]`.
        seed: random seed of the weights.
    """
    weight = next(bundle.model.parameters())
    head = nn.Linear(bundle.model.encoder.frame_width, vocabulary_size, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        head.weight.normal_(0.0, 0.02, generator=torch.Generator().manual_seed(seed))
        head.bias.zero_()
    bundle.model.ctc_head = head.to(weight.device, weight.dtype)
    own = {} if characters is None else {"characters": characters.symbols}
    bundle.settings["ctc"] = {"vocabulary_size": vocabulary_size, "blank_id": blank_id} | own


def _read_settings(path: Path) -> dict[str, Any]:
    settings = files.read_optional_json(path) or {}
    into = settings.get("translates_into", [])
    if not isinstance(into, list) or not all(isinstance(code, str) for code in into):
        raise ModelError(f"`translates_into` in {path} must be a list of language codes, but is {into!r:.80}.")
    for name in ("ctc", "lm"):
        if not isinstance(settings.get(name, {}), dict):
            raise ModelError(f"`{name}` in {path} must be an object, but is {settings[name]!r:.80}.")
        for key in ("weight", "translation_weight"):
            weight = settings.get(name, {}).get(key, 0.0)
            if not isinstance(weight, int | float):
                raise ModelError(f"`{name}.{key}` in {path} must be a number, but is {weight!r:.80}.")
    translates = settings.get("lm", {}).get("translates", False)
    if not isinstance(translates, bool):
        raise ModelError(f"`lm.translates` in {path} must be true or false, but is {translates!r:.80}.")
    return settings


def _read_ctc_head(folder: Path, width: int, dtype: torch.dtype, settings: Mapping[str, Any]) -> nn.Linear:
    path = folder / files.CTC_HEAD
    head = read_ctc_head(path, width=width, dtype=dtype)
    symbols = settings.get("characters", "-" * (head.out_features - 1))
    if not isinstance(symbols, str) or 1 + len(symbols) != head.out_features:
        raise ModelError(
            f"{folder / files.OURS} must name the {head.out_features - 1} characters of {path}, but does not."
        )
    return head


def _state_dtype(config: SpeechEncoderDecoderConfig, tensors: Mapping[str, Tensor]) -> None:
    kinds = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    key = "torch_dtype" if "torch_dtype" in config.extra and "dtype" not in config.extra else "dtype"
    if len(kinds) == 1:
        config.extra[key] = str(kinds.pop()).removeprefix("torch.")
