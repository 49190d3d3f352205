"""`speechcli info`."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechcli.cli import shared_flags as flags
from speechcli.errors import UsageError

if TYPE_CHECKING:
    from speechcli.pipelines.info import ModelInfo

ModelArgument = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="Same as --model.", show_default=False),
]


def info(
    name: ModelArgument = None,
    model: flags.Model = None,
    revision: flags.Revision = None,
    token: flags.Token = None,
    cache_dir: flags.CacheDir = None,
    offline: flags.Offline = False,
    as_json: flags.Json = False,
) -> None:
    """Describe a model without loading it."""
    if name is not None and model is not None:
        raise UsageError(f"The model must be named once, but got {name} and --model {model}.")
    from speechcli.cli.console import write_data
    from speechcli.pipelines.info import info as describe
    from speechcli.pipelines.speech_options import ModelOptions

    options = ModelOptions(
        model=model if name is None else name, revision=revision, token=token, cache_dir=cache_dir, offline=offline
    )
    found = describe(options)
    write_data((_json(found) if as_json else _text(found)).encode("utf-8", "backslashreplace"))


def _json(found: "ModelInfo") -> str:
    return json.dumps(found.to_dict(), ensure_ascii=False, indent=2) + "\n"


def _text(found: "ModelInfo") -> str:
    rows = [
        ("model", found.name),
        ("folder", found.folder),
        ("encoder", _pairs(found.encoder)),
        ("decoder", _pairs(found.decoder)),
        *([] if found.language_model is None else [("own lm", _pairs(found.language_model))]),
        ("parameters", "not known without loading" if found.parameters is None else _counts(found.parameters)),
        ("weights", ", ".join(found.dtypes) or "not known without loading"),
        ("audio", "16000 Hz (assumed)" if found.sample_rate is None else f"{found.sample_rate} Hz"),
        ("languages", ", ".join(found.languages) or "no tags: the model writes one language"),
        ("special ids", _pairs(found.special_ids)),
        ("generation", _pairs(found.generation) or "all defaults"),
        *(("missing", sentence) for sentence in found.missing),
    ]
    return "".join(f"{name:<12}{value}\n" for name, value in rows)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {json.dumps(value) if not isinstance(value, str) else value}" for key, value in values.items()
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{part} {count:,}" for part, count in counts.items())
