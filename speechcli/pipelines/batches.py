"""Which clips are decoded together: of like length, and not too many at once."""

from collections.abc import Sequence


def batches(lengths: Sequence[int], *, max_padded: float, max_items: int, equal: bool = False) -> list[list[int]]:
    """Put clips together, longest first, so that memory runs out at once or not at all.

    Args:
        lengths: of the clips.
        max_padded: the longest length times the number of clips stays below this, except for a single clip.
        max_items: clips in a batch.
        equal: only clips of one and the same length; for models that must not see padding.

    Returns:
        Indices of clips; each index occurs once.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        group = groups[-1] if groups else []
        longest = lengths[group[0]] if group else 0
        fits = group and len(group) < max_items and longest * (len(group) + 1) <= max_padded
        if fits and (not equal or lengths[index] == longest):
            group.append(index)
        else:
            groups.append([index])
    return groups
