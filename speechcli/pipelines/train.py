"""Train a model: load or compose it, read manifests, run the loop, keep the best checkpoint."""

import math
from pathlib import Path
from typing import NamedTuple

from accelerate import Accelerator
from accelerate.utils import gather_object

from speechcli.checkpoints.bundle import Bundle, load
from speechcli.checkpoints.hub import create, upload
from speechcli.data.manifest import Utterance
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.errors import InputError, ModelError, UsageError
from speechcli.pipelines.compose_options import refuse_model
from speechcli.pipelines.files.outputs import Input, make_folder, refuse_replacing
from speechcli.pipelines.scoring import Scored, ScoringOptions, decode_utterances, make_collate
from speechcli.pipelines.search.write import TextWriter
from speechcli.pipelines.speech_options import ANONYMOUS, HubAccess
from speechcli.pipelines.training_run.data import Share, make_feed, read_manifests, spread, warn_of_leaks
from speechcli.pipelines.training_run.log import RunLog
from speechcli.pipelines.training_run.model import (
    add_teacher_head,
    load_or_compose,
    prepare_model,
    save_model,
    started,
)
from speechcli.pipelines.training_run.objective import make_objective
from speechcli.pipelines.training_run.processes import meet
from speechcli.pipelines.training_run.tensorboard import TensorBoard
from speechcli.training.events import Report, Sample, Warned
from speechcli.training.freezing import freeze
from speechcli.training.loop import Evaluation, Trainer, TrainReport
from speechcli.training.merge import RUN_OPTIONS, Merged, write_options
from speechcli.training.metrics import mean_quality, score_pairs
from speechcli.training.objective import Objective
from speechcli.training.resume import changed_options
from speechcli.training.state import TrainState, checkpoints, latest_checkpoint, load_checkpoint
from speechcli.training.train_options import TrainOptions

WRITTEN = (RUN_OPTIONS, "log.jsonl", "checkpoints", "best", "last", "tensorboard")
"""What a run writes into its folder."""


class TrainResult(NamedTuple):
    """The end of a run, and its models."""

    report: TrainReport
    best: Path | None
    """Model folder of the best evaluation; None without dev manifests."""
    last: Path
    """Model folder of the last step."""
    failures: dict[str, str]
    """Training utterances that could not be used: id -> why."""
    published: str | None = None
    """Address of the model on the Hub, if it was uploaded."""


def train(
    merged: Merged,
    output: Path,
    *,
    resume: bool = False,
    push_to: str | None = None,
    hub: HubAccess = ANONYMOUS,
    report: Report,
) -> TrainResult:
    """Train a model in a run folder.

    The folder gets `options.toml`, `log.jsonl`, `checkpoints/step-…`, and the model folders `best` and `last`.

    Args:
        merged: the options and their sources.
        output: the run's folder.
        resume: continue from the folder's newest checkpoint; without any checkpoint, the run starts again.
        push_to: OWNER/NAME on the Hub to which the best model is uploaded, or the last one without dev manifests.
        hub: how to access the Hub.
        report: receives every event.

    Raises:
        UsageError: if options contradict each other, or the folder contains a model, an input that the run would
            replace, or a run and `resume` is false.
        ModelError: if the model cannot be loaded or has no tokenizer, or the Hub does not accept it.
        InputError: if the manifests cannot be used, or none of the recordings in one of the splits.
        Stopped: at SIGINT or SIGTERM, after saving.
        TrainingDiverged: if too many steps in a row are not finite.
    """
    options = merged.options
    if push_to is not None and hub.offline:
        raise UsageError("`--push-to-hub` needs the network, but `--offline` forbids it.")
    accelerator = meet(options.run)
    folder = _run_folder(output, options, resume=resume)
    checkpoint = latest_checkpoint(folder) if resume and checkpoints(folder) else None
    state = load_checkpoint(checkpoint) if checkpoint else None
    changes = changed_options(folder, options) if checkpoint else ()
    log = _make_log(folder, options, report, state) if accelerator.is_main_process else lambda event: None
    for sentence in changes:
        log(Warned(sentence))
    bundle = load(checkpoint) if checkpoint else load_or_compose(options, hub, log)
    read = read_manifests(options.data.train, options, log, learn=True)
    utterances = [utterance for _, utterance in read]
    prepare_model(bundle, options, accelerator.device, utterances)
    if options.objective.teacher_weight > 0:
        add_teacher_head(bundle, utterances, seed=options.run.seed)
    if push_to is not None and accelerator.is_main_process:
        create(push_to, token=hub.token)  # a wrong token is an error now, not after the training
    accelerator.wait_for_everyone()  # all processes have checked the folder
    trainer = _trainer(bundle, read, options, accelerator, folder, log)
    step = 0 if state is None else state.progress["step"]

    def begin() -> None:
        if accelerator.is_main_process:
            write_options(merged, folder / RUN_OPTIONS)
        log(started(bundle, utterances, options, accelerator, step=step))

    result = trainer.run(state, begin=begin)
    best = folder / "best" if (folder / "best").is_dir() else None
    published = None
    if push_to is not None and accelerator.is_main_process:
        published = _publish(best or folder / "last", push_to, hub.token)
    accelerator.end_training()
    return TrainResult(result, best, folder / "last", trainer.feed.failures, published)


