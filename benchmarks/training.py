"""Compare transformers' Seq2SeqTrainer and `speechcli train` on the same model, recordings and dtype, in alternation.

    python benchmarks/training.py
    python benchmarks/training.py --clips 2000 --batch-seconds 240 --dtype bfloat16 --device cuda --workers 4

Durations are distributed like those of read speech: log-normal, 5 s on average, from 1 to 20 s. Seq2SeqTrainer has a
fixed number of recordings per batch, drawn at random or grouped by length, and a minimal collator. With `same audio`,
its batches contain as much audio as ours on average, which takes more memory; with `same memory`, as many recordings as
fit into our batch if all have the maximum length. On CPUs, CPU time on one thread is measured, which does not depend on
other programs; on GPUs, wall-clock time.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tokenizers
import torch
import transformers
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler

from speechcli.pipelines.scoring import make_collate
from speechcli.pipelines.train import train
from speechcli.pipelines.training_run.data import make_feed, read_manifests
from speechcli.training.events import Stepped
from speechcli.training.merge import Merged, merge_options

RATE = 16_000
LETTERS = "abcdefghijklmnopqrstuvwxyz "


def main() -> None:
    """Measure both; print seconds of audio per second, and the share of padding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--batch-seconds", type=float, default=80.0)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--width", type=int, default=128, help="of the encoder and the decoder")
    asked = parser.parse_args()
    if asked.device == "cpu":
        torch.set_num_threads(1)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {asked.device}, {asked.dtype}")
    with tempfile.TemporaryDirectory() as folder:
        case = Case(Path(folder), asked)
        rivals = {
            f"Seq2SeqTrainer, {order}, {size}": Measure(lambda c=count, g=grouped: case.theirs(c, grouped=g))
            for size, count in (("same audio", case.audio_items), ("same memory", case.memory_items))
            for order, grouped in (("random", False), ("by length", True))
        } | {"speechcli train": Measure(case.ours)}
        for _ in range(asked.repeats):
            for measure in rivals.values():
                measure.take()
        fastest = case.seconds / min(rivals["speechcli train"].times)
        print(f"{'':40} {'audio/s':>8} {'padding':>8} {'ours is':>8}")
        for name, measure in rivals.items():
            rate = case.seconds / min(measure.times)
            print(f"{name:40} {rate:8.1f} {measure.waste:8.1%} {fastest / rate:7.2f}×")


@dataclass
class Measure:
    """The epochs of one contestant."""

    run: Callable[[], tuple[float, float]]
    times: list[float] = field(default_factory=list)
    waste: float = 0.0

    def take(self) -> None:
        """Run an epoch."""
        seconds, self.waste = self.run()
        self.times.append(seconds)


class Case:
    """A model and recordings, and how both are trained on them."""

    def __init__(self, folder: Path, asked: argparse.Namespace) -> None:
        self.folder, self.asked = folder, asked
        self.clock = time.process_time if asked.device == "cpu" else time.perf_counter
        self.lengths = write_recordings(folder, asked.clips)
        self.seconds = sum(self.lengths) / RATE
        self.audio_items = max(1, round(asked.batch_seconds / (self.seconds / asked.clips)))
        self.memory_items = max(1, int(asked.batch_seconds * RATE / max(self.lengths)))
        self.model, self.tokenizer = write_model(folder / "model", asked.width)
        self.extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
        self.runs = 0

    def ours(self) -> tuple[float, float]:
        """Train an epoch; return its seconds and its share of padding."""
        merged = self._options()
        waste = padding_waste(merged, self.folder / "model")
        clock = Clock(self.clock)
        self.runs += 1
        train(merged, self.folder / f"run{self.runs}", report=lambda event: clock.tick(isinstance(event, Stepped)))
        return clock.seconds, waste

    def _options(self) -> Merged:
        values = {
            "model.path": str(self.folder / "model"),
            "data.train": str(self.folder / "train.tsv"),
            "data.tasks": ["transcribe"],
            "batch.max_seconds": self.asked.batch_seconds,
            "batch.workers": self.asked.workers,
            "optimizer.warmup_steps": 10,
            "run.max_epochs": 1,
            "run.save_every": 10**6,
            "run.log_every": 1,
            "run.device": self.asked.device,
            "run.dtype": self.asked.dtype,
        }
        return merge_options(explicit=values)

    def theirs(self, items: int, *, grouped: bool) -> tuple[float, float]:
        """Train an epoch; return its seconds and its share of padding."""
        clock, padded = Clock(self.clock), [0]
        arguments = transformers.Seq2SeqTrainingArguments(
            output_dir=str(self.folder / "theirs"),
            per_device_train_batch_size=items,
            num_train_epochs=1,
            learning_rate=1e-4,
            warmup_steps=10,
            max_grad_norm=5.0,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=self.asked.device == "cpu",
            bf16=self.asked.dtype == "bfloat16",
            dataloader_num_workers=self.asked.workers,
        )
        trainer = LengthTrainer(
            model=transformers.SpeechEncoderDecoderModel.from_pretrained(self.folder / "model"),
            args=arguments,
            train_dataset=Recordings(self.folder, len(self.lengths)),
            data_collator=PlainCollator(self.extractor, self.tokenizer, padded),
            callbacks=[clock],
        )
        trainer.lengths, trainer.grouped = self.lengths, grouped
        trainer.train()
        return clock.seconds, 1.0 - sum(self.lengths) / max(padded[0], 1)


