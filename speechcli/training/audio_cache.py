"""Decoded audio kept in memory, so that each file is decoded once in a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechcli.data.collate import read_waveform
from speechcli.data.manifest import Utterance
from speechcli.errors import SpeechCliError

INT16_STEPS = 32768.0


@dataclass(frozen=True)
class AudioCache:
    """Read utterances from memory; what is not there is read from its file.

    Worker processes share the memory with the process that filled it.
    """

    samples: dict[str, NDArray[np.int16]]
    """Utterance id -> (samples,)."""
    sampling_rate: int
    """In Hz."""

    def __call__(self, utterance: Utterance) -> NDArray[np.float32]:
        """Return samples (samples,) between -1 and 1."""
        kept = self.samples.get(utterance.id)
        if kept is None:
            return read_waveform(utterance, self.sampling_rate)
        return kept.astype(np.float32) / np.float32(INT16_STEPS)


def fill_cache(utterances: Sequence[Utterance], sampling_rate: int) -> AudioCache:
    """Decode all utterances to 16 bits; files that cannot be read are left for the run to report."""
    kept: dict[str, NDArray[np.int16]] = {}
    for utterance in utterances:
        try:
            waveform = read_waveform(utterance, sampling_rate)
        except (SpeechCliError, OSError):
            continue
        kept[utterance.id] = np.clip(np.rint(waveform * INT16_STEPS), -INT16_STEPS, INT16_STEPS - 1).astype(np.int16)
    return AudioCache(kept, sampling_rate)
