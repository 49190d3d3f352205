"""Files with the adapters of one language (MMS, Pratap et al. 2024): `adapter.fra.safetensors`."""

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
    """Return the adapter files by the model's own language tags; safetensors files are preferred."""
    found = (_NAME.fullmatch(name) for name in sorted(names))
    return {match["language"]: match[0] for match in found if match is not None}


def find_adapters(folder: Path) -> dict[str, Path]:
    """Return the adapter files in a folder by language tag."""
    names = adapters_among(path.name for path in folder.iterdir())
    return {language: folder / name for language, name in names.items()}


def apply_adapter(encoder: SpeechEncoder, family: Family, adapters: Mapping[str, Path], name: str) -> str:
    """Load the adapters of a language into an encoder, in place; a CTC head in the file is ignored.

    Args:
        encoder: the encoder.
        family: its family.
        adapters: adapter files by the model's own tags.
        name: code, English name or model tag of the language.

    Returns:
        the model's own tag

    Raises:
        ModelError: the file is missing or damaged, or does not contain exactly the adapters of this encoder.
        UsageError: there are no adapters for this language; the hint names the available ones.
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
    """Put adapter files into a folder, as hard links if possible, else as copies."""
    for path in adapters.values():
        try:
            os.link(path.resolve(), folder / path.name)
        except OSError:
            shutil.copyfile(path, folder / path.name)


def _bare(key: str, family: Family) -> str:
    # keys of a model with a head, of a speech encoder-decoder, or of a bare encoder
    return re.sub(r"^(encoder\.)+", "encoder.", key.removeprefix(family.base))
