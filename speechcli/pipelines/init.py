"""Make a model with random weights from two configurations."""

import os
from pathlib import Path

from speechcli.checkpoints import compose
from speechcli.checkpoints.bundle import Bundle, save
from speechcli.checkpoints.special_ids import SpecialIds
from speechcli.pipelines.compose_options import ComposeOptions, ComposeReport, parse_changes, refuse_model
from speechcli.pipelines.load import find_model


def init(options: ComposeOptions) -> ComposeReport:
    """Write a model with random weights.

    Raises:
        ModelError: a configuration is missing, not supported, or does not fit.
        OutputError: the folder cannot be written.
        UsageError: a changed key does not exist, or the folder contains a model.
    """
    refuse_model(options.output_dir, (options.encoder, options.decoder), overwrite=options.overwrite)
    bundle = compose.init(
        _source(options.encoder, options),
        _source(options.decoder, options),
        encoder_changes=parse_changes(options.encoder_set),
        decoder_changes=parse_changes(options.decoder_set),
        tokenizer=tokenizer_folder(options),
        ids=special_ids(options),
        language=options.language,
        seed=options.seed,
    )
    save(bundle, options.output_dir)
    return report(bundle, options, ("All weights are random.",))


def report(bundle: Bundle, options: ComposeOptions, remarks: tuple[str, ...]) -> ComposeReport:
    """Describe the new model, and what it lacks."""
    parameters = sum(parameter.numel() for parameter in bundle.model.parameters())
    if bundle.tokenizer is None:
        remarks += ("It has no vocabulary; give one with --tokenizer, or it cannot be trained.",)
    return ComposeReport(options.output_dir, parameters, remarks)


def special_ids(options: ComposeOptions) -> SpecialIds:
    """Return the special ids that the user gave."""
    return SpecialIds(options.decoder_start_token_id, options.pad_token_id, options.eos_token_id)


def tokenizer_folder(options: ComposeOptions) -> Path | None:
    """Return the folder of the tokenizer if it is not the decoder's."""
    return None if options.tokenizer is None else find_model(options.tokenizer, options, weights=False)


def _source(name: str, options: ComposeOptions) -> str | Path:
    path = Path(os.path.expanduser(name))
    if path.exists():
        return path
    return find_model(name, options, weights=False) if "/" in name else name  # a family's name has no slash
