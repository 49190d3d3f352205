"""The waveform of an utterance."""

import numpy as np
from numpy.typing import NDArray

from speechcli.audio.read import read_audio
from speechcli.data.manifest import Utterance
from speechcli.errors import InputError

Waveform = NDArray[np.float32]
"""(samples,), one channel."""


def read_waveform(utterance: Utterance, sampling_rate: int) -> Waveform:
    """Read the samples of an utterance.

    Args:
        utterance: a file or a part of one.
        sampling_rate: in Hz; the audio is resampled to it.

    Returns:
        Samples (samples,), channels mixed.

    Raises:
        InputError: if the file cannot be read, is damaged, or is empty.
    """
    audio = read_audio(utterance.audio, sample_rate=sampling_rate, start=utterance.start, end=utterance.end)
    if audio.truncated:
        raise InputError(f"`{utterance.audio}` must be complete, as its text is, but it ends early.")
    if not len(audio.samples):
        raise InputError(f"`{utterance.audio}` must have samples, but is empty.")
    return audio.samples
