"""The options of a training run; a recipe (`.toml`) has the same sections and keys."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from speechcli.errors import UsageError
from speechcli.training.limits import check_numbers


@dataclass(frozen=True)
class ModelSection:
    """The initial model, and which of its weights are trained."""

    path: str | None = None
    """Model to start from: a folder or a Hub id. Alternatively set `encoder` and `decoder`; if none of the three is
    set, training starts from the embedded model."""
    encoder: str | None = None
    """Pretrained speech encoder to join with `decoder`: a folder or a Hub id."""
    decoder: str | None = None
    """Pretrained text decoder to join with `encoder`: a folder or a Hub id."""
    revision: str | None = None
    """Revision of the Hub id in `path`."""
    freeze: tuple[str, ...] = ()
    """Parts to freeze: `feature_encoder`, `encoder`, `decoder`, `embeddings`, `adapter`, `projection`, `ctc_head`, the
    beginning of parameter names, or a pattern such as `*.ffn.*`."""
    learn: Literal["all", "lna", "lora"] = "all"
    """What to train of the rest: `all`; `lna`: layer norms, attention and the parts between encoder and decoder, as in
    the multilingual fine-tuning of Li et al. 2021; `lora`: low-rank adapters, and the parts between."""
    lora_rank: int = 8
    """With `learn = "lora"`: rank of the adapters."""
    lora_alpha: float = 16.0
    """With `learn = "lora"`: scale of the adapters; their output is multiplied by it and divided by the rank."""
    lora_dropout: float = 0.0
    """With `learn = "lora"`: dropout on the input of the adapters."""
    lora_targets: tuple[str, ...] = ("*attn.query", "*attn.value")
    """With `learn = "lora"`: name patterns of the linear layers that get adapters."""
    freeze_encoder_steps: int = 0
    """Number of steps at the start during which the encoder is frozen."""


@dataclass(frozen=True)
class DataSection:
    """Which utterances are used, and how often."""

    train: tuple[str, ...] = ()
    """Training manifests."""
    dev: tuple[str, ...] = ()
    """Manifests to evaluate on during training."""
    tasks: tuple[str, ...] = ("transcribe", "translate")
    """Which texts to train on: `transcribe` (transcripts), `translate` (translations)."""
    languages: tuple[str, ...] = ()
    """Target languages to train on; empty: all in the manifests."""
    spoken_language: str | None = None
    """Spoken language of manifest rows that name none."""
    balance: Literal["none", "language", "set"] = "none"
    """What to balance by repeating utterances: nothing, spoken languages, or manifests (sets)."""
    temperature: float = 2.0
    """With `balance`: shares become share^(1/temperature); 1 keeps them, a large value makes them equal."""
    weights: tuple[float, ...] = ()
    """Sampling weight of each manifest in `train`, in the same order; empty: 1 for each."""
    pseudo_weight: float = 1.0
    """Sampling weight of pseudo-labeled utterances, which have a confidence."""
    min_confidence: float = 0.0
    """Pseudo-labeled training utterances with a lower confidence (0 to 1) are left out."""
    min_seconds: float = 0.1
    """Shorter training utterances are left out, in seconds."""
    max_seconds: float = 30.0
    """Longer training utterances are left out, in seconds."""
    targets_per_utterance: int = 0
    """How many texts (transcript, translations) of an utterance one step uses, drawn at random; 0: all."""
    max_dev_utterances: int = 0
    """Dev utterances used in each evaluation, spread evenly over the manifests; 0: all."""
    max_bad: float = 0.01
    """Training refuses a manifest with a larger share of bad rows; `speechcli data check --no-listen` lists them."""
    cache_audio: bool = False
    """Keep decoded training audio in memory: 2 bytes per sample, 4 if it was resampled."""


@dataclass(frozen=True)
class BatchSection:
    """How utterances are batched."""

    max_seconds: float = 120.0
    """Seconds of audio in a batch, including padding."""
    max_items: int = 64
    """Maximum number of utterances in a batch."""
    buckets: int = 20
    """Number of groups of similar duration from which batches are drawn."""
    accumulation: int = 1
    """Gradient accumulation: batches per step."""
    workers: int = 1
    """Worker processes that read audio and compute features; 0: the training process does it."""


@dataclass(frozen=True)
class AugmentSection:
    """Random changes to the training audio."""

    speed: tuple[float, float] = (1.0, 1.0)
    """Range of the playing speed, such as 0.9 to 1.1."""
    gain_db: tuple[float, float] = (0.0, 0.0)
    """Range of the change in level, in decibels."""
    noise_probability: float = 0.0
    """Share of utterances to which noise is added."""
    noise_folder: str | None = None
    """Folder with recordings of noise, searched recursively; unset: generated white and pink noise."""
    noise_snr: tuple[float, float] = (10.0, 40.0)
    """Range of the signal-to-noise ratio, in decibels."""
    band_probability: float = 0.0
    """Share of utterances that are band-limited like telephone audio."""
    concatenate_probability: float = 0.0
    """Probability that an utterance is concatenated with the next one of its manifest, if speaker and languages are the
    same and the pair is no longer than `data.max_seconds`; teacher labels are not used for pairs."""
    mask_time_probability: float | None = None
    """SpecAugment: share of masked frames, approximately; unset: as in the model's configuration."""
    mask_time_frames: int | None = None
    """SpecAugment: length of a time mask in encoder frames; unset: as in the model's configuration."""
    mask_channel_probability: float | None = None
    """SpecAugment: share of masked channels, approximately; unset: as in the model's configuration."""
    mask_channel_width: int | None = None
    """SpecAugment: width of a channel mask; unset: as in the model's configuration."""