class Clock(transformers.TrainerCallback):
    """Seconds from before the first step to the end of the last, without making and saving the model."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._begun, self.seconds = clock, 0.0, 0.0

    def tick(self, stepped: bool) -> None:
        """Note an event of ours: the last before the steps, and each step."""
        if stepped:
            self.seconds = self._clock() - self._begun
        elif not self.seconds:
            self._begun = self._clock()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._begun = self._clock()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds = self._clock() - self._begun


class Recordings(Dataset[dict[str, Any]]):
    """Read a recording when it is asked for."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        samples, _ = soundfile.read(self._folder / f"{number}.wav", dtype="float32")
        return {"samples": samples, "text": (self._folder / f"{number}.txt").read_text()}


@dataclass
class PlainCollator:
    """Normalize, tokenize and pad, as the example script of transformers does; count the padded samples."""

    extractor: Any
    tokenizer: Any
    padded: list[int]

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Make a batch."""
        batch = self.extractor([row["samples"] for row in rows], sampling_rate=RATE, padding=True, return_tensors="pt")
        texts = self.tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
        batch["labels"] = texts["input_ids"].masked_fill(texts["attention_mask"] == 0, -100)
        self.padded[0] += batch["input_values"].numel()
        return dict(batch)


class LengthTrainer(transformers.Seq2SeqTrainer):
    """Groups by lengths that are known, instead of reading every recording for its length."""

    lengths: list[int]
    grouped: bool

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int] | None:
        if self.grouped:
            return LengthGroupedSampler(self.args.train_batch_size, lengths=self.lengths)
        return super()._get_train_sampler(dataset)


def padding_waste(merged: Merged, model: Path) -> float:
    """Return the share of padding in our first epoch."""
    from speechcli.checkpoints.bundle import load

    read = read_manifests(merged.options.data.train, merged.options, lambda event: None, learn=True)
    batches = [
        [utterance.seconds for utterance in batch]
        for batch in make_feed(read, make_collate(load(model), ctc=False), merged.options).plan
    ]
    return 1.0 - sum(map(sum, batches)) / sum(max(batch) * len(batch) for batch in batches)


def write_recordings(folder: Path, count: int) -> list[int]:
    """Write recordings of noise, random texts of about 14 letters a second, and a manifest; return their samples."""
    random = np.random.default_rng(0)
    seconds = np.clip(random.lognormal(np.log(4.3), 0.55, count), 1.0, 20.0)
    rows = ["audio\ttext\tlanguage"]
    for number, length in enumerate(seconds):
        samples: NDArray[Any] = 0.1 * random.standard_normal(int(length * RATE))
        soundfile.write(folder / f"{number}.wav", samples, RATE)
        text = " ".join("".join(random.choice(list(LETTERS), int(14 * length))).split()) or "a"
        (folder / f"{number}.txt").write_text(text)
        rows.append(f"{number}.wav\t{text}\ten")
    (folder / "train.tsv").write_text("\n".join(rows) + "\n")
    return [int(length * RATE) for length in seconds]


def write_model(folder: Path, width: int) -> tuple[Any, Any]:
    """Write a wav2vec2 with a BART decoder of random weights, as transformers does, with a tokenizer of letters."""
    torch.manual_seed(0)
    names = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS.replace(" ", "▁")]
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE({name: i for i, name in enumerate(names)}, [], unk_token="<unk>")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    backend.decoder = tokenizers.decoders.Metaspace()
    roles = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **roles)
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": 4, "num_attention_heads": 4}
    encoder = transformers.Wav2Vec2Config(
        **sizes, conv_dim=(64,) * 7, num_conv_pos_embedding_groups=4, feat_extract_norm="layer", layerdrop=0.0
    )
    decoder = transformers.BartConfig(
        d_model=width,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=4 * width,
        vocab_size=len(names),
        max_position_embeddings=512,
        is_decoder=True,
        add_cross_attention=True,
    )
    config = transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 1, 2
    model = transformers.SpeechEncoderDecoderModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return model, tokenizer


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
