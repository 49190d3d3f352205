"""Prepare the model for training: load or compose it, add a CTC head, LoRA and masks."""

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from speechcli.checkpoints.bundle import Bundle, add_ctc_head, load, save
from speechcli.checkpoints.compose import warm_start
from speechcli.checkpoints.hub import EMBEDDED
from speechcli.checkpoints.lora import save_lora, their_map
from speechcli.data.manifest import Utterance
from speechcli.errors import InputError, ModelError, UsageError
from speechcli.nn.lora import add_lora
from speechcli.nn.masks import Spans
from speechcli.pipelines.load import find_model
from speechcli.pipelines.speech_options import HubAccess
from speechcli.pipelines.training_run.data import count_languages
from speechcli.text.characters import Characters
from speechcli.text.languages import language_code
from speechcli.training.events import Report, Started, Warned
from speechcli.training.freezing import region
from speechcli.training.precision import chosen_dtype
from speechcli.training.train_options import AugmentSection, TrainOptions


def load_or_compose(options: TrainOptions, hub: HubAccess, report: Report) -> Bundle:
    """Load the model in the options, or join an encoder and a decoder; without either, load the embedded model.

    Raises:
        UsageError: if they name both, or half of a pair.
        ModelError: if it cannot be loaded.
    """
    model = options.model
    if model.encoder is None and model.decoder is None:
        return load(find_model(model.path, hub, revision=model.revision))
    if model.path is not None or model.encoder is None or model.decoder is None:
        raise UsageError(
            "A run must start from one model, or from one encoder and one decoder, but the options name others.",
            hint="--model DIR, or --encoder NAME --decoder NAME",
        )
    encoder, decoder = find_model(model.encoder, hub), find_model(model.decoder, hub)
    bundle, fresh = warm_start(encoder, decoder, seed=options.run.seed)
    for sentence in fresh.sentences():
        report(Warned(sentence))
    return bundle


def prepare_model(bundle: Bundle, options: TrainOptions, device: torch.device, utterances: Sequence[Utterance]) -> None:
    """Move the model to its device, and apply the options: CTC head, LoRA, gradient checkpointing, masks.

    Raises:
        InputError: if a CTC head over characters is needed, but there are no transcripts.
        ModelError: if a CTC head over the decoder's tokens is needed, but there is no padding token.
        UsageError: if masks are set but the model has no SpecAugment, or no linear layer matches the LoRA targets.
    """
    if options.objective.ctc_weight > 0:
        _ensure_ctc_head(bundle, options, utterances)
    _record_translations(bundle, utterances)
    bundle.model.to(device)
    for parameter in bundle.model.parameters():
        parameter.data = parameter.data.clone()  # loaded weights are a view of the file
    if options.model.learn == "lora":
        _add_lora(bundle, options)
    bundle.model.encoder.recompute = options.run.gradient_checkpointing
    _mask(bundle, options.augment)


def _ensure_ctc_head(bundle: Bundle, options: TrainOptions, utterances: Sequence[Utterance]) -> None:
    chosen, seed = options.objective.ctc_vocabulary, options.run.seed
    has = None if bundle.model.ctc_head is None else "decoder" if bundle.characters is None else "characters"
    wanted = (has or "decoder") if chosen == "auto" else chosen
    if wanted == "characters" and has != wanted:
        characters = Characters.of(u.transcript for u in utterances if u.transcript is not None)
        if not characters.symbols:
            raise InputError(
                "A CTC head over characters learns from transcripts, but no training utterance has one.",
                hint="--set objective.ctc_weight=0",
            )
        add_ctc_head(bundle, vocabulary_size=len(characters), blank_id=0, characters=characters, seed=seed)
    elif has != wanted:
        tokenizer = bundle.tokenizer
        if tokenizer is None or tokenizer.pad_id is None:
            raise ModelError(
                f"A CTC head over the decoder's tokens needs a pad token, but {bundle.name} has none.",
                hint="--set objective.ctc_vocabulary=characters, or --set objective.ctc_weight=0",
            )
        add_ctc_head(bundle, vocabulary_size=bundle.model.decoder.vocabulary, blank_id=tokenizer.pad_id, seed=seed)
    if wanted == "decoder":  # the default of `--ctc-weight` in decoding
        bundle.settings["ctc"] |= {"weight": min(options.objective.ctc_weight, 0.9)}


def _record_translations(bundle: Bundle, utterances: Sequence[Utterance]) -> None:
    # Whisper only translates into English, unless it is trained to translate into other languages.
    if bundle.tokenizer is None or not bundle.tokenizer.tasks:
        return
    pairs = {(u.language, target.language) for u in utterances for target in u.targets}
    codes = {(language_code(spoken), language_code(written)) for spoken, written in pairs if spoken and written}
    taught = {*bundle.taught, *(written for spoken, written in codes if written not in (spoken, "en"))}
    if taught:
        bundle.settings["translates_into"] = sorted(taught)


