"""Bottleneck adapters beside the weights, a file a language (MMS, Pratap et al. 2024): `adapter.fra.safetensors`."""

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from speechcli.checkpoints.convert import check_numbers, to_ours
from speechcli.checkpoints.tensors import read_tensors
from speechcli.errors import ModelError
from speechcli.families.family import Family
from speechcli.models.encoder import SpeechEncoder
from speechcli.text.languages import resolve_language

_NAME = re.compile(r"adapter\.(?P<language>[^.]+)\.(bin|safetensors)")


def adapters_among(names: Iterable[str]) -> dict[str, str]:
    """Find the adapter file of each language by the model's own tag; of two for one language, the safetensors."""
    found = (_NAME.fullmatch(name) for name in sorted(names))
    return {match["language"]: match[0] for match in found if match is not None}


def find_adapters(folder: Path) -> dict[str, Path]:
    """Find the adapter file of each language in a folder."""
    names = adapters_among(path.name for path in folder.iterdir())
    return {language: folder / name for language, name in names.items()}


def apply_adapter(encoder: SpeechEncoder, family: Family, adapters: Mapping[str, Path], name: str) -> str:
    """Set an encoder's adapters to those of a language, in place. A CTC head that the file holds too is left there.

    Args:
        encoder: the encoder.
        family: names its weights.
        adapters: files by the model's own tags.
        name: a code, an English name or a tag of the model.

    Returns:
        the model's own tag

    Raises:
        ModelError: the file is missing or corrupt, or does not hold exactly the adapters of this encoder.
        UsageError: there are no adapters for this language; names those that there are.
    """
    tag = resolve_language(name, adapters)
    path = adapters[tag]
    state = encoder.state_dict()
    expected = {key: tensor.shape for key, tensor in state.items() if ".bottleneck." in key}
    tensors = {_bare(key, family): tensor for key, tensor in read_tensors(path).items()}
    try:
        ours, _ = to_ours(
            family.keys, {key: value for key, value in tensors.items() if not key.startswith("lm_head.")}, expected
        )
        check_numbers(state, ours)
    except ModelError as error:
        raise ModelError(f"The adapters in {path} cannot be used. {error.message}", hint=error.hint) from error
    placed = {key: tensor.to(state[key].device, state[key].dtype) for key, tensor in ours.items()}
    encoder.load_state_dict(placed, strict=False, assign=True)
    return tag


def link_adapters(adapters: Mapping[str, Path], folder: Path) -> None:
    """Give a folder the files of adapters, without copying them where the file system can do that."""
    for path in adapters.values():
        try:
            os.link(path.resolve(), folder / path.name)
        except OSError:
            shutil.copyfile(path, folder / path.name)


def _bare(key: str, family: Family) -> str:
    # named by a model with a head, by a speech encoder-decoder, or by the encoder alone
    return re.sub(r"^(encoder\.)+", "encoder.", key.removeprefix(family.base))
