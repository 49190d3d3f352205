"""Flags for decoding: shared by `transcribe` and `translate`, most of them also by `evaluate`."""

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
    flag(DECODING, "--to", help="Target language; may be repeated.", metavar="LANGUAGE"),
]
Strategy = Annotated[
    Literal["greedy", "beam", "sample"] | None,
    flag(
        DECODING,
        "--strategy",
        help="Search strategy. Unset decoding options: as in the model's generation_config.json.",
    ),
]
BeamSize = Annotated[int | None, flag(DECODING, "--beam-size", help="Number of beams.", metavar="N", min=1)]
LengthPenalty = Annotated[
    float | None, flag(DECODING, "--length-penalty", help="Above 0 favors longer texts.", metavar="X")
]
EarlyStopping = Annotated[
    Literal["true", "false", "never"] | None,
    flag(
        DECODING,
        "--early-stopping",
        help="Stop when enough beams have finished (true), or better ones are unlikely (false) or impossible (never).",
        callback=_early_stopping,
    ),
]
Temperature = Annotated[
    float | None,
    flag(
        DECODING,
        "--temperature",
        help="Sampling temperature: below 1 prefers likely tokens, above 1 less likely ones.",
        metavar="X",
    ),
]
TopK = Annotated[
    int | None, flag(DECODING, "--top-k", help="Sample from the N most likely tokens; 0: from all.", metavar="N", min=0)
]
TopP = Annotated[
    float | None,
    flag(
        DECODING,
        "--top-p",
        help="Sample from the most likely tokens that together have this probability.",
        metavar="P",
        max=1.0,
    ),
]
MinP = Annotated[
    float | None,
    flag(
        DECODING, "--min-p", help="Sample from tokens at least P times as likely as the most likely one.", metavar="P"
    ),
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
    int | None,
    flag(DECODING, "--num-return", help="Number of alternative texts per segment, in JSON.", metavar="N", min=1),
]
RepetitionPenalty = Annotated[
    float | None, flag(DECODING, "--repetition-penalty", help="Above 1 makes repetitions less likely.", metavar="X")
]
NoRepeatNgramSize = Annotated[
    int | None,
    flag(
        DECODING,
        "--no-repeat-ngram-size",
        help="No sequence of N tokens may occur twice; 0: no limit.",
        metavar="N",
        min=0,
    ),
]
MinNewTokens = Annotated[
    int | None, flag(DECODING, "--min-new-tokens", help="Minimum length of a text, in tokens.", metavar="N", min=0)
]
MaxNewTokens = Annotated[
    str | None,
    flag(
        DECODING,
        "--max-new-tokens",
        help="Maximum length of a text, in tokens; auto: in proportion to the audio.",
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
        help="Weight of the CTC scores in the search; 0: decoder only. Default: as the model was trained.",
        metavar="X",
    ),
]
Lm = Annotated[
    str | None,
    flag(
        DECODING,
        "--lm",
        help="Causal language model with the same vocabulary: folder or Hub id. Default: the model's own, if any.",
        metavar="MODEL",
    ),
]
LmWeight = Annotated[
    float | None,
    flag(
        DECODING,
        "--lm-weight",
        help="Weight of the language model; 0: none. Default: as the model's own was tuned, or 0.3.",
        metavar="X",
    ),
]
Memory = Annotated[
    str | None,
    flag(
        DECODING,
        "--memory",
        help="Translation memory: manifest of texts with translations; those of similar transcripts are favored.",
        metavar="FILE",
    ),
]
MemoryWeight = Annotated[
    float,
    flag(
        DECODING,
        "--memory-weight",
        help="Share of the translation memory where it contains the very transcript; less where texts differ.",
        metavar="X",
    ),
]
HotwordsFile = Annotated[
    str | None, flag(DECODING, "--hotwords", help="File of likely words and phrases, one per line.", metavar="FILE")
]
HotwordBoost = Annotated[
    float, flag(DECODING, "--hotword-boost", help="Score bonus per token of a hotword.", metavar="X")
]
RetryRepeats = Annotated[
    bool,
    flag(
        DECODING,
        "--retry-repeats/--no-retry-repeats",
        help="Decode a repetitive text again: with more beams, then by sampling.",
    ),
]
WordTimes = Annotated[
    bool,
    flag(DECODING, "--word-times/--no-word-times", help="Give JSON and subtitles the times of words."),
]
MaxSegment = Annotated[
    float,
    flag(
        DECODING,
        "--max-segment",
        help="Longest piece decoded at once; longer audio is cut at pauses.",
        metavar="SECONDS",
        min=1.0,
    ),
]
Timestamps = Annotated[
    bool | None,
    flag(
        DECODING,
        "--timestamps/--no-timestamps",
        help="Let the decoder predict phrase times, if it can (Whisper). Default: for srt, vtt and tsv.",
    ),
]
Vad = Annotated[
    Literal["auto", "none", "energy", "silero"],
    flag(
        DECODING,
        "--vad",
        help="Voice activity detection: pauses are skipped. auto: only in audio longer than --max-segment; "
        "silero if the extra vad is installed, else energy.",
    ),
]
BatchSeconds = Annotated[
    float | None,
    flag(
        DECODING,
        "--batch-seconds",
        help="Seconds of audio per batch. Default: depends on the device.",
        metavar="SECONDS",
    ),
]
BatchSize = Annotated[
    int, flag(DECODING, "--batch-size", help="Maximum pieces of audio per batch.", metavar="N", min=1)
]
