"""Single digits out of AN4: many more voices for the ten words that fsdd has of five.

    python -m speechcli.recipes.embedded_data.isolated --model run7/last --data RECORDINGS --out data

In: the folder of the recordings, and a model whose CTC head finds where words end. Out, below --out:
``train/isolated_digits.tsv`` and the audio, cut close to the word and at 8 kHz, as fsdd is. The texts are the ten words
of fsdd, which its training and its test recordings share.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechcli.checkpoints.bundle import load
from speechcli.recipes.embedded_data.crossed import RATE, Samples, cut
from speechcli.recipes.embedded_data.manifest import DIGITS, LANGUAGES, Row, write_rows
from speechcli.recipes.embedded_data.real import real_rows

NARROW = 8_000
SHORTEST = int(0.12 * NARROW)
FRAME = NARROW // 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the recordings."""
    parser = argparse.ArgumentParser(
        prog="python -m speechcli.recipes.embedded_data.isolated", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--model", type=Path, required=True, help="folder of a model with a CTC head")
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--split", default="train", choices=("train", "dev"), help="recordings to cut; dev to measure")
    options = parser.parse_args(arguments)
    rows = real_rows(options.data, "an4", options.split)
    folder = options.out.resolve() / "audio" / "isolated" / options.split
    folder.mkdir(parents=True, exist_ok=True)
    made = list(digits(rows, options.model, folder))
    write_rows(options.out / options.split / "isolated_digits.tsv", made)


def digits(rows: Sequence[Row], model: Path, folder: Path) -> Iterator[Row]:
    """Cuts the digits out of recordings.

    Args:
        rows: recordings of AN4.
        model: folder of a model with a CTC head.
        folder: where the audio goes.

    Yields:
        a row for each recording written
    """
    bundle = load(model)
    for row in rows:
        voice = cut([row], bundle)
        for words, samples in zip(voice.prompts, voice.samples, strict=True):
            for number, word in enumerate(words):
                if word.text not in DIGITS["en"]:
                    continue
                said = trimmed(soxr.resample(samples[word.start : word.end], RATE, NARROW))
                if len(said) < SHORTEST:
                    continue
                path = folder / f"{Path(row.path).stem}-{number}.flac"
                soundfile.write(path, said.clip(-1, 1), NARROW, subtype="PCM_16")
                digit = DIGITS["en"].index(word.text)
                texts = {language: DIGITS[language][digit] for language in LANGUAGES}
                yield Row(f"isolated/{path.stem}", path, len(said) / NARROW, row.speaker, "en", texts)


def trimmed(samples: Samples) -> Samples:
    """Leaves out what is more than 30 dB below the loudest 10 ms at both ends."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames):
        return samples
    power = np.square(frames).mean(1)
    loud = np.flatnonzero(power > power.max() * 1e-3)
    return samples[loud[0] * FRAME : (loud[-1] + 1) * FRAME]


if __name__ == "__main__":
    main()
