"""Decode the recordings of manifests, to find broken, silent and duplicate ones."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from speechcli.audio.inside import AudioFile
from speechcli.audio.read import read_audio
from speechcli.data.manifest import Utterance
from speechcli.errors import SpeechCliError

# Recordings are resampled to this rate to be compared.
SAMPLE_RATE = 16_000
# Dithered or digital silence stays below two steps of 16-bit audio.
SILENT_PEAK = 2 / 32_768

Place = tuple[AudioFile, float | None, float | None]
"""A file, with start and end in seconds."""


class DecodedAudio(NamedTuple):
    """The result of decoding an utterance."""

    seconds: float
    digest: str | None
    """Digest of the samples; None if the audio cannot be read."""
    silent: bool = False
    problem: str | None = None
    """Why it cannot be used, in a sentence."""


def place_of(utterance: Utterance) -> Place:
    """Return the file of an utterance with start and end."""
    return utterance.audio, utterance.start, utterance.end


def listen_to(
    utterances: Sequence[Utterance],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Place, DecodedAudio]:
    """Decode every recording.

    Args:
        utterances: the utterances; each part of a file is decoded once.
        workers: threads that decode.
        progress: called with the number of decoded recordings and their total.
    """
    places = list(dict.fromkeys(map(place_of, utterances)))
    decoded: dict[Place, DecodedAudio] = {}
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for place, found in zip(places, pool.map(_listen, places), strict=True):
            decoded[place] = found
            progress(len(decoded), len(places))
    return decoded


def _listen(place: Place) -> DecodedAudio:
    file, start, end = place
    try:
        audio = read_audio(file, sample_rate=SAMPLE_RATE, start=start, end=end)
    except (SpeechCliError, OSError) as error:
        return DecodedAudio(0.0, None, problem=str(error))
    if audio.truncated or not len(audio.samples):
        problem = f"`{file}` {'ends early' if len(audio.samples) else 'is empty'}."
        return DecodedAudio(audio.seconds, None, problem=problem)
    steps = np.rint(np.clip(audio.samples, -1, 1) * 32_767).astype(np.int16)
    digest = hashlib.blake2b(steps.tobytes(), digest_size=16).hexdigest()
    return DecodedAudio(audio.seconds, digest, silent=float(np.abs(audio.samples).max()) < SILENT_PEAK)
