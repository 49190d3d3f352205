"""Download and upload of models. Only this file imports huggingface_hub, and only when it is needed."""

import errno
import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from speechcli.checkpoints.folder import CTC_HEAD, LANGUAGE_MODEL
from speechcli.checkpoints.language_adapters import adapters_among
from speechcli.errors import ModelError, OutputError, SpeechCliError, UsageError
from speechcli.text.languages import resolve_language
from speechcli.text.vocabulary import FILE_NAMES as TOKENIZER_FILES

EMBEDDED = Path(__file__).resolve().parent.parent / "default_model"

_SMALL = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "speechcli.json",
    *TOKENIZER_FILES,
    f"{LANGUAGE_MODEL}/config.json",
)
_WITH_WEIGHTS = (CTC_HEAD, f"{LANGUAGE_MODEL}/model.safetensors")
# If there are several kinds of weights, the first is downloaded.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
    ("flax_model.msgpack", "flax_model.msgpack.index.json", "flax_model-*-of-*.msgpack"),
)

# OWNER/NAME or NAME, optionally with @REVISION (a branch, a tag such as refs/pr/3, or a commit)
_NAME = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?)(@(?P<revision>[\w./-]+))?")


def resolve_model(
    name: str | None,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: Path | None = None,
    offline: bool = False,
    language: str | None = None,
    weights: bool = True,
) -> Path:
    """Return the folder of a model; required files are downloaded.

    Args:
        name: a folder (existing paths take precedence; ``./x`` is always a path), ``OWNER/NAME``,
            ``OWNER/NAME@REVISION``, or None for the embedded model.
        revision: branch, tag or commit on the Hugging Face Hub.
        token: access token of the Hub; None: that of huggingface_hub (``HF_TOKEN``, or a login).
        cache_dir: folder for downloads; None: that of huggingface_hub.
        offline: never use the network.
        language: the spoken language; if an encoder has adapters for languages (MMS), only its file is downloaded.
        weights: whether weights are needed.

    Raises:
        ModelError: there is no such folder or model, it is not accessible, or the Hub cannot be reached.
        UsageError: the name is empty, two different revisions are given, a revision is given for a model that is not
            on the Hub, or the model has no adapters for the language.
        OutputError: the download cannot be stored.
    """
    if name is None:
        if revision is not None:
            raise UsageError("--revision is for models on the Hugging Face Hub, but no model is named.")
        if not (EMBEDDED / "config.json").exists():
            raise ModelError("This installation has no embedded model.", hint="Name a model with --model.")
        return EMBEDDED
    if not name:  # Path("") would be the current folder
        raise UsageError("A model has an empty name.", hint="Is a shell variable not set?")
    path = Path(os.path.expanduser(name))
    if os.path.exists(path):  # also works for names that are too long for a path
        if revision is not None:
            raise UsageError(f"--revision is for models on the Hugging Face Hub, but {name} is a folder here.")
        if path.is_file():
            raise ModelError(f"A model is a folder, but {name} is a file.", hint=f"Did you mean {path.parent}?")
        return path
    common = {**_repository(name, revision), "token": token, "cache_dir": cache_dir}
    return _snapshot(common, offline=offline, language=language, weights=weights)


def read_headers(
    name: str, *, revision: str | None = None, token: str | None = None
) -> dict[str, dict[str, Any]] | None:
    """Read data type and shape of each tensor of a model on the Hub from the headers of its weight files.

    Args:
        name: ``OWNER/NAME`` or ``OWNER/NAME@REVISION``.
        revision: branch, tag or commit.
        token: access token of the Hub; None: that of huggingface_hub.

    Returns:
        the entries by name; None if there are no safetensors files, since others have no header.

    Raises:
        ModelError: there is no such model, it is not accessible, or the Hub cannot be reached.
    """
    import huggingface_hub
    from huggingface_hub.errors import NotASafetensorsRepoError

    where = _repository(name, revision)
    try:
        found = huggingface_hub.HfApi().get_safetensors_metadata(**where, token=token)
    except NotASafetensorsRepoError:
        return None
    except Exception as error:
        raise _explained(_shown(where), error) from None
    files = found.files_metadata.values()
    return {key: {"dtype": item.dtype, "shape": item.shape} for file in files for key, item in file.tensors.items()}


def _repository(name: str, revision: str | None) -> dict[str, Any]:
    match = _NAME.fullmatch(name)
    if match is None or name.startswith((".", "~")):
        raise ModelError(f"There is no folder {name}.", hint="A model is a folder, or OWNER/NAME on the Hub.")
    if revision and match["revision"] and revision != match["revision"]:
        raise UsageError(f"{name} names one revision and --revision another: {revision}.", hint="Give only one.")
    return {"repo_id": match["name"], "revision": revision or match["revision"]}


def _shown(where: Mapping[str, Any]) -> str:
    return str(where["repo_id"]) + (f"@{where['revision']}" if where["revision"] else "")


def _snapshot(common: dict[str, Any], *, offline: bool, language: str | None, weights: bool) -> Path:
    import huggingface_hub
    from huggingface_hub import constants

    name, shown = common["repo_id"], _shown(common)
    if offline or constants.HF_HUB_OFFLINE:
        hint = "Run once without --offline (or HF_HUB_OFFLINE), or name a folder."
        problem: SpeechCliError = ModelError(
            f"{shown} is not in the cache, and the network may not be used.", hint=hint
        )
    else:
        try:
            names = huggingface_hub.HfApi().list_repo_files(name, revision=common["revision"], token=common["token"])
            wanted = _wanted(names, language, weights)
            if not wanted:
                raise ModelError(f"{shown} on the Hub is not a model: it has {', '.join(names[:12]) or 'no files'}.")
            return Path(huggingface_hub.snapshot_download(**common, allow_patterns=wanted))
        except (UsageError, ModelError):
            raise
        except Exception as error:
            problem = _explained(shown, error)
            if not _is_network(error):
                raise problem from None  # the message of the original error may contain the request
    cached = _cached(common, weights)
    if cached is None:
        raise problem
    return cached