def save_model(bundle: Bundle, folder: Path, options: TrainOptions) -> None:
    """Write a model folder; LoRA adapters are also written alone, into its subfolder `lora`.

    Raises:
        OutputError: the folder cannot be written.
    """
    save(bundle, folder)
    if options.model.learn == "lora" and options.model.encoder is None:
        path = EMBEDDED if options.model.path is None else Path(os.path.expanduser(options.model.path))
        base = str(path.resolve()) if path.exists() else str(options.model.path)
        save_lora(bundle.model, bundle.config, folder / "lora", base=base)


def _add_lora(bundle: Bundle, options: TrainOptions) -> None:
    section = options.model
    # The bridge is trained anyway, and a head that is tied to the embeddings has no weights in the file.
    tied = bundle.config.tied[0] if bundle.config.tied else ""
    linear = [
        name
        for name, module in bundle.model.named_modules()
        if isinstance(module, nn.Linear) and region(name) != "bridge" and f"{name}.weight" != tied
    ]
    wanted = [name for name in linear if any(fnmatchcase(name, pattern) for pattern in section.lora_targets)]
    names = [name for name in wanted if their_map(bundle.config, name) is not None]
    if not names:
        raise UsageError(
            f"`model.lora_targets` must match linear layers, but {', '.join(section.lora_targets)} match none that "
            "transformers stores as one.",
            hint=f"linear layers: {', '.join(dict.fromkeys(re.sub('[0-9]+', '*', name) for name in linear))}",
        )
    add_lora(
        bundle.model,
        names,
        section.lora_rank,
        alpha=section.lora_alpha,
        dropout=section.lora_dropout,
        seed=options.run.seed,
    )


def started(
    bundle: Bundle, utterances: Sequence[Utterance], options: TrainOptions, accelerator: Accelerator, *, step: int = 0
) -> Started:
    """Return the event that describes a run at its start."""
    parameters = list(bundle.model.parameters())
    device, processes = accelerator.device, accelerator.num_processes
    return Started(
        step=step,
        utterances=len(utterances),
        hours=sum(utterance.seconds for utterance in utterances) / 3600,
        languages=count_languages(utterances),
        parameters=sum(parameter.numel() for parameter in parameters),
        learning=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        device=str(device) if processes == 1 else f"{processes} × {device.type}",
        dtype=chosen_dtype(device, options.run.dtype),
    )


def add_teacher_head(bundle: Bundle, utterances: Sequence[Utterance], *, seed: int) -> None:
    """Add a head that predicts the teacher's class of each frame; it is not saved with the model.

    Raises:
        InputError: if no utterance has such classes, or they cannot be read.
    """
    paths = [utterance.teacher for utterance in utterances if utterance.teacher is not None]
    if not paths:
        raise InputError(
            "`objective.teacher_weight` needs a column `teacher` with .npy files, but no manifest has one.",
            hint="--set objective.teacher_weight=0",
        )
    classes = 1 + max(_highest_class(path) for path in paths)
    weight = next(bundle.model.parameters())
    head = nn.Linear(bundle.model.encoder.frame_width, classes)
    with torch.no_grad():
        head.weight.normal_(0.0, 0.02, generator=torch.Generator().manual_seed(seed))
        head.bias.zero_()
    bundle.model.teacher_head = head.to(weight.device, weight.dtype)


def _highest_class(path: Path) -> int:
    try:
        classes = np.load(path)
    except (OSError, ValueError) as error:
        raise InputError(f"A teacher's classes must be a .npy file, but {path} cannot be read: {error}.") from error
    if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer) or (classes < 0).any():
        raise InputError(f"A teacher's classes must be integers (frames,) from 0, but {path} contains others.")
    return int(classes.max(initial=0))


def _mask(bundle: Bundle, options: AugmentSection) -> None:
    changed = {
        "time": (options.mask_time_probability, options.mask_time_frames),
        "channels": (options.mask_channel_probability, options.mask_channel_width),
    }
    masks = bundle.model.encoder.spec_augment
    for axis, (probability, length) in changed.items():
        if probability is None and length is None:
            continue
        if masks is None:
            raise UsageError(
                f"`augment.mask_…` needs a model with SpecAugment, but {bundle.name} has none.",
                hint="set mask_time_prob in the encoder's part of config.json",
            )
        spans: Spans = getattr(masks, axis)
        setattr(
            masks,
            axis,
            Spans(
                spans.probability if probability is None else probability,
                spans.length if length is None else length,
                spans.minimum,
            ),
        )
        masks.apply_masks = True
