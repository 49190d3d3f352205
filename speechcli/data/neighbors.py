"""Concatenation of successive utterances of a manifest."""

from collections.abc import Sequence
from dataclasses import replace

from speechcli.data.manifest import Target, Utterance
from speechcli.text.languages import has_spaces, language_code


def find_joinable(utterances: Sequence[Utterance], *, max_seconds: float) -> list[int]:
    """Return the indices of utterances that can be concatenated with the next one.

    Args:
        utterances: utterances, in the order of their manifests.
        max_seconds: maximum duration of a concatenation.
    """
    pairs = zip(utterances, utterances[1:], strict=False)
    return [place for place, (first, second) in enumerate(pairs) if _fit(first, second, max_seconds)]


def join(first: Utterance, second: Utterance) -> Utterance:
    """Concatenate two utterances with texts in the same languages, without their teacher labels."""
    texts = {target.language: target.text for target in second.targets}
    both = first.transcript is not None and second.transcript is not None
    return replace(
        first,
        id=f"{first.id}+{second.id}",
        seconds=first.seconds + second.seconds,
        targets=tuple(
            Target(_text(target.text, texts[target.language], target.language), target.language)
            for target in first.targets
        ),
        transcript=_text(first.transcript or "", second.transcript or "", first.language) if both else None,
        teacher=None,
        parts=(first, second),
    )


def _text(first: str, second: str, language: str | None) -> str:
    spaced = language is None or has_spaces(language_code(language))
    return f"{first} {second}" if spaced else first + second


def _fit(first: Utterance, second: Utterance, max_seconds: float) -> bool:
    return (
        (first.language, first.speaker) == (second.language, second.speaker)
        and {target.language for target in first.targets} == {target.language for target in second.targets}
        and first.seconds + second.seconds <= max_seconds
    )
