"""`speechcli warm-start`."""

from typing import Annotated

from speechcli.cli import compose as c
from speechcli.cli import options as o

Encoder = Annotated[
    str, o.flag(c.PARTS, "--encoder", help="Pretrained speech encoder: folder or Hub id.", metavar="MODEL")
]
Decoder = Annotated[
    str, o.flag(c.PARTS, "--decoder", help="Pretrained text decoder: folder or Hub id.", metavar="MODEL")
]
SpokenAdapters = Annotated[
    str | None, o.flag(c.PARTS, "--from", help="Spoken language of an encoder with adapters (MMS).", metavar="LANGUAGE")
]


def warm_start(
    encoder: Encoder,
    decoder: Decoder,
    output_dir: o.ModelDir,
    encoder_set: c.EncoderSet = None,
    decoder_set: c.DecoderSet = None,
    tokenizer: c.TokenizerFrom = None,
    language: c.Language = None,
    spoken: SpokenAdapters = None,
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
    """Join a pretrained speech encoder and a pretrained text decoder."""
    given = locals()
    from speechcli.pipelines import warm_start as pipeline

    c.show(pipeline.warm_start(c.options_of(given)), quiet=quiet)
