"""Conversion of checkpoint keys to ours and back by the rules of the families; one error reports all problems."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from speechcli.errors import ModelError
from speechcli.families.rules import Copy, Rule

OLD_SPELLINGS = (
    (".weight_g", ".parametrizations.weight.original0"),
    (".weight_v", ".parametrizations.weight.original1"),
    ("LayerNorm.gamma", "LayerNorm.weight"),
    ("LayerNorm.beta", "LayerNorm.bias"),
)
"""Suffixes of keys of older versions, and their present names."""

LISTED = 8
"""Maximum number of problems of one kind that a message lists; the others are counted."""


def modern_name(key: str) -> str:
    """Return the present name of a key of an older version."""
    for old, new in OLD_SPELLINGS:
        if key.endswith(old):
            return key.removesuffix(old) + new
    return key


def to_ours(
    rules: Sequence[Rule],
    tensors: Mapping[str, Tensor],
    expected: Mapping[str, torch.Size],
    *,
    tied: tuple[str, str] | None = None,
    tables: Collection[str] = (),
    strict: bool = True,
) -> tuple[dict[str, Tensor], list[str]]:
    """Rename and reshape a checkpoint's tensors into a model's.

    Args:
        rules: the rules; the first that matches a key is applied.
        tensors: their tensors by key.
        expected: our keys and shapes.
        tied: our names of the head and of the embeddings, one of which may be missing.
        tables: our names of tables of positions; of a longer one in the checkpoint, the first rows are used.
        strict: whether to raise an error for unknown keys of theirs and missing keys of ours. Different shapes are
            always an error.

    Returns:
        our tensors, which share memory with theirs if possible, and unknown keys of theirs

    Raises:
        ModelError: keys are missing or unexpected, or have the wrong shape; one message lists all of them.
    """
    ours: dict[str, Tensor] = {}
    copies: dict[str, Tensor] = {}
    unexpected: list[str] = []
    misshapen: list[str] = []
    for key, tensor in tensors.items():
        loaded = _load(rules, key, tensor)
        if loaded is None or loaded[1].keys() - expected.keys():
            if loaded is None or not loaded[0].optional:
                unexpected.append(key)
            continue
        for name, part in loaded[1].items():
            if name in tables and part.shape[1:] == expected[name][1:]:
                part = part[: expected[name][0]]
            if part.shape != expected[name]:
                misshapen.append(f"{key} is {_shape(part.shape)} where {_shape(expected[name])} is needed")
            (copies if isinstance(loaded[0], Copy) else ours)[name] = part
    ours = copies | ours
    if tied is not None:
        for name, twin in (tied, tied[::-1]):
            if name not in ours and twin in ours:
                ours[name] = ours[twin]
    problems = _listed("misshapen", misshapen)
    if strict:
        missing = [their_name(rules, name) for name in expected if name not in ours and not _optional(rules, name)]
        problems += _listed("missing", list(dict.fromkeys(missing))) + _listed("unexpected", unexpected)
    if problems:
        raise ModelError("The weights do not fit the configuration: " + "; ".join(problems) + ".")
    return ours, unexpected


def check_numbers(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Check that weights are floating-point numbers and not NaN.

    Args:
        expected: the state of a model.
        tensors: its weights by name.

    Raises:
        ModelError: weights are integers, have only 8 bits, or are NaN.
    """
    wrong = [key for key, tensor in tensors.items() if expected[key].is_floating_point() and _is_quantized(tensor)]
    if wrong:
        kind = str(tensors[wrong[0]].dtype).removeprefix("torch.")
        raise ModelError(
            f"The weights must be floating-point numbers, but {len(wrong)} tensors are {kind}.",
            hint="Quantized checkpoints are not supported; use the original one.",
        )
    empty = [key for key, tensor in tensors.items() if tensor.is_floating_point() and _has_nan(tensor)]
    if empty:
        raise ModelError(
            f"The weights must be numbers, but {len(empty)} of {len(tensors)} tensors contain NaN "
            f"({', '.join(empty[:LISTED])}{', …' if len(empty) > LISTED else ''}).",
            hint="The training diverged; use an earlier checkpoint.",
        )


def _is_quantized(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or tensor.itemsize == 1


def _has_nan(tensor: Tensor) -> bool:
    # A sum is much faster than testing each number, and it propagates NaN.
    return bool(tensor.sum().isnan()) and bool(tensor.isnan().any())


def to_theirs(
    rules: Sequence[Rule], tensors: Mapping[str, Tensor], *, tied: tuple[str, str] | None = None
) -> dict[str, Tensor]:
    """Rename and reshape a model's tensors into a checkpoint's.

    Args:
        rules: the rules; each of our keys matches exactly one.
        tensors: our tensors by key.
        tied: our names of the head, which is not saved, and of the embeddings.
    """
    theirs: dict[str, Tensor] = {}
    for key in tensors:
        if tied is not None and key == tied[0]:
            continue
        rule, name = _writer(rules, key)
        tensor = rule.dump(key, tensors)
        if tensor is not None:
            theirs[name] = tensor
    return theirs


def narrowed(tensors: dict[str, Tensor], dtypes: Mapping[str, torch.dtype]) -> dict[str, Tensor]:
    """Convert tensors back to the smaller data types of the file that they were loaded from, if that is lossless.

    Args:
        tensors: tensors by key.
        dtypes: data types of the file by key.

    Returns:
        all tensors converted, or all unchanged
    """
    narrow = {key: dtype for key, dtype in dtypes.items() if key in tensors and dtype.itemsize < tensors[key].itemsize}
    if any(
        not torch.equal(tensors[key].to(dtype).to(tensors[key].dtype), tensors[key]) for key, dtype in narrow.items()
    ):
        return tensors
    return {key: tensor.to(narrow.get(key, tensor.dtype)) for key, tensor in tensors.items()}


def their_name(rules: Sequence[Rule], name: str) -> str:
    """Return the key of one of our tensors in a checkpoint; several of ours may share a key."""
    return _writer(rules, name)[1]


def unread(rules: Sequence[Rule], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return unused tensors of a checkpoint that transformers expects: second names of other tensors."""
    copies = [rule for rule in rules if isinstance(rule, Copy) and rule.written]
    found = [(key, rule.load(key, tensor)) for key, tensor in tensors.items() for rule in copies]
    return {key: tensors[key] for key, parts in found if parts and all(their_name(rules, n) in tensors for n in parts)}


def _load(rules: Sequence[Rule], key: str, tensor: Tensor) -> tuple[Rule, dict[str, Tensor]] | None:
    for rule in rules:
        parts = rule.load(modern_name(key), tensor)
        if parts is not None:
            return rule, parts
    return None


def _writer(rules: Sequence[Rule], key: str) -> tuple[Rule, str]:
    """Return the rule that saves one of our tensors, and its key in the checkpoint."""
    for rule in rules:
        name = rule.their_name(key)
        if name is not None:
            return rule, name
    raise AssertionError(f"no rule writes {key}")


def _optional(rules: Sequence[Rule], key: str) -> bool:
    # Versions before torch 0.4.1 did not count the batches of a batch norm.
    return key.endswith(".num_batches_tracked") or _writer(rules, key)[0].optional


def _listed(kind: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return [f"{len(items)} {kind} ({', '.join(items[:LISTED])}{more})"]


def _shape(size: torch.Size) -> str:
    return "×".join(str(n) for n in size) or "a number"
