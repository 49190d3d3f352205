"""New recordings out of the words of others, for a set with few words: each is said by one speaker of the set.

    python -m speechcli.recipes.spliced --model run3/last --data train.tsv --out spliced --hours 4

In: a manifest with speakers, and a model whose CTC head finds where words end. Out: ``train.tsv`` and the audio. Up to
three words that were said together stay together; the rarer a word in the manifest, the more often it is chosen.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import soundfile

from speechcli.checkpoints.bundle import load
from speechcli.recipes.embedded_data.arguments import make_parser
from speechcli.recipes.embedded_data.crossed import Run, Voice, cut
from speechcli.recipes.embedded_data.manifest import Row, read_rows, write_rows
from speechcli.recipes.embedded_data.speech import RATE

LONGEST = 9
"""Words of a recording."""
TOGETHER = (1, 1, 2, 3)
"""Words of a run, before the end of its recording cuts it short."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the recordings."""
    parser = make_parser("speechcli.recipes.spliced", __doc__, "--model", "--data", "--out")
    parser.add_argument("--hours", type=float, default=4.0, help="how much to make")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices")
    options = parser.parse_args(arguments)
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(options.data):
        rows[row.speaker].append(row)
    bundle = load(options.model)
    voices = {speaker: cut(rows[speaker], bundle) for speaker in sorted(rows)}
    folder = options.out.resolve() / "audio"
    made = splice(
        voices, next(iter(rows.values()))[0].language, options.hours * 3600, random.Random(options.seed), folder
    )
    write_rows(options.out / "train.tsv", made)


def splice(
    voices: Mapping[str, Voice], language: str, seconds: float, choice: random.Random, folder: Path
) -> Iterator[Row]:
    """Puts new recordings together.

    Args:
        voices: the recordings of each speaker, cut into words.
        language: two letters.
        seconds: of audio to make.
        choice: makes all choices.
        folder: where the audio goes.

    Yields:
        a row for each recording written
    """
    folder.mkdir(parents=True, exist_ok=True)
    voices = {speaker: voice for speaker, voice in voices.items() if voice.prompts}
    counts = Counter(word.text for voice in voices.values() for prompt in voice.prompts for word in prompt)
    number = 0
    while seconds > 0:
        speaker = choice.choice(list(voices))
        voice = voices[speaker]
        runs = runs_of(voice, counts, choice.randint(1, LONGEST), choice)
        samples = voice.said(runs)
        path = folder / f"{number:06d}.flac"
        soundfile.write(path, samples.clip(-1, 1), RATE, subtype="PCM_16")
        text = " ".join(word for run in runs for word in voice.written(run))
        yield Row(f"spliced/{path.stem}", path, len(samples) / RATE, speaker, language, {language: text})
        seconds -= len(samples) / RATE
        number += 1


def runs_of(voice: Voice, counts: Mapping[str, int], length: int, choice: random.Random) -> list[Run]:
    """Runs of this many words in all, each beginning at a word drawn by the inverse root of its count."""
    places = [(prompt, first) for prompt, words in enumerate(voice.prompts) for first in range(len(words))]
    weights = [counts[voice.prompts[prompt][first].text] ** -0.5 for prompt, first in places]
    runs: list[Run] = []
    while length > 0:
        ((prompt, first),) = choice.choices(places, weights)
        words = min(choice.choice(TOGETHER), len(voice.prompts[prompt]) - first, length)
        runs.append((prompt, first, first + words))
        length -= words
    return runs


if __name__ == "__main__":
    main()
