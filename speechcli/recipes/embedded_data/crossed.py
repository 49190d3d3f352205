"""New sentences out of the words of real prompts, in the voice that said them.

    python -m speechcli.recipes.embedded_data.crossed --model run7/last --data RECORDINGS --out data \
        --catalogues CATALOGUES

In: the folder of the recordings, and a model whose CTC head finds where each word of the training prompts ends. Out,
below --out: ``train/crossed_<language>.tsv`` and the audio.

Two prompts that share a word become a third: the one up to that word, the other from there on. Each pair of neighbours
was said together by somebody, so what arises sounds like the voice and reads almost like a sentence. Sentences of the
catalogues whose words were all said are put together from runs as long as can be found; they have translations.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch

from speechcli.audio.read import read_audio
from speechcli.checkpoints.bundle import Bundle, load
from speechcli.errors import ModelError
from speechcli.pipelines.recognition.words import WordAligner
from speechcli.recipes.embedded_data.arguments import make_parser
from speechcli.recipes.embedded_data.catalogues import read_catalogues
from speechcli.recipes.embedded_data.manifest import (
    LANGUAGES,
    Row,
    held_out_manifests,
    held_out_texts,
    normalise,
    write_rows,
)
from speechcli.recipes.embedded_data.real import real_rows
from speechcli.recipes.embedded_data.speech import RATE, faded
from speechcli.recipes.embedded_data.voices import Samples

MINUTES = 60.0
"""Of crossed prompts, each language."""
LONGEST = 14
"""Words of a sentence."""
MOST_RECORDINGS = 100_000
"""Of a language, those that were tried and left out counted."""
SEARCH, FADE = int(0.06 * RATE), int(0.008 * RATE)
"""How far from its estimated end a word may be cut, and how long the two sides overlap."""


Run = tuple[int, int, int]
"""Words that were said together: the prompt, the first word, and the word after the last."""


class Cut(NamedTuple):
    """A word of a prompt as it is written, and the samples in which it is said."""

    text: str
    start: int
    end: int


@dataclass
class Voice:
    """The prompts of one language, cut into words."""

    prompts: list[list[Cut]] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    places: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Normalised word to the (prompt, word) numbers where it is said."""

    def add(self, words: list[Cut], samples: Samples) -> None:
        """Adds a prompt."""
        for number, word in enumerate(words):
            self.places[normalise(word.text)].append((len(self.prompts), number))
        self.prompts.append(words)
        self.samples.append(samples)

    def written(self, run: Run) -> list[str]:
        """Returns the words of a run."""
        prompt, first, end = run
        return [word.text for word in self.prompts[prompt][first:end]]

    def said(self, runs: Sequence[Run]) -> Samples:
        """Joins runs, each fading into the next."""
        joined = np.zeros(0, np.float32)
        for prompt, first, end in runs:
            words = self.prompts[prompt]
            piece = self.samples[prompt][words[first].start : words[end - 1].end]
            if min(len(joined), len(piece)) > FADE:
                joined = faded(joined, piece, FADE)
            else:
                joined = np.concatenate([joined, piece])
        return joined


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the recordings."""
    parser = make_parser(
        "speechcli.recipes.embedded_data.crossed", __doc__, "--model", "--data", "--out", "--catalogues"
    )
    options = parser.parse_args(arguments)
    held_out = held_out_texts(held_out_manifests(options.data))
    bundle, rows = load(options.model), real_rows(options.data, "asterisk", "train")
    texts = [texts for _, texts in read_catalogues(options.catalogues)] if options.catalogues else []
    for language in LANGUAGES:
        voice = cut([row for row in rows if row.language == language], bundle)
        made = list(speak(voice, language, texts, held_out, options.out.resolve() / "audio" / "crossed"))
        write_rows(options.out / "train" / f"crossed_{language}.tsv", made)


def speak(
    voice: Voice, language: str, texts: Sequence[dict[str, str]], held_out: frozenset[str], folder: Path
) -> Iterator[Row]:
    """Puts new sentences together.

    Args:
        voice: the prompts of the language.
        language: two letters.
        texts: sentences with translations, to be said where the words are there.
        held_out: normalised texts that must not arise.
        folder: where the audio goes.

    Yields:
        a row for each recording written
    """
    choice = random.Random(f"crossed {language}")
    (folder / language).mkdir(parents=True, exist_ok=True)
    seen = {normalise(" ".join(word.text for word in words)) for words in voice.prompts}

    def record(number: int, runs: list[Run], said: dict[str, str]) -> Iterator[Row]:
        new = bool(runs) and normalise(said[language]) not in seen
        if new and not any(normalise(text) in held_out for text in said.values()):
            seen.add(normalise(said[language]))
            samples = voice.said(runs)
            path = folder / language / f"{language}-{number:06d}.flac"
            soundfile.write(path, samples.clip(-1, 1), RATE, subtype="PCM_16")
            yield Row(f"crossed/{path.stem}", path, len(samples) / RATE, f"crossed {language}", language, said)

    covered = ((cover(voice, each[language], choice), each) for each in texts if language in each)
    sentences = [(runs, each) for runs, each in covered if runs]
    for number, (runs, translated) in enumerate(sentences):
        yield from record(number, runs, translated)
    seconds = 0.0
    for number in range(len(sentences), MOST_RECORDINGS):
        if seconds >= MINUTES * 60:
            return
        runs = cross(voice, choice)
        for row in record(number, runs, {language: " ".join(word for run in runs for word in voice.written(run))}):
            seconds += row.seconds
            yield row


def cross(voice: Voice, choice: random.Random) -> list[Run]:
    """Two prompts that share a word, the one up to it and the other behind it; nothing where that failed."""
    one = choice.randrange(len(voice.prompts))
    words = voice.prompts[one]
    at = choice.randrange(len(words))
    other, there = choice.choice(voice.places[normalise(words[at].text)])
    after = len(voice.prompts[other]) - there - 1
    if other == one or not after or at + 1 + after > LONGEST:
        return []
    return [(one, 0, at + 1), (other, there + 1, len(voice.prompts[other]))]


def cover(voice: Voice, text: str, choice: random.Random) -> list[Run]:
    """The runs of prompts that say a text, the longest first found; nothing where a word was never said."""
    wanted = [normalise(word) for word in text.split()]
    runs, now = [], 0
    while now < len(wanted):
        places = voice.places.get(wanted[now], [])
        if not places:
            return []
        found = [(prompt, number, number + _same(voice, prompt, number, wanted[now:])) for prompt, number in places]
        most = max(end - first for _, first, end in found)
        runs.append(choice.choice([run for run in found if run[2] - run[1] == most]))
        now += most
    return runs if len(wanted) > 1 else []


def _same(voice: Voice, prompt: int, number: int, wanted: Sequence[str]) -> int:
    """How many words from there on are the wanted ones."""
    count = 0
    for word, want in zip(voice.prompts[prompt][number:], wanted, strict=False):
        if normalise(word.text) != want:
            break
        count += 1
    return count


@torch.inference_mode()
def cut(rows: Sequence[Row], bundle: Bundle) -> Voice:
    """Cuts recordings into their words.

    Raises:
        ModelError: the model has no CTC head.
    """
    head, tokenizer, features = bundle.model.ctc_head, bundle.tokenizer, bundle.features
    if head is None or tokenizer is None or features is None:
        raise ModelError(f"The model must have a CTC head and a tokenizer, but {bundle.name} has not.")
    blank = bundle.settings["ctc"]["blank_id"]
    aligner = WordAligner(tokenizer.decode, blank=blank, silent=set(), vocabulary=head.out_features)
    voice = Voice()
    for row in rows:
        sound = read_audio(row.path, sample_rate=RATE).samples
        batch = features([sound])
        logits = head(bundle.model.encode(batch.values, batch.lengths).frames)[0]
        tokens = tokenizer.encode(row.transcript)
        seconds = len(sound) / RATE
        timed = aligner.align(logits, tokens, [0.0] * len(tokens), seconds=seconds, spaced=True)
        # a dash between two words is no word
        spoken = [word for word in timed or () if normalise(word.word)]
        if not spoken:
            continue
        cuts = [0]
        for left, right in zip(spoken, spoken[1:], strict=False):
            cuts.append(max(cuts[-1], quietest(sound, int((left.end + right.start) / 2 * RATE))))
        cuts.append(len(sound))
        voice.add([Cut(word.word, *ends) for word, *ends in zip(spoken, cuts, cuts[1:], strict=False)], sound)
    return voice


def quietest(samples: Samples, near: int) -> int:
    """The sample around which 10 ms are the quietest, not far from the given one."""
    size = RATE // 100
    first = max(0, near - SEARCH)
    energy = np.convolve(np.square(samples[first : near + SEARCH + size]), np.ones(size), mode="valid")
    return first + size // 2 + int(energy.argmin()) if len(energy) else near


if __name__ == "__main__":
    main()
