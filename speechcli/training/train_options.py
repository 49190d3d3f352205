"""The options of a training run, in sections; a recipe's `.toml` has the same sections and keys."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from speechcli.errors import UsageError
from speechcli.training.limits import check_numbers


@dataclass(frozen=True)
class ModelSection:
    """Where the weights come from."""

    path: str | None = None
    """Model to start from: a folder or a hub id. Instead of it: `encoder` and `decoder`; none of them: the embedded
    model."""
    encoder: str | None = None
    """Pretrained speech encoder to compose a model from: a folder or a hub id."""
    decoder: str | None = None
    """Pretrained text decoder to compose a model from: a folder or a hub id."""
    revision: str | None = None
    """Revision of the hub id in `path`."""
    freeze: tuple[str, ...] = ()
    """Parts that do not learn: `feature_encoder`, `encoder`, `decoder`, `embeddings`, `adapter`, `projection`,
    `ctc_head`, what a parameter's name starts with, or a pattern such as `*.ffn.*`."""
    learn: Literal["all", "lna", "lora"] = "all"
    """What learns of the rest: `all`; `lna`: layer norms, attention and what joins encoder and decoder, as in the
    multilingual fine-tuning of Li et al. 2021; `lora`: low-rank additions to linear maps, and what joins the two."""
    lora_rank: int = 8
    """With `learn = "lora"`: width between the two matrices of an addition."""
    lora_alpha: float = 16.0
    """With `learn = "lora"`: size of the additions; they are multiplied by it and divided by the rank."""
    lora_dropout: float = 0.0
    """With `learn = "lora"`: dropout on what the additions read."""
    lora_targets: tuple[str, ...] = ("*attn.query", "*attn.value")
    """With `learn = "lora"`: patterns for the names of the linear maps that get additions."""
    freeze_encoder_steps: int = 0
    """Steps during which the whole encoder stays as it is; afterwards it learns."""


@dataclass(frozen=True)
class DataSection:
    """What is read, and how often."""

    train: tuple[str, ...] = ()
    """Manifests to learn from."""
    dev: tuple[str, ...] = ()
    """Manifests to score during training."""
    tasks: tuple[str, ...] = ("transcribe", "translate")
    """Which targets to learn: `transcribe` (the spoken language), `translate` (others)."""
    languages: tuple[str, ...] = ()
    """Target languages to learn; none: all in the manifests."""
    spoken_language: str | None = None
    """Language of the speech where a manifest does not say."""
    balance: Literal["none", "language", "set"] = "none"
    """What is evened out by repeating utterances: nothing, spoken languages, or manifests."""
    temperature: float = 2.0
    """With `balance`: shares become share^(1/temperature); 1 leaves them, a large number makes them equal."""
    weights: tuple[float, ...] = ()
    """How many times as often each manifest of `train` is drawn from, in their order; none: 1 for each."""
    pseudo_weight: float = 1.0
    """How many times as often an utterance is drawn whose text a model wrote (it has a confidence)."""
    min_confidence: float = 0.0
    """Training utterances whose text a model wrote with less confidence (0 to 1) are left out."""
    min_seconds: float = 0.1
    """Shorter training utterances are left out."""
    max_seconds: float = 30.0
    """Longer training utterances are left out."""
    targets_per_utterance: int = 0
    """How many targets (transcript, translations) of one utterance one step uses, drawn at random; 0: all."""
    max_dev_utterances: int = 0
    """Dev utterances scored during training, spread evenly over the manifests; 0: all."""
    max_bad: float = 0.01
    """Share of a manifest's rows with errors above which training does not begin; errors are those that `speechcli data
    check --no-listen` counts."""
    cache_audio: bool = False
    """Keep the decoded training audio in memory, so that it is decoded once: 2 bytes a sample, 4 where resampled."""


@dataclass(frozen=True)
class BatchSection:
    """How utterances are put together."""

    max_seconds: float = 120.0
    """Seconds of audio in a batch, padding counted."""
    max_items: int = 64
    """Utterances in a batch."""
    buckets: int = 20
    """Groups of like duration that batches are drawn from."""
    accumulation: int = 1
    """Batches whose gradients make one step."""
    workers: int = 1
    """Processes that read audio and compute features; 0: in the training process."""


@dataclass(frozen=True)
class AugmentSection:
    """What is changed in training at random."""

    speed: tuple[float, float] = (1.0, 1.0)
    """Range of the playing speed, such as 0.9 to 1.1."""
    gain_db: tuple[float, float] = (0.0, 0.0)
    """Range of the change of level in decibels."""
    noise_probability: float = 0.0
    """Share of utterances that get noise."""
    noise_folder: str | None = None
    """Folder of recordings of noise, at any depth; unset: white and pink noise are made."""
    noise_snr: tuple[float, float] = (10.0, 40.0)
    """Range of the signal-to-noise ratio in decibels."""
    band_probability: float = 0.0
    """Share of utterances that are cut to the band of a telephone."""
    concatenate_probability: float = 0.0
    """Probability that an utterance is put together with the next of its manifest, where speaker and languages are the
    same and the pair is no longer than `data.max_seconds`; a pair learns nothing from a teacher."""
    mask_time_probability: float | None = None
    """SpecAugment: about this share of the frames is hidden; unset: what the model's configuration says."""
    mask_time_frames: int | None = None
    """SpecAugment: length of a hidden stretch, in frames of the encoder; unset: the model's."""
    mask_channel_probability: float | None = None
    """SpecAugment: about this share of the encoder's channels is hidden; unset: the model's."""
    mask_channel_width: int | None = None
    """SpecAugment: channels hidden together; unset: the model's."""


