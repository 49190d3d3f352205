"""Which options may change when a run is resumed."""

from pathlib import Path

from speechcli.errors import UsageError
from speechcli.training.merge import RUN_OPTIONS, merge_options
from speechcli.training.train_options import TrainOptions

# Options that do not change the training steps: duration, frequency and hardware.
FREE = (
    "data.dev",
    "data.cache_audio",
    "data.max_dev_utterances",
    "batch.workers",
    *(f"run.{key}" for key in ("max_steps", "max_epochs", "max_minutes", "eval_every", "save_every", "log_every")),
    *(f"run.{key}" for key in ("keep_last", "keep_best", "patience", "threads", "tensorboard", "samples", "beam_size")),
    "run.max_new_tokens",
    "run.shard_weights",
)


def changed_options(run: Path, options: TrainOptions) -> list[str]:
    """Compare the options of a resumed run with its original ones.

    Args:
        run: folder of the run.
        options: the options of the resumed run.

    Returns:
        A sentence for each change that affects the rest of the run.

    Raises:
        UsageError: if the checkpoint does not fit the options, because other weights would be trained, or its best
            score is one of another kind.
    """
    if not (run / RUN_OPTIONS).is_file():
        return []
    before, now = _flat(merge_options(run=run).options), _flat(options)
    changed = {key: (before[key], now[key]) for key in now if before[key] != now[key] and key not in FREE}
    for key, (old, new) in changed.items():
        if _reshapes(key, old, new):
            raise UsageError(
                f"A resumed run must train the same weights, but `{key}` was {_shown(old)} and is {_shown(new)}.",
                hint=f"leave {key} as it was, or start a new run with --model {run / 'last'}",
            )
    if "run.best_by" in changed and before["data.dev"]:
        old, new = changed["run.best_by"]
        raise UsageError(
            f"A resumed run must compare its evaluations as before, but `run.best_by` was {old} and is {new}.",
            hint="leave run.best_by as it was",
        )
    return [
        f"`{key}` was {_shown(old)} and is {_shown(new)}: the run is not the same as without the interruption."
        for key, (old, new) in changed.items()
    ]


def _reshapes(key: str, old: object, new: object) -> bool:
    """Whether a change needs different weights or a different optimizer state."""
    if key in ("objective.ctc_weight", "objective.teacher_weight", "run.ema_decay"):
        return bool(old) != bool(new)
    return key.startswith("model.") or key == "objective.ctc_vocabulary"


def _flat(options: TrainOptions) -> dict[str, object]:
    return {f"{section}.{key}": value for section, keys in options.to_dict().items() for key, value in keys.items()}


def _shown(value: object) -> str:
    return "unset" if value is None else f"{list(value) if isinstance(value, tuple) else value}"
