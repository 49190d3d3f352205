"""Learn a tokenizer from the texts of manifests, for a model with random weights."""

import re
from dataclasses import dataclass
from pathlib import Path

from speechcli.data.manifest import ManifestOptions, read_manifest
from speechcli.errors import InputError, UsageError
from speechcli.pipelines.files.outputs import refuse_replacing, write_atomically
from speechcli.text.languages import language_code
from speechcli.text.learn import learn_vocabulary
from speechcli.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class VocabularyOptions:
    """What to learn, and from which texts."""

    manifests: tuple[Path, ...]
    """Manifests whose texts are read; their recordings need not exist."""
    output_dir: Path
    """Folder for the files of the tokenizer."""
    size: int
    """Maximum number of tokens."""
    lowercase: bool = False
    """Lowercase the texts."""
    languages: tuple[str, ...] = ()
    """Languages whose texts are read; empty: all."""
    overwrite: bool = False
    """Replace an existing tokenizer."""


@dataclass(frozen=True)
class VocabularyReport:
    """What was learned."""

    folder: Path
    texts: int
    tokens: int
    tags: tuple[str, ...]
    """Language tags; empty if there is only one language."""


def make_vocabulary(options: VocabularyOptions) -> VocabularyReport:
    """Learn a vocabulary and write it.

    Raises:
        InputError: a manifest cannot be read, or has no wanted text.
        OutputError: the folder cannot be written.
        UsageError: the size is too small, a language has no tag, or the folder contains a tokenizer or a manifest.
    """
    if (options.output_dir / "tokenizer.json").exists() and not options.overwrite:
        raise UsageError(
            f"{options.output_dir} already contains a tokenizer.", hint="Give --overwrite, or another folder with -o."
        )
    texts = _texts(options)
    codes = sorted({language_code(language) for language, _ in texts if language is not None})
    languages = codes if len(codes) > 1 else []
    for language in languages:
        if not re.fullmatch("[a-z]{2,3}", language):
            raise UsageError(
                f"The language of a text must have a code of two or three letters, but is `{language}`.",
                hint="Choose the texts with --language.",
            )
    files = learn_vocabulary(
        (text for _, text in texts), options.size, languages=languages, lowercase=options.lowercase
    )
    refuse_replacing((options.output_dir / name for name in files), options.manifests)
    for name, content in files.items():
        write_atomically(options.output_dir / name, content)
    learned = Tokenizer.load(options.output_dir)
    return VocabularyReport(options.output_dir, len(texts), learned.vocabulary_size, tuple(learned.languages))


def _texts(options: VocabularyOptions) -> list[tuple[str | None, str]]:
    """Return every wanted text with its language."""
    wanted = ManifestOptions(target_languages=options.languages or None, texts_only=True)
    utterances = [each for path in options.manifests for each in read_manifest(path, options=wanted).utterances]
    texts = [(target.language, target.text) for utterance in utterances for target in utterance.targets]
    if not texts:
        raise InputError(f"A vocabulary needs texts, but {', '.join(map(str, options.manifests))} has none.")
    return texts
