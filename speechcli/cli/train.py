"""`speechcli train`."""

from speechcli.cli import options as o


def train(
    output_dir: o.RunDir,
    model: o.Model = None,
    revision: o.Revision = None,
    encoder: o.MaybeEncoder = None,
    decoder: o.MaybeDecoder = None,
    token: o.Token = None,
    cache_dir: o.CacheDir = None,
    offline: o.Offline = False,
    device: o.MaybeDevice = None,
    dtype: o.MaybeDtype = None,
    threads: o.Threads = None,
    seed: o.MaybeSeed = None,
    train: o.Train = None,
    dev: o.Dev = None,
    recipe: o.Recipe = None,
    assignments: o.Set = None,
    resume: o.ResumeRun = False,
    push_to_hub: o.PushToHub = None,
    debug_overfit: o.DebugOverfit = None,
    progress: o.Progress = "auto",
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Train a model, or compose one first."""
    given = locals()
    from speechcli.cli.training import TrainingConsole, merge

    merged = merge(given)
    from speechcli.pipelines import train as pipeline  # torch comes with it
    from speechcli.pipelines.overfit import overfit
    from speechcli.pipelines.training_run.model import HubAccess

    console = TrainingConsole(progress, quiet=quiet, verbose=verbose)
    hub = HubAccess(token, cache_dir, offline)
    if debug_overfit is not None:
        return console.finish_overfit(overfit(merged, debug_overfit, hub=hub, report=console.report))
    result = pipeline.train(merged, output_dir, resume=resume, push_to=push_to_hub, hub=hub, report=console.report)
    console.finish(result)
