"""The weights of a warm start: tensors from two checkpoints, and randomly initialized ones."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from speechcli.checkpoints import folder as files
from speechcli.checkpoints.convert import check_numbers, modern_name, their_name, to_ours, to_theirs
from speechcli.checkpoints.weights import (
    assign,
    compute_tables,
    optional_tensors,
    ready,
    table_of,
    untie_if_different,
)
from speechcli.errors import ModelError
from speechcli.families.composite import SpeechEncoderDecoderConfig, initialize
from speechcli.families.family import Family
from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder

# Our names of tensors that may be random in a warm start: all others must be in the checkpoints.
_MAY_BE_FRESH = re.compile(
    r"encoder\.(adapter|spec_augment|unread|layers\.\d+\.bottleneck)\..*"
    r"|decoder\.(layers\.\d+\.cross_attn(_norm)?|head)\..*|projection\..*|.*\.num_batches_tracked"
)


@dataclass(frozen=True)
class FreshParameters:
    """Origin of the weights of a warm start; names are keys of the new model's file, or of the checkpoint if unused."""

    from_encoder: int
    """Number of tensors from the encoder checkpoint."""
    from_decoder: int
    """Number of tensors from the decoder checkpoint."""
    fresh: tuple[str, ...]
    """Tensors that are random and must be trained."""
    left_in_encoder: tuple[str, ...]
    """Unused tensors of the encoder checkpoint."""
    left_in_decoder: tuple[str, ...]
    """Unused tensors of the decoder checkpoint."""

    def sentences(self) -> list[str]:
        """Summarize it in a few lines, with layers grouped."""
        lines = [
            f"{self.from_encoder} tensors come from the encoder checkpoint, {self.from_decoder} from the decoder's.",
            f"{len(self.fresh)} tensors are random and must be trained{_grouped(self.fresh)}.",
        ]
        for part, names in (("encoder", self.left_in_encoder), ("decoder", self.left_in_decoder)):
            if names:
                lines.append(f"{len(names)} tensors of the {part} checkpoint have no place here{_grouped(names)}.")
        return lines


@dataclass(frozen=True)
class Source:
    """A tensor of a checkpoint."""

    name: str
    """The key in the checkpoint."""
    tensor: Tensor


def find_sources(encoder: Path, decoder: Path, config: SpeechEncoderDecoderConfig) -> Iterator[tuple[str, Source]]:
    """Yield the tensors of both checkpoints by their keys in the new model's file."""
    yield from _sources(encoder, "encoder.", config.encoder_family)
    yield from _sources(decoder, "decoder.", config.decoder_family)


def _sources(folder: Path, part: str, family: Family) -> Iterator[tuple[str, Source]]:
    tensors = {modern_name(key): Source(key, tensor) for key, tensor in files.read_weights(folder).items()}
    if isinstance(files.read_config(folder).get(part.rstrip(".")), Mapping):
        tensors = {key.removeprefix(part): source for key, source in tensors.items() if key.startswith(part)}
    headed = any(key.startswith(family.base) for key in tensors)
    present = tensors.keys() if headed else {family.base + key for key in tensors}
    # A bare model lacks the first word of the prefix: "wav2vec2.", or "model." of Whisper's "model.encoder.".
    bare = family.base.partition(".")[2]
    prefix = family.base if headed else bare if any(key.startswith(bare) for key in tensors) else ""
    for key, source in tensors.items():
        if part == "encoder.":
            # Keys of a head lack the prefix of the base model; renamed, they match no rule of the encoder.
            known = key.removeprefix(prefix) if key.startswith(prefix) else f"head.{key}"
        else:
            known = key if headed else family.base + key
        renamed = (family.sources or {}).get(known, known)
        if renamed == known or renamed not in present:
            yield part + renamed, source


def warm(
    model: SpeechEncoderDecoder, config: SpeechEncoderDecoderConfig, sources: Mapping[str, Source], seed: int
) -> FreshParameters:
    """Set the weights of a model from two checkpoints, in place; allowed missing ones are initialized randomly.

    Args:
        model: a model on the meta device.
        config: its configuration; changed if head and embeddings turn out not to be tied.
        sources: tensors of the checkpoints by the keys of the model's file.
        seed: random seed of the missing weights.

    Raises:
        ModelError: a shape differs, or a required tensor is missing.
    """
    state = model.state_dict()  # on the meta device: shapes without data
    expected = {key: tensor.shape for key, tensor in state.items()}
    tensors = {key: source.tensor for key, source in sources.items()}
    # If the new head is not tied and the checkpoint has no head of its own, it is initialized with the embeddings.
    names = config.decoder_family.tied
    twins = None if names is None else ("decoder." + names[0], "decoder." + names[1])
    positions = [key for key in expected if key.endswith("positions.weight")]
    loaded, left = to_ours(config.keys, tensors, expected, tied=twins, tables=positions, strict=False)
    check_numbers(state, loaded)
    fresh = {key for key in expected if key not in loaded and table_of(model, key) is None}
    _refuse_gaps(config, state, fresh)
    numbers = _random(model, config, optional_tensors(expected, loaded), seed)
    numbers |= {key: ready(tensor, state[key].dtype) for key, tensor in loaded.items()}
    untie_if_different(config, numbers)
    if twins is not None and config.tied is None and numbers[twins[0]].data_ptr() == numbers[twins[1]].data_ptr():
        numbers[twins[0]] = numbers[twins[0]].clone()
    assign(model, numbers, tied=config.tied)
    rules = config.keys
    theirs, unknown = to_theirs(rules, state, tied=config.tied), {their_name(rules, name) for name in fresh}
    random = tuple(key for key in theirs if key in unknown)
    counts = Counter(key.partition(".")[0] for key in theirs if key not in random)
    return FreshParameters(
        from_encoder=counts["encoder"],
        from_decoder=counts["decoder"],
        fresh=random,
        left_in_encoder=tuple(sources[key].name for key in left if key.startswith("encoder.")),
        left_in_decoder=tuple(sources[key].name for key in left if key.startswith("decoder.")),
    )


def _random(
    model: SpeechEncoderDecoder, config: SpeechEncoderDecoderConfig, absent: Mapping[str, Tensor], seed: int
) -> dict[str, Tensor]:
    """Initialize weights that are in neither checkpoint; the others stay on the meta device."""
    model.load_state_dict(dict(absent), strict=False, assign=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        initialize(model, config)
    compute_tables(model, absent)
    state = model.state_dict()
    return {key: state[key] for key in absent}


def _refuse_gaps(config: SpeechEncoderDecoderConfig, state: Mapping[str, Tensor], fresh: set[str]) -> None:
    gaps = {key: tensor for key, tensor in state.items() if key in fresh and not _MAY_BE_FRESH.fullmatch(key)}
    for part in ("encoder", "decoder"):
        names = sorted(key for key in gaps if key.startswith(part))
        if names:
            raise ModelError(
                f"The {part} checkpoint lacks {len(names)} tensors that its configuration requires{_grouped(names)}.",
                hint="Only cross-attention, head, projection and adapter may be initialized randomly.",
            )


def _grouped(names: Sequence[str]) -> str:
    # "decoder.bert.encoder.layer.*.crossattention (20)": layers are grouped by the module inside them
    groups = Counter(re.sub(r"\.\d+\.(\w+).*", r".*.\1", name.rpartition(".")[0] or name) for name in names)
    return ": " + ", ".join(f"{name} ({count})" for name, count in groups.items()) if groups else ""
