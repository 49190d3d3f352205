"""What a larger encoder made of recordings, for a smaller one to learn from."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from speechcli.data.manifest import Utterance


def read_teacher(utterances: Sequence[Utterance]) -> tuple[Tensor | None, Tensor | None]:
    """Read what a larger encoder made of some utterances.

    Returns:
        frames (batch, teacher frames, teacher width), padded with 0, and their real lengths (batch,), 0 for an
        utterance without; (None, None) where none has any
    """
    read = [None if u.teacher is None else torch.from_numpy(np.load(u.teacher)).float() for u in utterances]
    given = [frames for frames in read if frames is not None]
    if not given:
        return None, None
    lengths = torch.tensor([0 if frames is None else len(frames) for frames in read])
    padded = torch.zeros(len(read), int(lengths.max()), given[0].size(1))
    for row, frames in zip(padded, read, strict=True):
        if frames is not None:
            row[: len(frames)] = frames
    return padded, lengths
