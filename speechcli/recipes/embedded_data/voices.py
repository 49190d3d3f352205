"""The synthesisers, each with many voices, speeds and pitches.

Needs the programs `espeak-ng`, `flite` and `festival` with the voice `festvox-ru` (Debian packages of those names), and
the Python package `py-nanotts` (SVOX Pico, Apache-2.0).
"""

import importlib.util
import random
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from shutil import which

import numpy as np
import numpy.typing as npt

from speechcli.errors import InputError, UsageError

Samples = npt.NDArray[np.float32]
Spoken = tuple[Samples, int, str]
FLITE_VOICES = ("slt", "slt", "slt", "rms", "awb", "kal16", "kal")
ACCENTS = {
    "en": ("en-us", "en-us", "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-gb-x-gbclan"),
    "es": ("es-419", "es-419", "es"),
    "fr": ("fr-fr", "fr-be", "fr-ch"),
    "it": ("it",),
    "ru": ("ru",),
}
VARIANTS = (
    "f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 Alicia Andrea Annie anika Belinda Linda steph steph2 Adam Alex Antonio "
    "Denis Diogo Ed Gene Henrique Hugo Jacky John Lee Marco Mario Max Michael Miguel Mike Pablo Paul Pedro Quincy Rob "
    "klatt2 sandro"
).split()
PICO_VOICES = {"en": ("en-US", "en-US", "en-GB"), "es": ("es-ES",), "fr": ("fr-FR",), "it": ("it-IT",)}


def say(text: str, language: str, choice: random.Random) -> Spoken:
    """Speaks one sentence with a voice drawn at random.

    Args:
        text: what to say.
        language: one of the keys of `SYNTHESISERS`.
        choice: draws the synthesiser, its voice, speed and pitch.

    Returns:
        Samples between -1 and 1, their rate in hertz, and the voice's name.

    Raises:
        InputError: the synthesiser said nothing.
    """
    synthesisers, weights = zip(*SYNTHESISERS[language], strict=True)
    samples, rate, voice = choice.choices(synthesisers, weights)[0](text, language, choice)
    if len(samples) < 1000 or float(np.abs(samples).max()) < 0.01:
        raise InputError(f"the voice {voice} must say something for {text!r}; it was silent")
    return samples, rate, voice


def check_installed() -> None:
    """Raises a UsageError that names what is not installed."""
    programs = [name for name in ("espeak-ng", "flite", "festival") if which(name) is None]
    packages = [] if importlib.util.find_spec("py_nanotts") else ["py-nanotts"]
    if programs or packages:
        raise UsageError(
            f"synthetic speech needs {' and '.join(programs + packages)}",
            hint="apt-get install espeak-ng flite festvox-ru; pip install py-nanotts",
        )


def _espeak(text: str, language: str, choice: random.Random) -> Spoken:
    voice = f"{choice.choice(ACCENTS[language])}+{choice.choice(VARIANTS)}"
    speed, pitch = choice.randint(125, 190), choice.randint(30, 75)
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", "--", text]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    return _from_int16(wav[44:]), int.from_bytes(wav[24:28], "little"), f"espeak-{voice}"


def _flite(text: str, language: str, choice: random.Random) -> Spoken:
    voice = choice.choice(FLITE_VOICES)
    base = 175 if voice == "slt" else 115
    settings = {"duration_stretch": choice.uniform(0.85, 1.3), "int_f0_target_mean": base * choice.uniform(0.8, 1.25)}
    options = [part for name, value in settings.items() for part in ("--setf", f"{name}={value:.2f}")]
    return _through_file(lambda path: ["flite", "-voice", voice, *options, "-t", text, "-o", path], f"flite-{voice}")


def _pico(text: str, language: str, choice: random.Random) -> Spoken:
    from py_nanotts import NanoTTS  # type: ignore[import-untyped,import-not-found,unused-ignore]

    voice = choice.choice(PICO_VOICES[language])
    speed, pitch = choice.uniform(0.85, 1.3), choice.uniform(0.75, 1.25)
    return _from_int16(NanoTTS().speak(text, voice=voice, speed=speed, pitch=pitch)), 16_000, f"pico-{voice}"


def _festival(text: str, language: str, choice: random.Random) -> Spoken:
    said = re.sub(r"[^\w ,.?!]", " ", text)

    def command(path: str) -> list[str]:
        return ["festival", "-b", "(voice_msu_ru_nsh_clunits)",
                f'(utt.save.wave (utt.synth (Utterance Text "{said}")) "{path}" \'riff)']  # fmt: skip

    try:
        return _through_file(command, "festival-msu_ru_nsh")
    except subprocess.CalledProcessError:
        # Its recordings lack some neighbours of sounds.
        return _espeak(text, language, choice)


SYNTHESISERS: dict[str, tuple[tuple[Callable[[str, str, random.Random], Spoken], float], ...]] = {
    "en": ((_pico, 0.5), (_flite, 0.25), (_espeak, 0.25)),
    "es": ((_pico, 0.65), (_espeak, 0.35)),
    "fr": ((_pico, 0.65), (_espeak, 0.35)),
    "it": ((_pico, 0.65), (_espeak, 0.35)),
    "ru": ((_festival, 0.6), (_espeak, 0.4)),
}  # fmt: skip


def _from_int16(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)


def _through_file(command: Callable[[str], list[str]], voice: str) -> Spoken:
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(command(str(path)), check=True, capture_output=True)
        samples, rate = soundfile.read(path, dtype="float32")
    return samples, int(rate), voice
