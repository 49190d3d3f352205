"""`speechcli init`."""

from typing import Annotated

from speechcli.cli import compose as c
from speechcli.cli import options as o

EncoderConfig = Annotated[
    str, o.flag(c.PARTS, "--encoder", help="Family, config.json or model of the speech encoder.", metavar="NAME")
]
DecoderConfig = Annotated[
    str, o.flag(c.PARTS, "--decoder", help="Family, config.json or model of the text decoder.", metavar="NAME")
]


def init(
    encoder: EncoderConfig,
    decoder: DecoderConfig,
    output_dir: o.ModelDir,
    encoder_set: c.EncoderSet = None,
    decoder_set: c.DecoderSet = None,
    tokenizer: c.TokenizerFrom = None,
    language: c.Language = None,
    decoder_start_token_id: c.StartId = None,
    pad_token_id: c.PadId = None,
    eos_token_id: c.EosId = None,
    token: o.Token = None,
    cache_dir: o.CacheDir = None,
    offline: o.Offline = False,
    seed: o.Seed = 0,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Make a model of random weights from two configurations."""
    given = locals()
    from speechcli.pipelines import init as pipeline

    c.show(pipeline.init(c.options_of(given)), quiet=quiet)
