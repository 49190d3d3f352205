"""Compare speechcli and transformers on the same weights and audio, alternating in one process; medians and ratios.

    python benchmarks/against_transformers.py                  # every case, bfloat16 and float32
    python benchmarks/against_transformers.py encoder beam --dtype float32 --repeats 7

The model has the shapes of wav2vec2-base and BERT-base with random weights, and generates exactly 24 tokens. In float32
the tokens of both must be the same, or the script stops. The last lines show the limits of this machine: how fast it
multiplies matrices of the encoder's shape, and how fast it reads the decoder's weights for one row. With one thread,
CPU time is measured, which hardly depends on other programs.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from speechcli.checkpoints.bundle import Bundle
from speechcli.decoding.generate import generate
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.models.pack import PackedLinear
from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder
from speechcli.pipelines.load import load_bundle
from speechcli.pipelines.speech_options import ModelOptions

TOKENS = 24
START, END, PAD = 101, 102, 0
SAMPLE_RATE = 16_000

Pair = tuple[Callable[[], list[list[int]]], Callable[[], list[list[int]]]]


def main() -> None:
    """Measure the given cases; all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="what to measure; nothing: all")
    parser.add_argument("--dtype", action="append", choices=["bfloat16", "float32"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {asked.threads} threads, {asked.device}"
    )
    print(f"{'case':34} {'dtype':9} {'transformers':>13} {'speechcli':>10} {'ratio':>6}")
    with model_folder() as folder:
        for name in asked.dtype or ["bfloat16", "float32"]:
            both = Both.load(folder, getattr(torch, name), asked.device)
            for case in asked.cases or CASES:
                theirs, ours = CASES[case](both)
                if name == "float32" and case != "greedy-int8" and theirs() != ours():
                    raise SystemExit(f"{case}: the tokens differ in float32")
                slow, fast = alternate(theirs, ours, asked.repeats, asked.device)
                print(f"{TITLES[case]:34} {name:9} {slow:11.3f} s {fast:8.3f} s {slow / fast:6.2f}", flush=True)
            print_bounds(both)


@contextmanager
def model_folder() -> Iterator[Path]:
    """Write a model with random weights as transformers writes it."""
    torch.manual_seed(0)
    encoder = transformers.Wav2Vec2Config()
    decoder = transformers.BertConfig(is_decoder=True, add_cross_attention=True)
    config = transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = START, PAD, END
    with tempfile.TemporaryDirectory() as folder:
        transformers.SpeechEncoderDecoderModel(config).save_pretrained(folder)
        yield Path(folder)


@dataclass
class Both:
    """The same weights in both implementations; ours are loaded as by the commands."""

    folder: Path
    theirs: transformers.SpeechEncoderDecoderModel
    ours: SpeechEncoderDecoder
    dtype: torch.dtype
    device: str

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, device: str) -> "Both":
        theirs = transformers.SpeechEncoderDecoderModel.from_pretrained(folder, dtype=dtype).to(device).eval()
        return cls(folder, theirs, load_ours(folder, dtype, device), dtype, device)

    def audio(self, batch: int, seconds: float) -> Tensor:
        generator = torch.Generator().manual_seed(batch)
        return torch.randn(batch, int(seconds * SAMPLE_RATE), generator=generator).to(self.device, self.dtype)


def load_ours(folder: Path, dtype: torch.dtype, device: str, quantize: str = "none") -> SpeechEncoderDecoder:
    """Load our model."""
    name = str(dtype).removeprefix("torch.")
    bundle = load_bundle(ModelOptions(str(folder), device=device, dtype=name, quantize=quantize))
    assert isinstance(bundle, Bundle)
    return bundle.model


def encoder(both: Both) -> Pair:
    """The encoder alone."""
    audio = both.audio(4, 10)

    def theirs() -> list[list[int]]:
        both.theirs.encoder(audio)
        return []

    def ours() -> list[list[int]]:
        both.ours.encode(audio)
        return []

    return theirs, ours


