"""`speechcli train`."""

from pathlib import Path
from typing import Annotated, Literal

from speechcli.cli import shared_flags as flags
from speechcli.training.limits import MAX_SEED

TRAINING = "Training"

MaybeEncoder = Annotated[
    str | None,
    flags.flag(flags.MODEL, "--encoder", help="Pretrained speech encoder, instead of --model.", metavar="MODEL"),
]
MaybeDecoder = Annotated[
    str | None,
    flags.flag(flags.MODEL, "--decoder", help="Pretrained text decoder, instead of --model.", metavar="MODEL"),
]
Train = Annotated[
    list[Path] | None, flags.flag(TRAINING, "--train", help="Training manifest; may be repeated.", metavar="FILE")
]
Dev = Annotated[
    list[Path] | None,
    flags.flag(TRAINING, "--dev", help="Manifest to evaluate on during training; may be repeated.", metavar="FILE"),
]
Recipe = Annotated[
    str | None,
    flags.flag(TRAINING, "--recipe", help="A .toml file, or the name of a built-in recipe.", metavar="RECIPE"),
]
Set = Annotated[
    list[str] | None,
    flags.flag(TRAINING, "--set", help="Set any option of a recipe; may be repeated.", metavar="SECTION.KEY=VALUE"),
]
MaxBad = Annotated[
    float | None,
    flags.flag(
        TRAINING,
        "--max-bad",
        help="Refuse a manifest with a larger share of bad rows; default 0.01.",
        metavar="SHARE",
        min=0.0,
        max=1.0,
    ),
]
ResumeRun = Annotated[bool, flags.flag(TRAINING, "--resume/--no-resume", help="Continue the run in the output folder.")]
DebugOverfit = Annotated[
    int | None,
    flags.flag(
        TRAINING,
        "--debug-overfit",
        help="Only check that the model can overfit N recordings; nothing is written.",
        metavar="N",
        min=1,
    ),
]
PushToHub = Annotated[
    str | None,
    flags.flag(
        flags.OUTPUT,
        "--push-to-hub",
        help="Upload the best model to the Hugging Face Hub at the end.",
        metavar="OWNER/NAME",
    ),
]
RunDir = Annotated[Path, flags.flag(flags.OUTPUT, "--output-dir", "-o", help="Folder for the run.", metavar="DIR")]
MaybeDevice = Annotated[
    str | None,
    flags.flag(
        flags.MODEL, "--device", help="auto, cpu, cuda, cuda:N or mps.", callback=flags.known_device, metavar="DEVICE"
    ),
]
MaybeDtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"] | None,
    flags.flag(flags.MODEL, "--dtype", help="Number format of matrix products."),
]
MaybeSeed = Annotated[
    int | None,
    flags.flag(flags.MODEL, "--seed", help="Seed of all random choices.", metavar="N", min=0, max=MAX_SEED),
]


def train(
    output_dir: RunDir,
    model: flags.Model = None,
    revision: flags.Revision = None,
    encoder: MaybeEncoder = None,
    decoder: MaybeDecoder = None,
    token: flags.Token = None,
    cache_dir: flags.CacheDir = None,
    offline: flags.Offline = False,
    device: MaybeDevice = None,
    dtype: MaybeDtype = None,
    threads: flags.Threads = None,
    seed: MaybeSeed = None,
    train: Train = None,
    dev: Dev = None,
    recipe: Recipe = None,
    assignments: Set = None,
    max_bad: MaxBad = None,
    resume: ResumeRun = False,
    push_to_hub: PushToHub = None,
    debug_overfit: DebugOverfit = None,
    progress: flags.Progress = "auto",
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Train a model, or first join an encoder and a decoder and train that."""
    given = locals()
    from speechcli.cli.processes import is_first, one_voice
    from speechcli.cli.training import TrainingConsole, merge
    from speechcli.pipelines.speech_options import HubAccess

    with one_voice():
        merged = merge(given)
        from speechcli.pipelines import train as pipeline  # torch comes with it
        from speechcli.pipelines.overfit import overfit

        console = TrainingConsole(progress, quiet=quiet or not is_first(), verbose=verbose)
        hub = flags.pick(HubAccess, given)
        if debug_overfit is not None:
            return console.finish_overfit(overfit(merged, debug_overfit, hub=hub, report=console.report))
        result = pipeline.train(merged, output_dir, resume=resume, push_to=push_to_hub, hub=hub, report=console.report)
        console.finish(result)