@dataclass(frozen=True)
class ObjectiveSection:
    """What is made small."""

    label_smoothing: float = 0.0
    """Share of the probability that is spread over all tokens in the decoder's target."""
    ctc_weight: float = 0.0
    """Weight of the CTC loss on the encoder; the decoder's cross-entropy gets the rest."""
    ctc_vocabulary: Literal["auto", "decoder", "characters"] = "auto"
    """What the CTC head says: the decoder's tokens, which beam search can then weigh together with the decoder's, or
    the characters of the training transcripts. `auto`: what the model's head says; a new one says the tokens."""
    teacher_weight: float = 0.0
    """Weight of telling, frame by frame, the classes that a larger encoder sees in the recordings (column `teacher` of
    the manifests); added to the rest."""
    learn_language: bool = True
    """Whether the decoder learns to say the language tag, Whisper's also the task; not needed where both are always
    given."""


@dataclass(frozen=True)
class OptimizerSection:
    """How weights move."""

    learning_rate: float = 1e-4
    """Highest learning rate."""
    encoder_scale: float = 1.0
    """Factor of the learning rate for the encoder."""
    bridge_scale: float = 1.0
    """Factor for what stands between encoder and decoder: adapter, projection, CTC head."""
    decoder_scale: float = 1.0
    """Factor for the decoder."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay rates of the moments."""
    weight_decay: float = 0.01
    """AdamW's weight decay; norms, biases and other vectors are left out."""
    warmup_steps: int = 500
    """Steps in which the learning rate rises from 0."""
    schedule: Literal["constant", "linear", "cosine", "inverse-sqrt"] = "cosine"
    """How the learning rate falls after the warm-up."""
    min_learning_rate: float = 0.0
    """The learning rate falls no lower."""
    clip: float = 5.0
    """Largest norm of the gradient; 0: any."""


@dataclass(frozen=True)
class RunSection:
    """How long, how often, and in which numbers."""

    max_steps: int = 0
    """Steps to make; 0: not limited."""
    max_epochs: int = 0
    """Passes over the data to make; 0: not limited."""
    max_minutes: float = 0.0
    """Minutes to train, over all resumed parts; 0: not limited."""
    eval_every: int = 1000
    """Steps between two evaluations on the dev manifests."""
    save_every: int = 1000
    """Steps between two checkpoints."""
    log_every: int = 50
    """Steps between two lines of the log."""
    keep_last: int = 1
    """Newest checkpoints to keep."""
    keep_best: int = 1
    """Best checkpoints to keep."""
    best_by: Literal["score", "loss"] = "score"
    """What says which is best: the mean of WER and BLEU scores, or the loss on the dev manifests."""
    patience: int = 0
    """Stop after this many evaluations without a new best; 0: never."""
    seed: int = 0
    """Every random choice depends on it."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`."""
    threads: int = 0
    """Processor threads; 0: torch's own choice."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Numbers of the matrix products; weights and losses stay float32. `auto`: bfloat16 where it is multiplied
    natively. float16 scales the loss."""
    gradient_checkpointing: bool = False
    """Compute the encoder's layers a second time in the backward pass instead of keeping what they made: about a third
    slower, with room for much longer batches."""
    shard_weights: bool = False
    """Where several processes train (torchrun, accelerate launch): share weights, gradients and moments out among them
    (FSDP) instead of keeping a copy in each; no layer is skipped at random then."""
    ema_decay: float = 0.0
    """Evaluate and save a running mean of the weights with this decay, such as 0.999; 0: the weights themselves."""
    max_nonfinite: int = 10
    """Steps in a row that may be skipped because the loss or gradient is not finite."""
    tensorboard: bool = False
    """Write the curves for TensorBoard too, into the run's folder `tensorboard` (extra `tensorboard`)."""
    samples: int = 5
    """References and hypotheses shown at each evaluation."""
    beam_size: int = 1
    """Beams of the evaluation's decoding; 1: greedy."""
    max_new_tokens: int = 0
    """Longest hypothesis of the evaluation's decoding, in tokens; 0: by the length of the audio."""


@dataclass(frozen=True)
class TrainOptions:
    """All sections; see each for its keys."""

    model: ModelSection = field(default_factory=ModelSection)
    data: DataSection = field(default_factory=DataSection)
    batch: BatchSection = field(default_factory=BatchSection)
    augment: AugmentSection = field(default_factory=AugmentSection)
    objective: ObjectiveSection = field(default_factory=ObjectiveSection)
    optimizer: OptimizerSection = field(default_factory=OptimizerSection)
    run: RunSection = field(default_factory=RunSection)

    def __post_init__(self) -> None:
        check_numbers({f"{part}.{key}": value for part, keys in self.to_dict().items() for key, value in keys.items()})
        data = self.data
        checks = [
            (max(data.weights, default=1) > 0, "data.weights", "not all 0", list(data.weights)),
            (len(data.weights) in (0, len(data.train)), "data.weights",
             f"one for each of the {len(data.train)} manifests in data.train", list(data.weights)),
            (set(data.tasks) <= {"transcribe", "translate"} and bool(data.tasks), "data.tasks",
             "`transcribe`, `translate` or both", list(data.tasks)),
        ]  # fmt: skip
        for holds, key, rule, value in checks:
            if not holds:
                raise UsageError(f"`{key}` must be {rule}, but is {value}.")

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return sections of plain values, as a recipe has them."""
        return {
            section.name: {
                item.name: getattr(getattr(self, section.name), item.name)
                for item in fields(getattr(self, section.name))
            }
            for section in fields(self)
        }


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package by name."""
    folder = Path(__file__).parent.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}
