"""The language that is spoken, and the one that is written."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from speechcli.errors import UsageError
from speechcli.text.languages import resolve_language


class Languages:
    """The language tags of one model, and what was asked for.

    Args:
        ids: the model's own tags and their token ids.
        task: `transcribe` writes what is spoken; `translate` writes other languages.
        spoken: the spoken language as the user named it.
        targets: the languages to write, as the user named them.
        forced: the token that the model says first if nobody chooses.

    Raises:
        UsageError: a language is unknown, or cannot be chosen, or must be.
    """

    def __init__(
        self, ids: Mapping[str, int], *, task: str, spoken: str | None, targets: Sequence[str], forced: int | None
    ) -> None:
        self.ids = dict(ids)
        self.writes_spoken = task == "transcribe"
        if task == "translate":
            self.spoken = _hint(spoken, self.ids)
            self.targets: tuple[str | None, ...] = tuple(self._target(name) for name in targets) or (None,)
            if not targets and self.ids and forced is None:
                raise UsageError(
                    "The language to translate into must be named.", hint=f"Give --to, one of {', '.join(self.ids)}."
                )
        else:
            self.spoken = None if spoken is None else resolve_language(spoken, self.ids)
            self.targets = (None,)

    @property
    def identifies(self) -> bool:
        """Whether the spoken language is worth finding out."""
        return bool(self.ids) and self.spoken is None

    def spoken_in(self, name: str | None, found: str | None) -> str | None:
        """Return the tag or name of the spoken language: the user's word, the manifest's, then what was heard."""
        if self.spoken is not None:
            return self.spoken
        return found if name is None else _hint(name, self.ids)

    def _target(self, name: str) -> str:
        if not self.ids:
            raise UsageError(
                f"`--to {name}` chooses a language, but this model has no language tags: it writes only one.",
                hint="Leave out --to.",
            )
        return resolve_language(name, self.ids)


def identify(logits: Tensor, lengths: Tensor, ids: Sequence[int]) -> list[int]:
    """Find which of some tokens a CTC head hears: the one with the highest log-probability in any frame.

    Args:
        logits: of the CTC head, (batch, frames, vocabulary).
        lengths: real frames, (batch,).
        ids: the tokens, such as those of languages.

    Returns:
        For each recording one of `ids`.
    """
    logprobs = logits.float().log_softmax(dim=-1)[..., list(ids)]  # (batch, frames, languages)
    padding = torch.arange(logits.size(1), device=logits.device) >= lengths.to(logits.device)[:, None]
    best = logprobs.masked_fill(padding[..., None], -torch.inf).amax(dim=1).argmax(dim=-1)
    return [ids[index] for index in best.tolist()]


def _hint(name: str | None, ids: Mapping[str, int]) -> str | None:
    """Return the model's tag for a language if it has one; any other is as good as a hint."""
    if name is None:
        return None
    try:
        return resolve_language(name, ids)
    except UsageError:
        return name
