"""Batches of clips with similar lengths."""

from collections.abc import Sequence


def batches(lengths: Sequence[int], *, max_padded: float, max_items: int) -> list[list[int]]:
    """Group clips into batches, longest first, so that memory runs out early or not at all.

    Args:
        lengths: lengths of the clips.
        max_padded: limit for the longest length times the number of clips; a single clip may exceed it.
        max_items: maximum number of clips in a batch.

    Returns:
        Indices of clips; each index occurs once.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        group = groups[-1] if groups else []
        longest = lengths[group[0]] if group else 0
        if group and len(group) < max_items and longest * (len(group) + 1) <= max_padded:
            group.append(index)
        else:
            groups.append([index])
    return groups
