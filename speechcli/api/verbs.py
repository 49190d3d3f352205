"""Functions to load a model, and to transcribe or translate a recording."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechcli.checkpoints.bundle import Bundle
from speechcli.checkpoints.ctc import CtcBundle
from speechcli.errors import InputError, OutOfMemory, UsageError
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.load import load_bundle
from speechcli.pipelines.recognition.listen import Listener, open_recognizer
from speechcli.pipelines.speech_options import ModelOptions, SpeechOptions, TranscribeOptions, TranslateOptions
from speechcli.transcript import Transcript

Recording = str | Path | NDArray[Any]


def load(
    model: str | Path | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: Path | None = None,
    offline: bool = False,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
) -> Bundle | CtcBundle:
    """Load a model for several calls of `transcribe` and `translate`.

    Args:
        model: a folder, or OWNER/NAME[@REVISION] on the Hugging Face Hub; None: the embedded model.
        revision: branch, tag or commit on the Hub.
        token: access token for the Hub.
        cache_dir: folder for downloads.
        offline: do not use the network.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        dtype: number format of weights and activations.

    Raises:
        ModelError: the model does not exist, or cannot be loaded.
        UsageError: the device is not available.
    """
    name = None if model is None else str(model)
    return load_bundle(
        ModelOptions(
            model=name,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            offline=offline,
            device=device,
            dtype=dtype,
        )
    )


def transcribe(
    audio: Recording,
    *,
    model: Bundle | CtcBundle | str | Path | None = None,
    language: str | None = None,
    sample_rate: int | None = None,
    **decoding: Any,
) -> Transcript:
    """Transcribe a recording.

    Args:
        audio: a file, or samples (samples,) of one channel, full scale at 1.
        model: the result of `load`, or its argument.
        language: the spoken language; None: detected by the model, if it can.
        sample_rate: sample rate of samples in Hz; not for files.
        **decoding: values of `DecodingOptions`, such as `beam_size=5`.

    Raises:
        InputError: the recording cannot be read.
        ModelError: the model cannot be loaded, or cannot write text.
        UsageError: an option is not possible.
    """
    options = TranscribeOptions(language=language, decoding=DecodingOptions(**decoding))
    return _listen(audio, options, model, sample_rate)[0]


def translate(
    audio: Recording,
    *,
    to: str | Sequence[str] = (),
    model: Bundle | CtcBundle | str | Path | None = None,
    language: str | None = None,
    sample_rate: int | None = None,
    **decoding: Any,
) -> Transcript | list[Transcript]:
    """Translate a recording.

    Args:
        audio: as in `transcribe`.
        to: the target language, or several, which share one encoder pass; empty: the model's default.
        model: as in `transcribe`.
        language: the spoken language, if known.
        sample_rate: as in `transcribe`.
        **decoding: as in `transcribe`.

    Returns:
        One transcript; or one per language if `to` is a sequence.

    Raises:
        InputError: the recording cannot be read.
        ModelError: the model cannot be loaded, or cannot write text.
        UsageError: an option is not possible.
    """
    targets = (to,) if isinstance(to, str) else tuple(to)
    options = TranslateOptions(language=language, targets=targets, decoding=DecodingOptions(**decoding))
    found = _listen(audio, options, model, sample_rate)
    return found[0] if isinstance(to, str) or not targets else found


def _listen(
    audio: Recording, options: SpeechOptions, model: Bundle | CtcBundle | str | Path | None, sample_rate: int | None
) -> list[Transcript]:
    bundle = model if isinstance(model, Bundle | CtcBundle) else load(model)
    options = replace(options, model=ModelOptions(model=bundle.name))
    listener = Listener(open_recognizer(bundle, options), options)
    if isinstance(audio, str | Path):
        if sample_rate is not None:
            raise UsageError("`sample_rate` belongs to samples, but a file is given.")
        return _transcripts(listener, Path(audio), str(audio))
    _check_samples(audio, sample_rate)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.wav"
        soundfile.write(path, audio.astype(np.float32), sample_rate, subtype="FLOAT")
        return _transcripts(listener, path, "samples")


def _check_samples(audio: object, sample_rate: object) -> None:
    if not isinstance(audio, np.ndarray):
        raise UsageError(f"A recording must be a file or a numpy array, but is a {type(audio).__name__}.")
    if audio.ndim != 1:
        raise UsageError(f"Samples must be one channel, (samples,), but have {audio.ndim} dimensions.")
    if audio.dtype.kind != "f":
        raise UsageError(
            f"Samples must be floating-point numbers with full scale at 1, but are {audio.dtype}.",
            hint="Divide 16-bit integers by 32768.",
        )
    if not isinstance(sample_rate, int | np.integer) or sample_rate < 1:
        raise UsageError(f"`sample_rate` must be a whole number of Hz for samples, but is {sample_rate}.")


def _transcripts(listener: Listener, path: Path, name: str) -> list[Transcript]:
    (outcome,) = listener.listen([Source(path, name, PurePath(path.name))])
    if outcome.failure is not None:
        kind = OutOfMemory if outcome.failure.exit_code == OutOfMemory.exit_code else InputError
        raise kind(outcome.failure.message, hint=outcome.failure.hint)
    return list(outcome.transcripts)