def _cached(common: Mapping[str, Any], weights: bool) -> Path | None:
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    where = {key: common[key] for key in ("repo_id", "revision", "cache_dir")}
    try:
        found = (huggingface_hub.try_to_load_from_cache(filename=name, **where) for name in _SMALL)
        folder = next((Path(path).parent for path in found if isinstance(path, str)), None)
        kind = () if folder is None else _kind_of_weights([path.name for path in folder.iterdir()])
        if folder is None or (weights and not kind):
            return None
        # This checks that all matching files of the repository are in the cache.
        patterns = [*_SMALL, *((*kind, *_WITH_WEIGHTS) if weights else ())]
        return Path(huggingface_hub.snapshot_download(**where, allow_patterns=patterns, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _wanted(names: Sequence[str], language: str | None, weights: bool) -> list[str]:
    # only plain names of files at the top level and known ones, so that no listing can lead elsewhere
    wanted = [name for name in names if name in _SMALL]
    if weights:
        adapters = adapters_among(names)
        spoken = [] if language is None or not adapters else [adapters[resolve_language(language, adapters)]]
        kind = _kind_of_weights(names)
        wanted += [name for name in names if name in _WITH_WEIGHTS or _matches(name, kind)] + spoken
    return wanted


def _kind_of_weights(names: Sequence[str]) -> tuple[str, ...]:
    return next((kind for kind in _WEIGHTS if any(_matches(name, kind) for name in names)), ())


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return "/" not in name and any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_network(error: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        status = getattr(error.response, "status_code", None)
        return status is None or status == 429 or status >= 500
    if isinstance(error, (OfflineModeIsEnabled, LocalEntryNotFoundError, ConnectionError, TimeoutError)):
        return True
    # huggingface_hub changed its HTTP client between 1.x and 2.x: httpx, then httpx2
    return type(error).__module__.startswith(("httpx", "httpcore"))


def _explained(shown: str, error: Exception) -> SpeechCliError:
    from huggingface_hub import errors

    login = "Check the spelling; for a private model give --token or set HF_TOKEN."
    if isinstance(error, errors.GatedRepoError):
        hint = (
            f"Accept its terms at https://huggingface.co/{shown.partition('@')[0]}, then give --token or set HF_TOKEN."
        )
        return ModelError(f"{shown} is a gated model, and you have no access to it.", hint=hint)
    if isinstance(error, errors.RevisionNotFoundError):
        name, _, revision = shown.partition("@")
        return ModelError(f"{name} on the Hugging Face Hub has no revision {revision!r}.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(f"There is neither a folder {shown} nor a model of that name on the Hub.", hint=login)
    if isinstance(error, errors.HFValidationError):
        return ModelError(f"{shown} is neither a folder nor a possible name on the Hub.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
        return OutputError(f"{shown} cannot be stored: {error.strerror}.", hint="Name another place with --cache-dir.")
    if isinstance(error, OSError) and "Consistency check" in str(error):
        return ModelError(f"{shown} was not downloaded whole.", hint="Run the same command again.")
    if _is_network(error):
        hint = "Check the connection, or name a folder that is already here."
        return ModelError(f"{shown} is not in the cache, and the Hub cannot be reached ({_name(error)}).", hint=hint)
    return ModelError(f"{shown} cannot be downloaded ({_name(error)}).", hint=login)


def _name(error: Exception) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    status = getattr(error.response, "status_code", None) if isinstance(error, HfHubHTTPError) else None
    return type(error).__name__ if status is None else f"HTTP status {status}"


def create(name: str, *, token: str | None = None, private: bool | None = None) -> str:
    """Create a model on the Hugging Face Hub, unless it exists, and return its URL.

    Args:
        name: OWNER/NAME.
        token: access token of the Hub; None: that of huggingface_hub.
        private: whether a new model is private; None: the default of the owner.

    Raises:
        ModelError: the name or the token is not accepted, or the Hub cannot be reached.
    """
    import huggingface_hub

    try:
        return str(huggingface_hub.HfApi(token=token).create_repo(name, private=private, exist_ok=True))
    except Exception as error:
        raise _unwritten(name, error) from None


def upload(folder: Path, name: str, *, token: str | None = None, private: bool | None = None) -> str:
    """Upload a model folder to the Hugging Face Hub, and return its URL; for the arguments see `create`.

    Raises:
        ModelError: the name or the token is not accepted, or the Hub cannot be reached.
    """
    import huggingface_hub

    address = create(name, token=token, private=private)
    try:
        api = huggingface_hub.HfApi(token=token)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload model")
    except Exception as error:
        raise _unwritten(name, error) from None
    return address


def _unwritten(name: str, error: Exception) -> ModelError:
    hint = "Check the name, and give a token with write access (token=…, or HF_TOKEN)."
    if _is_network(error):
        hint = "The Hub cannot be reached; try again later."
    return ModelError(f"{name} cannot be written on the Hub ({_name(error)}).", hint=hint)
