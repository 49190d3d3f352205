"""Decoder inputs: shifted labels for training, and prompts with language and task for generation."""

import torch
from torch import Tensor

from speechcli.checkpoints.bundle import Bundle
from speechcli.decoding.generate import start_prompt
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.errors import UsageError
from speechcli.families.composite import SpeechEncoderDecoderConfig
from speechcli.models.speech_encoder_decoder import shift_right
from speechcli.pipelines.recognition.languages import detect_by_decoder, logits_at_start, usual_language
from speechcli.pipelines.search.effective_options import decoder_prompts
from speechcli.pipelines.search.write import obeying
from speechcli.text.languages import resolve_language
from speechcli.text.prompts import Task


def decoder_inputs(labels: Tensor | None, config: SpeechEncoderDecoderConfig) -> Tensor:
    """Make the decoder inputs for labels (batch, tokens): the labels shifted right.

    Raises:
        UsageError: there are no labels, or a required id is not set.
    """
    if labels is None:
        raise UsageError("The decoder needs `labels` or `decoder_input_ids`, but neither is given.")
    start, padding = config.decoder_start_token_id, config.pad_token_id
    if start is None or padding is None:
        name = "decoder_start_token_id" if start is None else "pad_token_id"
        raise UsageError(f"`labels` need `{name}`, but it is not set.", hint=f"Set model.config.{name}.")
    return shift_right(labels, start_id=start, pad_id=padding)


def opening(
    bundle: Bundle,
    memory: Tensor,
    mask: Tensor | None,
    options: GenerationOptions,
    *,
    language: str | None,
    task: Task | None,
) -> tuple[Tensor, GenerationOptions]:
    """Make the prompts for a batch of recordings, and the decoding options for them.

    If the prompt has the spoken language and the task (Whisper), an unnamed language is detected. Other models have
    only their start token as prompt, and then generate the tag of the given language, if any.

    Args:
        bundle: the model.
        memory: (batch, frames, decoder width).
        mask: (batch, frames), false for padding.
        options: the decoding options.
        language: language of the recordings; for models that translate into many languages, of the texts.
        task: whether to transcribe or translate; None: transcribe.

    Returns:
        (batch, tokens) ids, and the options

    Raises:
        UsageError: the language or the task does not exist, or the model has no tokenizer for it.
    """
    tokenizer, batch = bundle.tokenizer, memory.size(0)
    if task not in (None, "transcribe", "translate"):
        raise UsageError(f"`task` must be transcribe or translate, but is {task!r}.")
    has_tasks = tokenizer is not None and tokenizer.no_timestamps_id is not None
    if language is None and task is None and not has_tasks:
        return start_prompt(options, batch, memory.device), options
    if tokenizer is None:
        raise UsageError(f"`language` and `task` need a tokenizer, but {bundle.name} has none.")
    prompts = decoder_prompts(tokenizer, options, bundle.taught)
    named = usual_language(options.extra, prompts)
    if language is not None:
        named = resolve_language(language.strip("<|>"), prompts.tags)
    tags = [named] * batch
    if named is None and prompts.needs_language:
        start_logits = logits_at_start(bundle.model.decoder, memory, mask, prompts)
        assert start_logits is not None
        tags = detect_by_decoder(start_logits, prompts)
    made = [
        prompts.of(task or "transcribe", spoken=tag, target=None if prompts.needs_language else tag) for tag in tags
    ]
    ids = torch.tensor([prompt.ids for prompt in made], device=memory.device)
    return ids, obeying(options, made[0])