def decoder(both: Both, *, batch: int, beams: int, seconds: float = 10.0) -> Pair:
    """The decoder alone: both get the output of their encoder."""
    audio = both.audio(batch, seconds)
    with torch.inference_mode():
        heard = BaseModelOutput(last_hidden_state=both.theirs.encoder(audio).last_hidden_state)
        encoded = both.ours.encode(audio)
    options = GenerationOptions(
        num_beams=beams, min_new_tokens=TOKENS, max_new_tokens=TOKENS, decoder_start_token_id=START,
        eos_token_id=END, pad_token_id=PAD,
    )  # fmt: skip
    prompt = torch.full((batch, 1), START, device=both.device)

    def theirs() -> list[list[int]]:
        ids = both.theirs.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=heard.last_hidden_state),
            num_beams=beams, min_new_tokens=TOKENS, max_new_tokens=TOKENS, do_sample=False,
        )  # fmt: skip
        return ids[:, 1:].tolist()

    def ours() -> list[list[int]]:
        texts = generate(both.ours.step, both.ours.start(encoded), prompt, options)
        return [list(hypotheses[0].tokens) for hypotheses in texts]

    return theirs, ours


def greedy_int8(both: Both) -> Pair:
    """Greedy search with our decoder in 8-bit integers; the tokens may differ."""
    rounded = load_ours(both.folder, both.dtype, both.device, quantize="int8")
    return decoder(replace(both, ours=rounded), batch=1, beams=1)


CASES: dict[str, Callable[[Both], Pair]] = {
    "encoder": encoder,
    "beam": lambda both: decoder(both, batch=4, beams=5),
    "greedy": lambda both: decoder(both, batch=1, beams=1),
    "greedy-int8": greedy_int8,
}
TITLES = {
    "encoder": "encoder, 4 x 10 s",
    "beam": f"beam 5, 4 x 10 s, {TOKENS} tokens",
    "greedy": f"greedy, 1 x 10 s, {TOKENS} tokens",
    "greedy-int8": f"greedy, 1 x 10 s, {TOKENS} tokens, int8",
}


@torch.inference_mode()
def alternate(
    theirs: Callable[[], object], ours: Callable[[], object], repeats: int, device: str
) -> tuple[float, float]:
    """Return the median seconds of both, which run alternately after one warm-up run each."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(repeats + 1):
        for first, run in ((True, theirs), (False, ours)):
            started = clock(device)
            run()
            if turn:
                seconds[first].append(clock(device) - started)
    return statistics.median(seconds[True]), statistics.median(seconds[False])


def clock(device: str) -> float:
    """Return the time after all work of the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    alone = device == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()


@torch.inference_mode()
def print_bounds(both: Both) -> None:
    """Print how fast this machine multiplies and reads: no program with these weights and dtypes can be faster."""
    frames = torch.randn(2000, 768, device=both.device).to(both.dtype)
    square = torch.randn(3072, 768, device=both.device).to(both.dtype)
    rate = 2 * frames.numel() * 3072 / best(lambda: torch.nn.functional.linear(frames, square), both.device)
    once = ("cross_attn.key", "cross_attn.value")
    maps = [
        each
        for name, each in both.ours.decoder.named_modules()
        if isinstance(each, torch.nn.Linear | PackedLinear) and not name.endswith(once)
    ]
    rows = {each: torch.randn(1, each.in_features, device=both.device).to(both.dtype) for each in maps}
    read = sum(each.in_features * each.out_features * both.dtype.itemsize for each in maps)
    step = best(lambda: [each(row) for each, row in rows.items()], both.device)
    print(
        f"bounds: {rate / 1e9:.0f} GFLOP/s in products, {read / step / 1e9:.1f} GB/s reading the decoder's weights "
        f"({step * 1e3:.0f} ms a step)"
    )


def best(run: Callable[[], object], device: str, times: int = 10) -> float:
    """Return the seconds of the fastest of some runs."""
    seconds = []
    for _ in range(times):
        started = clock(device)
        run()
        seconds.append(clock(device) - started)
    return min(seconds)


if __name__ == "__main__":
    main()
