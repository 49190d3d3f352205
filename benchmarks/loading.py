"""Compare time and peak memory for loading a full-size model with speechcli and transformers, each in its own process.

    python benchmarks/loading.py                          # every shape; needs 12 GB of disk and 12 GB of memory
    python benchmarks/loading.py bart-large --repeats 1

The shapes are those of popular checkpoints, with random weights in float32 shards. The logits of 3 s of noise must be
the same, or the script stops. Peaks are those of the whole process after computing the logits, including mapped files;
"with imports" is the peak before loading. `warm-start` splits the model and joins it again; `average` averages both.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SAMPLE_RATE = 16_000
TOLERANCE = 1e-3

LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
    "add_adapter": True,
    "output_hidden_size": 1024,
}
WIDE_DECODER: dict[str, Any] = {
    "d_model": 1024,
    "decoder_layers": 12,
    "decoder_attention_heads": 16,
    "decoder_ffn_dim": 4096,
    "max_position_embeddings": 1024,
    "is_decoder": True,
    "add_cross_attention": True,
}
SHAPES = {
    "xls-r-300m-en-to-15": ("MBartConfig", {"vocab_size": 250_054, "scale_embedding": True}),
    "bart-large": ("BartConfig", {"vocab_size": 50_265}),
}
"""facebook/wav2vec2-xls-r-300m-en-to-15 and its sisters; patrickvonplaten/wav2vec2-2-bart-large."""


def main() -> None:
    """Measure the shapes that are named, all by default; or, as a child of that, one thing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", choices=[*SHAPES, []], help="what to measure; nothing: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(CHILDREN[asked.child[0]](Path(asked.child[1]))))
        return
    for shape in asked.shapes or SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            measure(shape, Path(folder), asked.repeats)


def measure(shape: str, folder: Path, repeats: int) -> None:
    """Print what one shape takes."""
    run("write", folder / shape)
    loads: dict[str, list[dict[str, float]]] = {"transformers": [], "speechcli": []}
    for _ in range(repeats):
        for name, found in loads.items():
            found.append(run(name, folder / shape))
    theirs, ours = (torch.load(folder / shape / f"{name}.pt") for name in loads)
    worst = (theirs - ours).abs().max().item()
    if worst > TOLERANCE:
        raise SystemExit(f"{shape}: the logits differ by {worst}")
    size = sum(path.stat().st_size for path in (folder / shape).glob("*.safetensors")) / 1e9
    print(f"{shape}, {size:.2f} GB of weights; logits differ by {worst:.1e}")
    for name, found in loads.items():
        tell(f"load, {name}", {key: statistics.median(each[key] for each in found) for key in found[0]})
    for name in ("warm-start", "average"):
        tell(name, run(name, folder / shape))


def tell(name: str, found: dict[str, float]) -> None:
    """Print one line."""
    seconds = f"{found['seconds']:6.2f} s ({found['processor']:.2f} s of the processor)"
    print(f"  {name:20} {seconds}, peak {found['peak']:.2f} GB (with imports {found['before']:.2f})", flush=True)


def run(what: str, folder: Path) -> dict[str, float]:
    """Run one thing in a process of its own."""
    command = [sys.executable, __file__, "--child", what, str(folder)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return dict(json.loads(lines[-1]))


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return what some work takes."""
    before, started, busy = peak(), time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - started, time.process_time() - busy
    return {"seconds": seconds, "processor": processor, "peak": peak(), "before": before}


def peak() -> float:
    """Return the most memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def noise() -> torch.Tensor:
    """Return 3 s of it."""
    return torch.randn(1, 3 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0))


def write(folder: Path) -> dict[str, float]:
    """Write a model with random weights, as transformers writes it."""
    import transformers

    kind, values = SHAPES[folder.name]
    encoder = transformers.Wav2Vec2Config(**LARGE)
    decoder = getattr(transformers, kind)(**WIDE_DECODER, **values)
    config = transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 1, 2
    model = transformers.SpeechEncoderDecoderModel(config)
    model.save_pretrained(folder, max_shard_size="1GB")
    return {}


def load_theirs(folder: Path) -> dict[str, float]:
    """Load a model with transformers."""
    import transformers

    found = []
    result = timed(lambda: found.append(transformers.SpeechEncoderDecoderModel.from_pretrained(folder).eval()))
    with torch.inference_mode():
        logits = found[0](input_values=noise(), decoder_input_ids=torch.tensor([[2, 5, 7]])).logits
    torch.save(logits, folder / "transformers.pt")
    return result | {"peak": peak()}


def load_ours(folder: Path) -> dict[str, float]:
    """Load a model with speechcli."""
    from speechcli.checkpoints.bundle import load

    found = []
    result = timed(lambda: found.append(load(folder).model))
    with torch.inference_mode():
        logits = found[0](noise(), None, torch.tensor([[2, 5, 7]])).logits
    torch.save(logits, folder / "speechcli.pt")
    return result | {"peak": peak()}


def warm_start(folder: Path) -> dict[str, float]:
    """Join the halves of a model to a new one."""
    from speechcli.pipelines.compose_options import ComposeOptions
    from speechcli.pipelines.warm_start import warm_start

    ids = {"decoder_start_token_id": 2, "pad_token_id": 1, "eos_token_id": 2}
    options = ComposeOptions(encoder=str(folder), decoder=str(folder), output_dir=folder / "warm", **ids)
    return timed(lambda: warm_start(options))


def average(folder: Path) -> dict[str, float]:
    """Average a model and what `warm_start` made of it."""
    from speechcli.pipelines.average import average

    return timed(lambda: average([folder, folder / "warm"], folder / "mean"))


CHILDREN = {
    "write": write,
    "transformers": load_theirs,
    "speechcli": load_ours,
    "warm-start": warm_start,
    "average": average,
}


if __name__ == "__main__":
    main()
