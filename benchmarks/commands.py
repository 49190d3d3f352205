"""Time whole commands: help, the first words of a short file, a folder; and measure memory for long audio.

    python benchmarks/commands.py                                    # medians of 5 runs each, in turns
    python benchmarks/commands.py folder --clips 8 --repeats 0       # a few clips of the same lengths, one run each
    python benchmarks/commands.py memory                             # 10 minutes against 3 hours of audio

Each command is compared with another one: a bare Typer program, `python -c "import torch"`, and for the folder a loop
over transformers' `generate` with its defaults. Seconds are wall-clock time and, in parentheses, CPU time, which hardly
depends on other programs.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

SAMPLES = Path(__file__).parent.parent / "samples"
SPEECHCLI = [sys.executable, "-m", "speechcli"]
SAMPLE_RATE = 16_000
SHORTEST, LONGEST = 2.0, 12.0
"""Range of the length of a clip in the folder, in seconds."""
CLIPS = 64
"""Number of clips whose time is reported; it is extrapolated if fewer are measured."""

BARE_TYPER = """
import typer
app = typer.Typer()
@app.command()
def main(name: str = "x"): print(name)
app()
"""

LOOP = """
import sys, pathlib, soundfile, torch, transformers
folder = sys.argv[1]
model = transformers.SpeechEncoderDecoderModel.from_pretrained(folder)
extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    samples, rate = soundfile.read(path, dtype="float32")
    inputs = extractor(samples, sampling_rate=rate, return_tensors="pt")
    print(path, tokenizer.decode(model.generate(inputs.input_values)[0], skip_special_tokens=True), sep="\\t")
"""


def main() -> None:
    """Measure the given cases; all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []])
    parser.add_argument("--repeats", type=int, default=5, help="after one that does not count; 0: that one counts")
    parser.add_argument("--clips", type=int, default=CLIPS, help="in the folder, their lengths spread evenly")
    asked = parser.parse_args()
    for case in asked.cases or CASES:
        with tempfile.TemporaryDirectory() as folder:
            CASES[case](Path(folder), asked)


def help_page(folder: Path, asked: argparse.Namespace) -> None:
    """`speechcli --help` against a bare Typer program."""
    program = folder / "bare.py"
    program.write_text(BARE_TYPER)
    bare, ours = in_turns([[sys.executable, str(program), "--help"], [*SPEECHCLI, "--help"]], asked.repeats)
    print(f"speechcli --help {ours}, a bare Typer program {bare}: {ours.over(bare)}")


def first_word(folder: Path, asked: argparse.Namespace) -> None:
    """A short file with the embedded model against importing torch."""
    sample = min(SAMPLES.glob("*.wav"), key=lambda path: abs(soundfile.info(path).duration - 3.0))
    torch_only, ours = in_turns(
        [[sys.executable, "-c", "import torch"], [*SPEECHCLI, "transcribe", str(sample)]], asked.repeats
    )
    print(
        f"{sample.name} ({soundfile.info(sample).duration:.1f} s of audio) {ours}, `import torch` {torch_only}: "
        f"{ours.over(torch_only.later(1.0))} that and one second"
    )


def whole_folder(folder: Path, asked: argparse.Namespace) -> None:
    """Clips of 2 to 12 s with a model of the shapes of wav2vec2-base and BERT-base.

    One clip as long as the mean of all is measured, too: it tells what starting costs, and so what any number would.
    """
    model = folder / "model"
    write_model(model)
    few = write_clips(folder / "one", [(SHORTEST + LONGEST) / 2])
    many = write_clips(folder / "all", list(np.linspace(SHORTEST, LONGEST, asked.clips)))
    commands = [
        command
        for clips in (few, many)
        for command in (
            [sys.executable, "-c", LOOP, str(model), str(clips)],
            [*SPEECHCLI, "transcribe", str(clips), "--model", str(model), "-q"],
        )
    ]
    their_one, our_one, theirs, ours = in_turns(commands, asked.repeats)
    print(
        f"{asked.clips} clips of {SHORTEST:.0f} to {LONGEST:.0f} s: speechcli {ours} (one: {our_one}), "
        f"a loop over transformers' generate {theirs} (one: {their_one}): {theirs.over(ours)}"
    )
    our_total, their_total = ours.grown(our_one, asked.clips, CLIPS), theirs.grown(their_one, asked.clips, CLIPS)
    print(f"{CLIPS} clips by these: {our_total} and {their_total}: {their_total.over(our_total)}")


