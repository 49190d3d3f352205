"""A cache of decoded training audio in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechcli.data.manifest import Utterance
from speechcli.data.waveform import Waveform, read_waveform
from speechcli.errors import SpeechCliError

INT16_STEPS = 32768.0
Kept = NDArray[np.int16] | Waveform


@dataclass(frozen=True)
class AudioCache:
    """Reads utterances from the cache, or else from their files.

    Worker processes share the memory with the process that filled it.
    """

    samples: dict[str, Kept]
    """Utterance id -> (samples,); 16-bit integers if that is lossless."""
    sampling_rate: int
    """In Hz."""

    def __call__(self, utterance: Utterance) -> Waveform:
        """Return samples (samples,) between -1 and 1."""
        kept = self.samples.get(utterance.id)
        if kept is None:
            return read_waveform(utterance, self.sampling_rate)
        return _widened(kept)


def fill_cache(utterances: Sequence[Utterance], sampling_rate: int) -> AudioCache:
    """Decode all utterances; unreadable files are skipped here and reported by the run."""
    kept: dict[str, Kept] = {}
    for utterance in utterances:
        try:
            waveform = read_waveform(utterance, sampling_rate)
        except (SpeechCliError, OSError):
            continue
        kept[utterance.id] = _narrowed(waveform)
    return AudioCache(kept, sampling_rate)


def _narrowed(waveform: Waveform) -> Kept:
    """Halve the memory of 16-bit files; resampled ones stay as they are.

    Rounding a resampled telephone recording would add noise above 4 kHz that `transcribe` does not have, and per-band
    normalization would amplify it to the level of speech.
    """
    steps = np.clip(np.rint(waveform * INT16_STEPS), -INT16_STEPS, INT16_STEPS - 1).astype(np.int16)
    return steps if np.array_equal(_widened(steps), waveform) else waveform


def _widened(kept: Kept) -> Waveform:
    wide = kept.astype(np.float32, copy=False)
    return wide / np.float32(INT16_STEPS) if kept.dtype == np.int16 else wide