@dataclass(frozen=True)
class ObjectiveSection:
    """The training loss."""

    label_smoothing: float = 0.0
    """Label smoothing of the decoder's cross-entropy."""
    ctc_weight: float = 0.0
    """Weight of the CTC loss on the encoder; the cross-entropy of the decoder has the weight 1 minus this."""
    ctc_vocabulary: Literal["auto", "decoder", "characters"] = "auto"
    """Vocabulary of the CTC head: the decoder's tokens, so that beam search can combine both scores, or the characters
    of the training transcripts. `auto`: that of the model's CTC head; a new head gets the decoder's tokens."""
    teacher_weight: float = 0.0
    """Weight of a frame-level distillation loss: predicting the classes that a larger encoder assigns to the frames
    (column `teacher` of the manifests). It is summed over the model's frames, divided by the number of the teacher's
    frames, and added to the other losses."""
    learn_language: bool = True
    """Whether the decoder learns to predict the language tag, and Whisper's also the task; not needed if both are
    always given."""


@dataclass(frozen=True)
class OptimizerSection:
    """The optimizer, AdamW, and the learning rate."""

    learning_rate: float = 1e-4
    """Peak learning rate."""
    encoder_scale: float = 1.0
    """Learning rate factor for the encoder."""
    bridge_scale: float = 1.0
    """Learning rate factor for the parts between encoder and decoder: adapter, projection, CTC head."""
    decoder_scale: float = 1.0
    """Learning rate factor for the decoder."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay rates of the moments."""
    weight_decay: float = 0.01
    """Weight decay; not applied to norms, biases and other vectors."""
    warmup_steps: int = 500
    """Steps during which the learning rate rises from 0."""
    schedule: Literal["constant", "linear", "cosine", "inverse-sqrt"] = "cosine"
    """How the learning rate changes after the warm-up."""
    min_learning_rate: float = 0.0
    """Lower limit of the learning rate after the warm-up."""
    clip: float = 5.0
    """Gradient clipping: the maximum norm; 0: no clipping."""


@dataclass(frozen=True)
class RunSection:
    """How long to train, how often to evaluate and save, and where to compute."""

    max_steps: int = 0
    """Maximum number of steps; 0: no limit."""
    max_epochs: int = 0
    """Maximum number of epochs; 0: no limit."""
    max_minutes: float = 0.0
    """Maximum training time in minutes, including the time before a resume; 0: no limit."""
    eval_every: int = 1000
    """Steps between evaluations on the dev manifests."""
    save_every: int = 1000
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between lines of the log."""
    keep_last: int = 1
    """Number of newest checkpoints to keep."""
    keep_best: int = 1
    """Number of best checkpoints to keep."""
    best_by: Literal["score", "loss"] = "score"
    """How the best checkpoint is chosen: by the mean score, or by the loss on the dev manifests. While there are more
    errors than words, the loss decides."""
    patience: int = 0
    """Early stopping: stop after this many evaluations without a new best; 0: never."""
    seed: int = 0
    """Seed of all random choices."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`."""
    threads: int = 0
    """CPU threads; 0: torch's default."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of matrix products; weights and losses stay float32. `auto`: bfloat16 if the hardware multiplies it
    natively. With float16 the loss is scaled."""
    gradient_checkpointing: bool = False
    """Recompute the encoder's activations in the backward pass instead of storing them: about a third slower, but with
    room for much larger batches."""
    shard_weights: bool = False
    """With several processes (torchrun, accelerate launch): shard weights, gradients and optimizer state among them
    (FSDP) instead of keeping a copy in each. LayerDrop is then off."""
    ema_decay: float = 0.0
    """Evaluate and save an exponential moving average of the weights with this decay, such as 0.999; 0: no average."""
    max_nonfinite: int = 10
    """Consecutive steps that may be skipped because the loss or gradient is not finite."""
    tensorboard: bool = False
    """Also write the curves for TensorBoard, into `tensorboard/` in the run folder (extra `tensorboard`)."""
    samples: int = 5
    """Number of references and hypotheses shown at each evaluation."""
    beam_size: int = 1
    """Beam size for evaluation; 1: greedy."""
    max_new_tokens: int = 0
    """Maximum length of a hypothesis in evaluation, in tokens; 0: in proportion to the audio."""


@dataclass(frozen=True)
class TrainOptions:
    """All sections of training options."""

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
        """Return the sections as dictionaries, as in a recipe."""
        return {
            section.name: {
                item.name: getattr(getattr(self, section.name), item.name)
                for item in fields(getattr(self, section.name))
            }
            for section in fields(self)
        }


def shipped_recipes() -> dict[str, Path]:
    """Return the built-in recipes by name."""
    folder = Path(__file__).parent.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}