def write_clips(folder: Path, lengths: list[float]) -> Path:
    """Write noise of some seconds each."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number, seconds in enumerate(lengths):
        samples = noise.normal(0.0, 0.1, int(seconds * SAMPLE_RATE)).astype(np.float32)
        soundfile.write(folder / f"{number:02d}.wav", samples, SAMPLE_RATE)
    return folder


def memory(folder: Path, asked: argparse.Namespace) -> None:
    """Peak memory over 10 minutes and over 3 hours of speech."""
    speech = np.concatenate(
        [soundfile.read(path, dtype="float32", always_2d=True)[0][:, 0] for path in sorted(SAMPLES.glob("*.wav"))]
    )
    peaks = {}
    for name, seconds in {"10 minutes": 600, "3 hours": 10800}.items():
        path = folder / f"{seconds}.flac"
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
            for _ in range(seconds * SAMPLE_RATE // len(speech) + 1):
                file.write(speech)
        code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        command = [sys.executable, "-c", code, *SPEECHCLI, "transcribe", str(path), "-q"]
        peaks[name] = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout) / 1024
    shown = ", ".join(f"{name} {peak:.0f} MiB" for name, peak in peaks.items())
    print(f"peak memory: {shown}: {peaks['3 hours'] - peaks['10 minutes']:+.0f} MiB")


CASES = {"help": help_page, "first-word": first_word, "folder": whole_folder, "memory": memory}


class Spent(NamedTuple):
    """Seconds that a command took."""

    elapsed: float
    processor: float

    def __str__(self) -> str:
        return f"{self.elapsed:.2f} s ({self.processor:.2f})"

    def over(self, other: "Spent") -> str:
        return f"{self.elapsed / other.elapsed:.2f} times ({self.processor / other.processor:.2f})"

    def grown(self, one: "Spent", items: int, wanted: int) -> "Spent":
        """Extrapolate the time for many items from the times for some items and for one."""
        return Spent(*(few + (wanted - 1) * (some - few) / (items - 1) for some, few in zip(self, one, strict=True)))

    def later(self, seconds: float) -> "Spent":
        return Spent(self.elapsed + seconds, self.processor + seconds)


def in_turns(commands: list[list[str]], repeats: int) -> list[Spent]:
    """Return the median time of each command; they run alternately after one warm-up run each."""
    runs: list[list[Spent]] = [[] for _ in commands]
    for turn in range(repeats + 1):
        for place, command in enumerate(commands):
            started = clock()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            if turn or not repeats:
                runs[place].append(Spent(*(after - before for before, after in zip(started, clock(), strict=True))))
    return [Spent(*map(statistics.median, zip(*each, strict=True))) for each in runs]


def clock() -> Spent:
    """Return the wall-clock time, and the CPU time of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(time.perf_counter(), used.ru_utime + used.ru_stime)


def write_model(folder: Path) -> None:
    """Write a model with random weights that generates 24 tokens, as transformers writes it."""
    torch.manual_seed(0)
    config = transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.Wav2Vec2Config(), transformers.BertConfig(is_decoder=True, add_cross_attention=True)
    )
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 101, 0, 102
    model = transformers.SpeechEncoderDecoderModel(config)
    model.generation_config.min_new_tokens = model.generation_config.max_new_tokens = 24
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    words = {f"w{number}": number for number in range(30522)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w100"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


if __name__ == "__main__":
    main()
