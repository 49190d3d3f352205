"""Teacher labels: classes that a larger encoder assigns to frames, for distillation."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from speechcli.data.manifest import Utterance
from speechcli.models.speech_encoder_decoder import IGNORED_LABEL


def read_teacher(utterances: Sequence[Utterance]) -> Tensor | None:
    """Read the teacher labels of some utterances.

    Returns:
        (batch, teacher frames), padded with -100; None if no utterance has labels.

    Raises:
        OSError: a file cannot be read.
    """
    read = [None if u.teacher is None else torch.from_numpy(np.load(u.teacher).astype(np.int64)) for u in utterances]
    longest = max((len(classes) for classes in read if classes is not None), default=0)
    if not longest:
        return None
    padded = torch.full((len(read), longest), IGNORED_LABEL)
    for row, classes in zip(padded, read, strict=True):
        if classes is not None:
            row[: len(classes)] = classes
    return padded
