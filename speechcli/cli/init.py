"""`speechcli init`."""

from typing import Annotated

from speechcli.cli import compose
from speechcli.cli import shared_flags as flags

EncoderConfig = Annotated[
    str,
    flags.flag(compose.PARTS, "--encoder", help="Family, config.json or model of the speech encoder.", metavar="NAME"),
]
DecoderConfig = Annotated[
    str,
    flags.flag(compose.PARTS, "--decoder", help="Family, config.json or model of the text decoder.", metavar="NAME"),
]


def init(
    encoder: EncoderConfig,
    decoder: DecoderConfig,
    output_dir: flags.ModelDir,
    encoder_set: compose.EncoderSet = None,
    decoder_set: compose.DecoderSet = None,
    tokenizer: compose.TokenizerFrom = None,
    language: compose.Language = None,
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
    """Make a model with random weights from two configurations."""
    given = locals()
    from speechcli.pipelines import init as pipeline

    compose.show(pipeline.init(compose.options_of(given)), quiet=quiet)
