"""Options of the search for text: what `transcribe` and `translate` share, and some of it `evaluate`."""

import re
from typing import Annotated, Literal

import typer

from speechcli.cli.shared_flags import flag

DECODING = "Decoding"


def _early_stopping(value: str | None) -> bool | str | None:
    return value if value in (None, "never") else value == "true"


def _tokens(value: str | None) -> int | str | None:
    if value is None or value == "auto":
        return value
    if not re.fullmatch("[0-9]+", value):
        raise typer.BadParameter(f"must be a number of tokens or auto, but is {value}.")
    return int(value)


Spoken = Annotated[
    str | None,
    flag(
        DECODING, "--from", help="Spoken language: a code, an English name, or a tag of the model.", metavar="LANGUAGE"
    ),
]
Targets = Annotated[
    list[str] | None,
    flag(DECODING, "--to", help="Language to translate into; may be given more than once.", metavar="LANGUAGE"),
]
Strategy = Annotated[
    Literal["greedy", "beam", "sample"] | None,
    flag(DECODING, "--strategy", help="How text is searched for. What is not set here is as the model says."),
]
BeamSize = Annotated[int | None, flag(DECODING, "--beam-size", help="Texts kept at each step.", metavar="N", min=1)]
LengthPenalty = Annotated[
    float | None, flag(DECODING, "--length-penalty", help="Above 0 favours longer texts.", metavar="X")
]
EarlyStopping = Annotated[
    Literal["true", "false", "never"] | None,
    flag(
        DECODING,
        "--early-stopping",
        help="Stop at enough finished texts, or when better ones are unlikely (false) or impossible (never).",
        callback=_early_stopping,
    ),
]
Temperature = Annotated[
    float | None,
    flag(DECODING, "--temperature", help="Of sampling: below 1 keeps to likely tokens, above 1 strays.", metavar="X"),
]
TopK = Annotated[
    int | None, flag(DECODING, "--top-k", help="Sample from the N likeliest tokens; 0: from all.", metavar="N", min=0)
]
TopP = Annotated[
    float | None,
    flag(
        DECODING,
        "--top-p",
        help="Sample from the likeliest tokens that together have this probability.",
        metavar="P",
        max=1.0,
    ),
]
MinP = Annotated[
    float | None,
    flag(DECODING, "--min-p", help="Sample from tokens at least P times as likely as the likeliest.", metavar="P"),
]
TypicalP = Annotated[
    float | None,
    flag(
        DECODING,
        "--typical-p",
        help="Sample from the most typical tokens that together have this probability.",
        metavar="P",
    ),
]
NumReturn = Annotated[
    int | None, flag(DECODING, "--num-return", help="Texts returned for each segment, in JSON.", metavar="N", min=1)
]
RepetitionPenalty = Annotated[
    float | None, flag(DECODING, "--repetition-penalty", help="Above 1 makes repetitions less likely.", metavar="X")
]
NoRepeatNgramSize = Annotated[
    int | None,
    flag(
        DECODING,
        "--no-repeat-ngram-size",
        help="Never write the same N tokens in a row twice; 0: allowed.",
        metavar="N",
        min=0,
    ),
]
MinNewTokens = Annotated[
    int | None, flag(DECODING, "--min-new-tokens", help="Shortest text, in tokens.", metavar="N", min=0)
]
MaxNewTokens = Annotated[
    str | None,
    flag(
        DECODING,
        "--max-new-tokens",
        help="Longest text, in tokens; auto: in proportion to the audio.",
        metavar="N|auto",
        callback=_tokens,
    ),
]
GenerationSet = Annotated[
    list[str] | None,
    flag(
        DECODING,
        "--generation-set",
        help="Any other key of generation_config.json; may be repeated.",
        metavar="KEY=VALUE",
    ),
]
CtcWeight = Annotated[
    float | None,
    flag(
        DECODING,
        "--ctc-weight",
        help="Weight of the CTC head beside the decoder; 0: none. Absent: as the model was trained.",
        metavar="X",
    ),
]
Lm = Annotated[
    str | None,
    flag(DECODING, "--lm", help="A causal language model over the same vocabulary: folder or Hub id.", metavar="MODEL"),
]
LmWeight = Annotated[float, flag(DECODING, "--lm-weight", help="Weight of the language model.", metavar="X")]
HotwordsFile = Annotated[
    str | None, flag(DECODING, "--hotwords", help="Words and phrases that are likely, one a line.", metavar="FILE")
]
HotwordBoost = Annotated[
    float, flag(DECODING, "--hotword-boost", help="Bonus for each token of a hotword.", metavar="X")
]
RetryRepeats = Annotated[
    bool,
    flag(
        DECODING,
        "--retry-repeats/--no-retry-repeats",
        help="Where a text repeats itself, search again: with more beams, then by chance.",
    ),
]
WordTimes = Annotated[bool, flag(DECODING, "--word-times/--no-word-times", help="Say in JSON when each word was said.")]
MaxSegment = Annotated[
    float,
    flag(
        DECODING,
        "--max-segment",
        help="Longer audio is cut in pauses; seconds.",
        metavar="SECONDS",
        min=1.0,
    ),
]
Timestamps = Annotated[
    bool | None,
    flag(
        DECODING,
        "--timestamps/--no-timestamps",
        help="Let the decoder say when each phrase begins and ends, where it can (Whisper). Absent: for srt, vtt, tsv.",
    ),
]
Vad = Annotated[
    Literal["auto", "none", "energy", "silero"],
    flag(
        DECODING,
        "--vad",
        help="How speech is told from pauses, which are left out. auto: only in audio longer than --max-segment; "
        "silero where the extra vad is installed, else energy.",
    ),
]
BatchSeconds = Annotated[
    float | None,
    flag(DECODING, "--batch-seconds", help="Audio decoded at once. Absent: what suits the device.", metavar="SECONDS"),
]
BatchSize = Annotated[int, flag(DECODING, "--batch-size", help="Pieces of audio decoded at once.", metavar="N", min=1)]
