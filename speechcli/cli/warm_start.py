"""`speechcli warm-start`."""

from typing import Annotated

from speechcli.cli import compose
from speechcli.cli import shared_flags as flags

Encoder = Annotated[
    str, flags.flag(compose.PARTS, "--encoder", help="Pretrained speech encoder: folder or Hub id.", metavar="MODEL")
]
Decoder = Annotated[
    str, flags.flag(compose.PARTS, "--decoder", help="Pretrained text decoder: folder or Hub id.", metavar="MODEL")
]
SpokenAdapters = Annotated[
    str | None,
    flags.flag(compose.PARTS, "--from", help="Spoken language of an encoder with adapters (MMS).", metavar="LANGUAGE"),
]


def warm_start(
    encoder: Encoder,
    decoder: Decoder,
    output_dir: flags.ModelDir,
    encoder_set: compose.EncoderSet = None,
    decoder_set: compose.DecoderSet = None,
    tokenizer: compose.TokenizerFrom = None,
    language: compose.Language = None,
    spoken: SpokenAdapters = None,
    decoder_start_token_id: compose.StartId = None,
    pad_token_id: compose.PadId = None,
    eos_token_id: compose.EosId = None,
    token: flags.Token = None,
    cache_dir: flags.CacheDir = None,
    offline: flags.Offline = False,
    seed: flags.Seed = 0,
    overwrite: flags.Overwrite = False,
    quiet: flags.Quiet = False,
) -> None:
    """Join a pretrained speech encoder and a pretrained text decoder."""
    given = locals()
    from speechcli.pipelines import warm_start as pipeline

    compose.show(pipeline.warm_start(compose.options_of(given)), quiet=quiet)
