"""What `init` and `warm-start` share: options, and what they say at the end."""

from collections.abc import Mapping
from typing import Annotated, Any

from speechcli.cli.console import say
from speechcli.cli.shared_flags import flag, pick, without_none
from speechcli.pipelines.compose_options import ComposeOptions, ComposeReport

PARTS = "Parts"

EncoderSet = Annotated[
    list[str] | None, flag(PARTS, "--encoder-set", help="Change the encoder's configuration.", metavar="KEY=VALUE")
]
DecoderSet = Annotated[
    list[str] | None, flag(PARTS, "--decoder-set", help="Change the decoder's configuration.", metavar="KEY=VALUE")
]
TokenizerFrom = Annotated[
    str | None,
    flag(PARTS, "--tokenizer", help="Folder or Hub id of the vocabulary. Absent: the decoder's.", metavar="MODEL"),
]
Language = Annotated[
    str | None, flag(PARTS, "--language", help="What a multilingual decoder writes by itself.", metavar="LANGUAGE")
]
StartId = Annotated[
    int | None, flag(PARTS, "--decoder-start-token-id", help="What the decoder reads first.", metavar="ID", min=0)
]
PadId = Annotated[int | None, flag(PARTS, "--pad-token-id", help="Fills shorter texts.", metavar="ID", min=0)]
EosId = Annotated[int | None, flag(PARTS, "--eos-token-id", help="Ends a text.", metavar="ID", min=0)]


def options_of(given: Mapping[str, Any]) -> ComposeOptions:
    """Make the options of a command from its arguments."""
    return pick(ComposeOptions, without_none(given, "encoder_set", "decoder_set"))


def show(report: ComposeReport, *, quiet: bool) -> None:
    """Say what was made, and how to go on."""
    if quiet:
        return
    say(f"{report.folder}: {report.parameters:,} parameters")
    for remark in report.remarks:
        say(remark)
    say(f"next: speechcli train --model {report.folder} --train train.tsv --dev dev.tsv -o RUN")
