"""Make a model from a pretrained speech encoder and a pretrained text decoder."""

from speechcli.checkpoints import compose
from speechcli.checkpoints.bundle import save
from speechcli.pipelines.compose_options import ComposeOptions, ComposeReport, parse_changes, refuse_model
from speechcli.pipelines.init import report, special_ids, tokenizer_folder
from speechcli.pipelines.load import find_model


def warm_start(options: ComposeOptions) -> ComposeReport:
    """Write a model that joins two checkpoints; the report says which weights are new.

    Raises:
        ModelError: a checkpoint is missing, corrupt or not supported, or a special id is not found.
        OutputError: the folder cannot be written.
        UsageError: a changed key does not exist, the folder contains a model, or the encoder has no adapters for the
            spoken language.
    """
    refuse_model(options.output_dir, (options.encoder, options.decoder), overwrite=options.overwrite)
    bundle, fresh = compose.warm_start(
        find_model(options.encoder, options, language=options.spoken),
        find_model(options.decoder, options),
        encoder_changes=parse_changes(options.encoder_set),
        decoder_changes=parse_changes(options.decoder_set),
        tokenizer=tokenizer_folder(options),
        ids=special_ids(options),
        language=options.language,
        seed=options.seed,
    )
    if options.spoken is not None:
        bundle.set_language(options.spoken)
    save(bundle, options.output_dir)
    return report(bundle, options, tuple(fresh.sentences()))
