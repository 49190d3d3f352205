"""The spoken language, given or detected, and the language of the text."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from speechcli.errors import UsageError
from speechcli.models.decoder import TextDecoder
from speechcli.models.speech_encoder_decoder import Encoded
from speechcli.text.languages import language_name, resolve_language
from speechcli.text.prompts import Prompts, Task, translation_tag


class Languages:
    """The languages of a model, and those that the user chose.

    Args:
        prompts: the decoder prompts of the model.
        task: `transcribe` or `translate`.
        spoken: the spoken language as the user wrote it; None: not given.
        targets: the target languages as the user wrote them.
        adapters: tags of the languages for which the encoder has adapters.

    Raises:
        UsageError: a language is unknown or cannot be chosen, or a target language is missing.
    """

    def __init__(
        self,
        prompts: Prompts,
        *,
        task: Task,
        spoken: str | None,
        targets: Sequence[str],
        adapters: Collection[str] = (),
    ) -> None:
        self._prompts = prompts
        self.writes_spoken = task == "transcribe"
        if self.writes_spoken or prompts.needs_language:
            self.spoken = None if spoken is None else resolve_language(spoken, prompts.tags or adapters)
        else:
            self.spoken = _hint(spoken, prompts.tags)
        self.targets: tuple[str | None, ...] = (None,) if self.writes_spoken else self._targets(targets)

    @property
    def detects(self) -> bool:
        """Whether the spoken language is to be detected."""
        return bool(self._prompts.tags) and self.spoken is None

    def spoken_in(self, name: str | None, found: str | None) -> str | None:
        """Return the spoken language: as given by the user, else by the manifest, else as detected.

        If the prompt needs a tag, the detected language replaces a given one for which the model has none.
        """
        if self.spoken is not None:
            return self.spoken
        hint = _hint(name, self._prompts.tags)
        return found if hint is None or (self._prompts.needs_language and hint not in self._prompts.tags) else hint

    def _targets(self, names: Sequence[str]) -> tuple[str | None, ...]:
        prompts = self._prompts
        if prompts.tags and not prompts.into:
            raise UsageError(f"This model only transcribes speech, in {language_name(next(iter(prompts.tags)))}.")
        if names and not prompts.into:
            raise UsageError(
                f"`--to {names[0]}` chooses a language, but this model has no language tags and writes one language.",
                hint="Leave out --to.",
            )
        if not names and len(prompts.into) > 1 and prompts.forced is None:
            raise UsageError("A target language is missing.", hint=f"Give --to, one of {', '.join(prompts.into)}.")
        if not names and prompts.needs_language:
            return prompts.into
        tags = tuple(translation_tag(name, prompts.into) for name in names)
        if len(set(tags)) < len(tags):
            raise UsageError(f"`--to` must name different languages of the model, but {', '.join(names)} are not.")
        return tags or (None,)


def usual_language(generation: Mapping[str, Any], prompts: Prompts) -> str | None:
    """Return the tag of the default language in a model's generation_config.json, if there is one.

    It is under the key `language`, in older files in `forced_decoder_ids`.

    Returns:
        None if the language is detected, or not part of the prompt.
    """
    if not prompts.needs_language:
        return None
    name, forced = generation.get("language"), generation.get("forced_decoder_ids") or ()
    if isinstance(name, str):
        return resolve_language(name.strip("<|>"), prompts.tags)
    return next((tag for tag, number in prompts.tags.items() if [1, number] in list(forced)), None)


def logits_at_start(decoder: TextDecoder, memory: Tensor, mask: Tensor | None, prompts: Prompts) -> Tensor | None:
    """Return a decoder's logits after its start token, which predict the spoken language, or that there is no speech.

    Args:
        decoder: the decoder.
        memory: (batch, frames, decoder width).
        mask: (batch, frames), false for padding.
        prompts: its prompts.

    Returns:
        logits (batch, vocabulary); None for a decoder that predicts neither (Radford et al. 2022)
    """
    if not prompts.needs_language and prompts.silence is None:
        return None
    start = torch.full((memory.size(0), 1), prompts.start, device=memory.device)
    return decoder.step(start, decoder.start(memory, mask)).float()


def detect_by_decoder(start_logits: Tensor, prompts: Prompts) -> list[str | None]:
    """Detect the spoken languages from the logits of `logits_at_start`, as Whisper does."""
    tags = sorted(prompts.tags, key=lambda tag: prompts.tags[tag])
    scores = start_logits[:, [prompts.tags[tag] for tag in tags]]
    return [tags[index] for index in scores.argmax(dim=-1).tolist()]


def detect_languages(
    head: nn.Linear | None, encoded: Encoded, prompts: Prompts, start_logits: Tensor | None
) -> list[str | None]:
    """Detect the spoken languages.

    Decoders with a language tag in the prompt predict it first; other models may have a CTC head that learned tags.

    Args:
        head: the CTC head, if its vocabulary is the decoder's.
        encoded: the recordings.
        prompts: the decoder prompts of the model.
        start_logits: the result of `logits_at_start`.

    Returns:
        A tag for each recording; None if the model cannot detect it.
    """
    names = {number: tag for tag, number in prompts.tags.items()}
    ids, batch = sorted(names), encoded.memory.size(0)
    if prompts.needs_language and start_logits is not None:
        return detect_by_decoder(start_logits, prompts)
    if head is None or max(ids, default=0) >= head.out_features:
        return [None] * batch
    return [names[number] for number in detect_by_ctc(head(encoded.frames), encoded.frame_lengths, ids)]


def detect_by_ctc(logits: Tensor, lengths: Tensor, ids: Sequence[int]) -> list[int]:
    """Detect one of some tokens by a CTC head: the one with the highest log-probability in any frame.

    Args:
        logits: (batch, frames, vocabulary) of the CTC head.
        lengths: (batch,) frames without padding.
        ids: the tokens to choose from, such as language tags.

    Returns:
        For each recording one of `ids`.
    """
    logprobs = logits.float().log_softmax(dim=-1)[..., list(ids)]  # (batch, frames, languages)
    padding = torch.arange(logits.size(1), device=logits.device) >= lengths.to(logits.device)[:, None]
    best = logprobs.masked_fill(padding[..., None], -torch.inf).amax(dim=1).argmax(dim=-1)
    return [ids[index] for index in best.tolist()]


def _hint(name: str | None, ids: Mapping[str, int]) -> str | None:
    """Return the model's tag for a language, or the name itself if there is none."""
    if name is None:
        return None
    try:
        return resolve_language(name, ids)
    except UsageError:
        return name