def _publish(model: Path, name: str, token: str | None) -> str:
    try:
        return upload(model, name, token=token)
    except ModelError as error:
        again = f"speechcli train --resume -o {model.parent} --push-to-hub {name}"
        raise ModelError(f"{error.message} The trained model is {model}.", hint=f"{error.hint} Then: {again}") from None


def _trainer(
    bundle: Bundle,
    read: list[tuple[str, Utterance]],
    options: TrainOptions,
    accelerator: Accelerator,
    folder: Path,
    report: Report,
) -> Trainer:
    collate = make_collate(bundle, ctc=options.objective.ctc_weight > 0)
    objective = make_objective(bundle, options.objective, collate.prompts, [utterance for _, utterance in read])
    dev = read_manifests(options.data.dev, options, report, learn=False) if options.data.dev else []
    warn_of_leaks(read, dev, report)
    evaluated = spread([utterance for _, utterance in dev], options.data.max_dev_utterances)
    collate.check_languages(evaluated)
    frozen = (*options.model.freeze, *(["ctc_head"] if bundle.model.ctc_head and not collate.ctc else []))
    if options.model.freeze_encoder_steps:  # something must be left to train, which is checked before the run begins
        freeze(bundle.model, frozen, learn=options.model.learn, encoder_frozen=True)
    freeze(bundle.model, frozen, learn=options.model.learn)
    bundle.forget_misfits()
    share = Share(accelerator.process_index, accelerator.num_processes)
    told: set[str] = set()
    return Trainer(
        model=bundle.model,
        feed=make_feed(read, collate, options, share),
        objective=objective,
        options=options,
        accelerator=accelerator,
        folder=folder,
        save=lambda target: save_model(bundle, target, options),
        validate=(lambda: _validate(bundle, evaluated, objective, options, share, told, report)) if evaluated else None,
        report=report,
        frozen=frozen,
    )


def _run_folder(output: Path, options: TrainOptions, *, resume: bool) -> Path:
    manifests = (*options.data.train, *options.data.dev)
    read: list[Input]
    if resume:
        if not output.is_dir():
            raise UsageError(f"`--resume` continues a run, but {output} is not a folder.")
        read = [path for path in manifests if not Path(path).is_dir()]  # a run may lie in the folder of a corpus
    else:
        if (output / RUN_OPTIONS).exists():
            raise UsageError(
                f"{output} already contains a run.", hint="add --resume to continue it, or give another folder with -o"
            )
        refuse_model(output)
        read = [*manifests, options.model.path, options.model.encoder, options.model.decoder]
    refuse_replacing((output / name for name in WRITTEN), read)
    make_folder(output)
    return output


def _make_log(folder: Path, options: TrainOptions, report: Report, state: TrainState | None) -> Report:
    best = state.progress["best"] if state else []
    step = state.progress["step"] if state else 0
    shown = TensorBoard(folder, report, step) if options.run.tensorboard else report
    log = RunLog(folder, options, shown, best_step=int(best[0][1]) if best else -1)
    if state:
        log.catch_up()
    return log


def _validate(
    bundle: Bundle,
    utterances: list[Utterance],
    objective: Objective,
    options: TrainOptions,
    share: Share,
    told: set[str],
    report: Report,
) -> Evaluation:
    """Evaluate on the utterances, each process on its share, and join the results.

    Args:
        bundle: the model.
        utterances: those of the dev manifests.
        objective: the losses to compute.
        options: sections `run` and `batch` are read.
        share: the rank of this process.
        told: ids of utterances whose failure was reported before; added to here.
        report: receives a warning for each other utterance that cannot be used.

    Raises:
        InputError: if no utterance can be used.
    """
    run, batch = options.run, options.batch
    generation = evaluation_options(bundle.generation, beams=run.beam_size, max_new_tokens=run.max_new_tokens)
    batches = ScoringOptions(batch.max_seconds, batch.max_items, min(batch.workers, 1), run.dtype)
    mine = utterances[share.rank :: share.processes]
    scored = decode_utterances(TextWriter(bundle, generation), mine, objective, batches) if mine else Scored()
    scored = Scored.join(gather_object([scored]))
    for name, reason in scored.failures.items():
        if name not in told:
            report(Warned(f"{name} is left out of the evaluations: {reason}"))
    told.update(scored.failures)
    if not scored.pairs:
        reason = next(iter(scored.failures.values()), "no row has a text")
        raise InputError(f"An evaluation needs at least one usable recording, but there is none: {reason}")
    scores = score_pairs(scored.pairs)
    loss = scored.losses.get("cross_entropy", math.inf)  # infinite if no token is learned
    # the quality is 0 as long as there are more errors than words, but the loss falls
    quality = mean_quality(scores) if run.best_by == "score" else 0.0
    shown = spread(scored.pairs, run.samples) if run.samples else []
    return Evaluation(
        scored.losses,
        {score.name: score.values for score in scores},
        quality or -loss,
        tuple(Sample(pair.id, pair.language or "", pair.reference, pair.hypothesis) for pair in shown),
        {score.name: score.signature for score in scores},
    )


def evaluation_options(generation: GenerationOptions, *, beams: int, max_new_tokens: int) -> GenerationOptions:
    """Return a model's options for evaluation in training: one text each, its length limited by the audio."""
    return generation.with_(
        num_beams=beams,
        num_return_sequences=1,
        do_sample=False,
        max_length=None,
        max_new_tokens=max_new_tokens or None,
    )
