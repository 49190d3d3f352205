"""Make the training objective of a model."""

from collections.abc import Sequence

from speechcli.checkpoints.bundle import Bundle
from speechcli.data.manifest import Utterance
from speechcli.errors import UsageError
from speechcli.text.prompts import Prompts
from speechcli.training.objective import Objective
from speechcli.training.train_options import ObjectiveSection


def make_objective(
    bundle: Bundle, options: ObjectiveSection, prompts: Prompts, utterances: Sequence[Utterance]
) -> Objective:
    """Make the objective of a run.

    Raises:
        UsageError: if language tags are to be given and not learned, but a text has no language.
    """
    objective = Objective(
        options.label_smoothing,
        options.ctc_weight,
        blank_id=_blank(bundle),
        given_labels=0 if options.learn_language else prompts.given,
        teacher_weight=options.teacher_weight,
    )
    _check_languages(objective, utterances)
    return objective


def _check_languages(objective: Objective, utterances: Sequence[Utterance]) -> None:
    silent = [u.id for u in utterances if any(target.language is None for target in u.targets)]
    if objective.given_labels and silent:
        raise UsageError(
            f"`objective.learn_language` may only be false where every text has a language, but {silent[0]} has none.",
            hint="--set data.spoken_language=en, or --set objective.learn_language=true",
        )


def _blank(bundle: Bundle) -> int:
    blank = bundle.settings.get("ctc", {}).get("blank_id")
    if blank is not None:
        return int(blank)
    pad = None if bundle.tokenizer is None else bundle.tokenizer.pad_id
    return 0 if pad is None else pad
