"""`speechcli warm-start`."""

from speechcli.cli import options as o


def warm_start(
    encoder: o.Encoder,
    decoder: o.Decoder,
    output_dir: o.ModelDir,
    encoder_set: o.EncoderSet = None,
    decoder_set: o.DecoderSet = None,
    tokenizer: o.TokenizerFrom = None,
    language: o.Language = None,
    spoken: o.SpokenAdapters = None,
    decoder_start_token_id: o.StartId = None,
    pad_token_id: o.PadId = None,
    eos_token_id: o.EosId = None,
    token: o.Token = None,
    cache_dir: o.CacheDir = None,
    offline: o.Offline = False,
    seed: o.Seed = 0,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Join a pretrained speech encoder and a pretrained text decoder."""
    given = locals()
    from speechcli.cli.compose import show
    from speechcli.pipelines import warm_start as pipeline
    from speechcli.pipelines.compose_options import ComposeOptions

    show(pipeline.warm_start(o.pick(ComposeOptions, o.without_none(given, "encoder_set", "decoder_set"))), quiet=quiet)
