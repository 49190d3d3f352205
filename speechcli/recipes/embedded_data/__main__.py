"""Makes the embedded model's training data.

In: the folders `asterisk`, `fsdd`, `an4` and `arabic_commands`, each with train.tsv, dev.tsv and test.tsv
(default_model/ATTRIBUTION.md says where the recordings are from).
Out, below --out: ``train/*.tsv`` and ``dev/*.tsv`` with absolute audio paths, ``audio/`` with what is made here,
``tokenizer/``, and ``SOURCES.tsv``, the texts' sources and licences.

No synthetic or joined recording has a text that a dev or test recording has, in any language: `manifest.normalise` says
how texts are compared.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from speechcli.errors import SpeechCliError
from speechcli.recipes.embedded_data.arguments import exit_code, make_parser, say
from speechcli.recipes.embedded_data.catalogues import CATALOGUES
from speechcli.recipes.embedded_data.manifest import (
    LANGUAGES,
    Row,
    held_out_manifests,
    held_out_texts,
    normalise,
    read_rows,
    write_rows,
)
from speechcli.recipes.embedded_data.real import SETS, join_digits, join_prompts, join_spelling, real_rows
from speechcli.recipes.embedded_data.sentences import Sentences, choose
from speechcli.recipes.embedded_data.speech import HOURS, plan, speak
from speechcli.recipes.embedded_data.vocabulary import train_vocabulary


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the data; returns the exit code."""
    options = _options(arguments)
    return exit_code(
        lambda: _make(options.data, options.out, options.catalogues, options.share, options.processes, options.seed)
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser("speechcli.recipes.embedded_data", __doc__, "--data", "--out", "--catalogues")
    parser.add_argument("--share", type=float, default=1.0, help="part of the synthetic hours to make; 0 for none")
    parser.add_argument("--processes", type=int, default=2, help="synthesisers that run at once")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def _make(data: Path, out: Path, catalogues: Path | None, share: float, processes: int, seed: int) -> None:
    manifests = held_out_manifests(data)
    held_out = held_out_texts(manifests)
    say(f"{len(held_out)} texts of {len(manifests)} dev and test manifests are kept out")
    out = out.resolve()
    real = _write_real(data, out)
    for name, join in (("prompts", join_prompts), ("digits", join_digits), ("spelling", join_spelling)):
        rows = list(join(data, out / "audio" / "joined", held_out, seed))
        _report(f"joined_{name}", rows)
        write_rows(out / "train" / f"joined_{name}.tsv", rows)
    sentences = choose(real_rows(data, "asterisk", "train"), catalogues, held_out, seed)
    _write_sources(out / "SOURCES.tsv", sentences)
    train_vocabulary(_texts(real, sentences), out / "tokenizer")
    hours = {language: share * wanted for language, wanted in HOURS.items()}
    lines = plan(sentences.chosen, out / "audio" / "synthetic", seed)
    for count, _ in enumerate(speak(lines, out / "train", hours, processes)):
        if count % 1000 == 0:
            say(f"{count} sentences spoken")
    _check(out / "train", held_out)


def _write_real(data: Path, out: Path) -> list[Row]:
    train = []
    for name in SETS:
        for split in ("train", "dev"):
            rows = real_rows(data, name, split)
            write_rows(out / split / f"{name}.tsv", rows)
            train += rows if split == "train" else []
        _report(name, [row for row in train if row.path.is_relative_to((data / name).resolve())])
    return train


def _texts(real: Sequence[Row], sentences: Sentences) -> dict[str, list[str]]:
    texts: dict[str, set[str]] = defaultdict(set)
    for each in (*(row.texts for row in real), *(texts for _, texts in sentences.chosen)):
        for language, text in each.items():
            texts[language].add(text)
    return {language: sorted(texts[language]) for language in (*LANGUAGES, "ar")}


def _write_sources(path: Path, sentences: Sentences) -> None:
    """The texts' sources with their licences, how many sentences each gives and how many the leak filter took."""
    known = {catalogue.name: catalogue for catalogue in CATALOGUES}
    lines = ["source\tversion\tlicence\tholder\tsentences\ttexts\tdropped sentences\tdropped texts"]
    used, texts = Counter(source for source, _ in sentences.chosen), Counter[str]()
    for source, each in sentences.chosen:
        texts[source] += len(each)
    for source in sorted(used | sentences.dropped):
        if source.startswith("asterisk"):
            licence = "train.tsv\tCC BY-SA 3.0 (it, ru: CC BY 3.0)\tDigium, Inc. and the translators"
        elif source in known:
            licence = f"{known[source].version}\t{known[source].licence}\t{known[source].holder}"
        else:
            licence = f"{'announcements' if source == 'announcement' else 'phrases'}.tsv\tas this program\tthis program"
        counts = (used[source], texts[source], sentences.dropped_sentences[source], sentences.dropped[source])
        lines.append("\t".join((source, licence, *map(str, counts))))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    total = sum(used.values()), sum(texts.values())
    say(f"{total[0]} sentences, {total[1]} texts; the leak filter dropped {sum(sentences.dropped_sentences.values())} "
         f"sentences, {sum(sentences.dropped.values())} texts")  # fmt: skip


def _check(folder: Path, held_out: frozenset[str]) -> None:
    """Reads what was written and looks for dev and test texts once more."""
    for path in sorted(folder.glob("*.tsv")):
        rows = read_rows(path)
        _report(path.stem, rows)
        if path.stem.startswith(("joined", "synthetic")):
            leaks = [row.id for row in rows if any(normalise(text) in held_out for text in row.texts.values())]
            if leaks:
                raise SpeechCliError(f"{path} must not repeat a dev or test text; it does in {', '.join(leaks[:5])}")


def _report(name: str, rows: Sequence[Row]) -> None:
    minutes: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        minutes[row.language] += row.seconds / 60
    each = ", ".join(f"{language} {value:.1f} min" for language, value in sorted(minutes.items()))
    say(f"{name}: {len(rows)} recordings, {each}")


if __name__ == "__main__":
    raise SystemExit(main())
