"""Metrics: WER and CER for transcripts, BLEU and chrF for translations.

Both come with the share of texts without an error, because BLEU cannot score single words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from speechcli.text.languages import language_code
from speechcli.text.normalize import basic, normalize, normalizer_name

UNSPACED = ("zh", "yue", "ja", "th", "lo", "my", "km", "bo")
"""Languages written without spaces: characters are counted instead of words."""


class Pair(NamedTuple):
    """A reference and the model's hypothesis."""

    id: str
    spoken: str | None
    """Language of the speech; None if unknown."""
    language: str | None
    """Language of the text; None if unknown."""
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class GroupScore:
    """Scores of all pairs with the same spoken language and text language."""

    spoken: str
    language: str
    utterances: int
    values: dict[str, float]
    """`wer` and `cer` in percent, lower is better; or `bleu` and `chrf`, 0 to 100, higher is better; and `exact_match`,
    percent of the texts without an error, normalized as for `wer`."""
    signature: str
    """Signature of the metrics: tools and settings."""

    @property
    def name(self) -> str:
        """`spoken->language`."""
        return f"{self.spoken}->{self.language}"

    @property
    def quality(self) -> float:
        """One number, 0 to 100, higher is better: 100 - WER (or CER), or chrF."""
        if "chrf" in self.values:  # BLEU is 0 for anything shorter than four words
            return self.values["chrf"]
        errors = self.values["cer" if self.language in UNSPACED else "wer"]
        return max(0.0, 100.0 - errors)

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as a JSON object."""
        return {
            "spoken": self.spoken,
            "language": self.language,
            "utterances": self.utterances,
            **{name: round(value, 3) for name, value in self.values.items()},
            "signature": self.signature,
        }


def score_pairs(pairs: Iterable[Pair], *, uncased: bool = False) -> list[GroupScore]:
    """Score each pair of spoken and text language; a text of unknown language counts as a transcript.

    Args:
        pairs: references and hypotheses of all languages.
        uncased: compute BLEU and chrF on lowercased texts without punctuation.
    """
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        spoken = language_code(pair.spoken or pair.language or "und")
        language = language_code(pair.language or pair.spoken or "und")
        groups.setdefault((spoken, language), []).append(pair)
    return [
        _score_transcripts(language, group)
        if spoken == language
        else _score_translations(spoken, language, group, uncased=uncased)
        for (spoken, language), group in sorted(groups.items())
    ]


def mean_quality(scores: Sequence[GroupScore]) -> float:
    """Return the unweighted mean quality of the groups; 0 if there are none."""
    return sum(score.quality for score in scores) / max(len(scores), 1)


def error_rate(references: Sequence[str], hypotheses: Sequence[str], *, characters: bool = False) -> float:
    """Return the word (or character) error rate in percent; with empty references, insertions count."""
    import jiwer

    errors = units = 0
    filled: list[tuple[str, str]] = []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        if reference.strip():
            filled.append((reference, hypothesis))
        else:  # jiwer refuses them
            errors += len(hypothesis.replace(" ", "") if characters else hypothesis.split())
    if filled:
        process = jiwer.process_characters if characters else jiwer.process_words
        result = process([pair[0] for pair in filled], [pair[1] for pair in filled])
        errors += result.substitutions + result.deletions + result.insertions
        units = result.substitutions + result.deletions + result.hits
    return 100.0 * errors / max(units, 1)


def _score_transcripts(language: str, group: list[Pair]) -> GroupScore:
    references, hypotheses = _normalized(language, group)
    values = {
        "wer": error_rate(references, hypotheses),
        "cer": error_rate(references, hypotheses, characters=True),
        "exact_match": _exact_match(references, hypotheses),
    }
    return GroupScore(language, language, len(group), values, f"jiwer|norm:{normalizer_name(language)}")


def _score_translations(spoken: str, language: str, group: list[Pair], *, uncased: bool) -> GroupScore:
    from sacrebleu.metrics import BLEU, CHRF

    tokenizer = "zh" if language in ("zh", "yue") else "char" if language in UNSPACED else "13a"
    bleu, chrf = BLEU(tokenize=tokenizer, lowercase=uncased), CHRF(lowercase=uncased)
    plain = basic if uncased else str
    hypotheses = [plain(pair.hypothesis) for pair in group]
    references = [[plain(pair.reference) for pair in group]]
    values = {
        "bleu": bleu.corpus_score(hypotheses, references).score,
        "chrf": chrf.corpus_score(hypotheses, references).score,
        "exact_match": _exact_match(*_normalized(language, group)),
    }
    signature = f"bleu {bleu.get_signature()}; chrf {chrf.get_signature()}; norm:{normalizer_name(language)}"
    signature = f"without punctuation: {signature}" if uncased else signature
    return GroupScore(spoken, language, len(group), values, signature)


def _normalized(language: str, group: list[Pair]) -> tuple[list[str], list[str]]:
    """Return references and hypotheses."""
    return (
        [normalize(pair.reference, language) for pair in group],
        [normalize(pair.hypothesis, language) for pair in group],
    )


def _exact_match(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    # Normalizers leave a space where a full stop was.
    right = [a.split() == b.split() for a, b in zip(references, hypotheses, strict=True)]
    return 100.0 * sum(right) / len(right)
