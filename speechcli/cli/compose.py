"""What `init` and `warm-start` share: flags, and the report at the end."""

from collections.abc import Mapping
from typing import Annotated, Any

from speechcli.cli.console import say
from speechcli.cli.shared_flags import flag, pick, without_none
from speechcli.pipelines.compose_options import ComposeOptions, ComposeReport

PARTS = "Parts"

EncoderSet = Annotated[
    list[str] | None,
    flag(
        PARTS,
        "--encoder-set",
        help="Change a key of the encoder's configuration; may be repeated.",
        metavar="KEY=VALUE",
    ),
]
DecoderSet = Annotated[
    list[str] | None,
    flag(
        PARTS,
        "--decoder-set",
        help="Change a key of the decoder's configuration; may be repeated.",
        metavar="KEY=VALUE",
    ),
]
TokenizerFrom = Annotated[
    str | None,
    flag(PARTS, "--tokenizer", help="Folder or Hub id of the tokenizer. Default: the decoder's.", metavar="MODEL"),
]
Language = Annotated[
    str | None,
    flag(PARTS, "--language", help="Language that a multilingual decoder writes by default.", metavar="LANGUAGE"),
]
StartId = Annotated[
    int | None, flag(PARTS, "--decoder-start-token-id", help="First token that the decoder reads.", metavar="ID", min=0)
]
PadId = Annotated[int | None, flag(PARTS, "--pad-token-id", help="Padding token.", metavar="ID", min=0)]
EosId = Annotated[int | None, flag(PARTS, "--eos-token-id", help="End-of-text token.", metavar="ID", min=0)]


def options_of(given: Mapping[str, Any]) -> ComposeOptions:
    """Make the options of a command from its arguments."""
    return pick(ComposeOptions, without_none(given, "encoder_set", "decoder_set"))


def show(report: ComposeReport, *, quiet: bool) -> None:
    """Describe the new model and the next step."""
    if quiet:
        return
    say(f"{report.folder}: {report.parameters:,} parameters")
    for remark in report.remarks:
        say(remark)
    say(f"next: speechcli train --model {report.folder} --train train.tsv --dev dev.tsv -o RUN")
