"""Single digits out of AN4: many more voices for the ten words that fsdd has of five.

    python -m speechcli.recipes.embedded_data.isolated --model run16/last --data RECORDINGS --out data

In: the folder of the recordings, and a model whose CTC head finds where words end. Out, below --out:
``train/isolated_digits.tsv`` and the audio, cut close to the word and at 8 kHz, as fsdd is. The texts are the ten words
of fsdd, which its training and its test recordings share.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechcli.checkpoints.bundle import Bundle, load
from speechcli.recipes.embedded_data.arguments import make_parser
from speechcli.recipes.embedded_data.crossed import cut
from speechcli.recipes.embedded_data.manifest import DIGITS, Row, write_rows
from speechcli.recipes.embedded_data.real import real_rows, with_digits
from speechcli.recipes.embedded_data.speech import RATE
from speechcli.recipes.embedded_data.voices import Samples

NARROW = 8_000
SHORTEST = int(0.12 * NARROW)
FRAME = NARROW // 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the recordings."""
    parser = make_parser("speechcli.recipes.embedded_data.isolated", __doc__, "--model", "--data", "--out")
    options = parser.parse_args(arguments)
    folder = options.out.resolve() / "audio" / "isolated"
    folder.mkdir(parents=True, exist_ok=True)
    made = digits(real_rows(options.data, "an4", "train"), load(options.model), folder)
    write_rows(options.out / "train" / "isolated_digits.tsv", made)


def digits(rows: Sequence[Row], bundle: Bundle, folder: Path) -> Iterator[Row]:
    """Cuts the digits out of recordings.

    Args:
        rows: recordings of AN4.
        bundle: a model with a CTC head.
        folder: where the audio goes.

    Yields:
        a row for each recording written
    """
    for row in rows:
        for number, (word, samples) in enumerate(_words(row, bundle)):
            if word not in DIGITS["en"]:
                continue
            said = trimmed(soxr.resample(samples, RATE, NARROW))
            if len(said) < SHORTEST:
                continue
            path = folder / f"{row.path.stem}-{number}.flac"
            soundfile.write(path, said.clip(-1, 1), NARROW, subtype="PCM_16")
            yield with_digits(Row(f"isolated/{path.stem}", path, len(said) / NARROW, row.speaker, "en", {"en": word}))


def _words(row: Row, bundle: Bundle) -> Iterator[tuple[str, Samples]]:
    voice = cut([row], bundle)
    for words, samples in zip(voice.prompts, voice.samples, strict=True):
        yield from ((word.text, samples[word.start : word.end]) for word in words)


def trimmed(samples: Samples) -> Samples:
    """Leaves out what is more than 30 dB below the loudest 10 ms at both ends."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames):
        return samples
    power = np.square(frames).mean(1)
    loud = np.flatnonzero(power >= power.max() * 1e-3)
    return samples[loud[0] * FRAME : (loud[-1] + 1) * FRAME]


if __name__ == "__main__":
    main()
