"""Feature extractors and tokenizers with Hugging Face's interface."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechcli.audio.extractor import Extractor
from speechcli.checkpoints.compose import read_config
from speechcli.checkpoints.features import default_features, read_features
from speechcli.checkpoints.hub import resolve_model
from speechcli.errors import UsageError
from speechcli.families import SPEECH_ENCODERS
from speechcli.text.tokenizer import Tokenizer

Kind = Literal["pt", "np"] | None


class BatchEncoding(dict[str, Any]):
    """The result of an extractor or tokenizer: a dict whose entries are also attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"It contains {', '.join(self)}, but no {name}.") from None

    def to(self, device: torch.device | str) -> "BatchEncoding":
        """Return a copy with all tensors on a device."""
        moved = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in self.items()}
        return BatchEncoding(moved)


class AutoFeatureExtractor:
    """Turns waveforms into model inputs.

    Args:
        features: the extractor that does the work.
    """

    def __init__(self, features: Extractor) -> None:
        self.features = features

    @classmethod
    def from_pretrained(cls, name: str | Path, **where: Any) -> Self:
        """Load the extractor of a folder or of a model on the Hub; `where` goes to `resolve_model`.

        Raises:
            ModelError: the model does not exist, or its extractor is not supported.
        """
        folder = resolve_model(str(name), weights=False, **where)
        return cls(read_features(folder) or default_features(read_config(folder, SPEECH_ENCODERS)))

    @property
    def sampling_rate(self) -> int:
        """Sample rate of the waveforms, in Hz."""
        return self.features.sampling_rate

    def __call__(
        self,
        raw_speech: NDArray[Any] | Sequence[NDArray[Any]] | Sequence[float],
        *,
        sampling_rate: int | None = None,
        return_tensors: Kind = None,
        padding: bool | str = True,
    ) -> BatchEncoding:
        """Make a batch.

        Args:
            raw_speech: (samples,), or several of them, or (batch, samples).
            sampling_rate: sample rate of the waveforms in Hz, which must be the model's; None: not checked.
            return_tensors: "pt" for torch, "np" or None for numpy.
            padding: a batch is always padded: to its longest row ("longest" or True), or for models with a fixed window
                (Whisper) to the window ("max_length" or True).

        Returns:
            `input_values` (batch, samples) or `input_features`, (batch, frames, mels) or for Whisper (batch, mels,
            frames), and `attention_mask` if the model was trained with one

        Raises:
            UsageError: the sampling rate is not the model's, or the kind of padding is not supported.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise UsageError(f"`sampling_rate` must be the model's {self.sampling_rate} Hz, but is {sampling_rate}.")
        usual = "longest" if self.features.longest is None else "max_length"
        if padding not in (True, False, usual):
            raise UsageError(f"`padding` must be True, False or {usual!r}, but is {padding!r}.")
        values, lengths = self.features(_waveforms(raw_speech))
        name = "input_values" if values.ndim == 2 else "input_features"
        batch = {name: values.mT if self.features.mels_first else values}
        if lengths is not None:
            real = torch.arange(values.size(1)) < lengths[:, None]
            batch["attention_mask"] = real.long()
        return _encoding(batch, return_tensors)


class AutoTokenizer:
    """Turns text into ids and back.

    Args:
        tokenizer: the tokenizer that does the work.

    Attributes:
        bos_token_id, eos_token_id, pad_token_id, unk_token_id, cls_token_id, sep_token_id, mask_token_id: special ids;
            None if the vocabulary has no such token.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.bos_token_id, self.eos_token_id = tokenizer.bos_id, tokenizer.eos_id
        self.pad_token_id, self.unk_token_id = tokenizer.pad_id, tokenizer.unk_id
        self.cls_token_id, self.sep_token_id, self.mask_token_id = tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id

    @classmethod
    def from_pretrained(cls, name: str | Path, **where: Any) -> Self:
        """Load the tokenizer of a folder or of a model on the Hub; `where` goes to `resolve_model`.

        Raises:
            ModelError: the model does not exist, or its tokenizer is not supported.
        """
        return cls(Tokenizer.load(resolve_model(str(name), weights=False, **where)))

    def __len__(self) -> int:
        return self.tokenizer.vocabulary_size

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        return_tensors: Kind = None,
        padding: bool | str = False,
        add_special_tokens: bool = True,
    ) -> BatchEncoding:
        """Turn text into ids.

        Args:
            text: one text, or several.
            return_tensors: "pt" for torch, "np" for numpy, None for lists.
            padding: whether to pad shorter texts.
            add_special_tokens: whether to add the special tokens around a text.

        Returns:
            `input_ids` and `attention_mask`, (batch, tokens); for a single text as lists, (tokens,)

        Raises:
            UsageError: texts of different lengths are not padded to form a tensor, or there is no padding token.
        """
        texts = [text] if isinstance(text, str) else list(text)
        rows = [self.tokenizer.encode(each, special=add_special_tokens) for each in texts]
        longest = max((len(row) for row in rows), default=0)
        masks = [[1] * len(row) for row in rows]
        if padding:
            if self.pad_token_id is None and any(len(row) < longest for row in rows):
                raise UsageError("`padding` needs a padding token, but the vocabulary has none.")
            rows = [row + [self.pad_token_id or 0] * (longest - len(row)) for row in rows]
            masks = [mask + [0] * (longest - len(mask)) for mask in masks]
        if return_tensors is None:
            one = isinstance(text, str)
            return BatchEncoding(input_ids=rows[0] if one else rows, attention_mask=masks[0] if one else masks)
        if len({len(row) for row in rows}) > 1:
            raise UsageError("Texts of different lengths must be padded to form a tensor.", hint="Set padding=True.")
        return _encoding({"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(masks)}, return_tensors)

    def decode(self, token_ids: Sequence[int] | Tensor, *, skip_special_tokens: bool = False) -> str:
        """Turn the ids of one text into text."""
        ids = token_ids.tolist() if isinstance(token_ids, Tensor) else list(token_ids)
        return self.tokenizer.decode(ids, skip_special=skip_special_tokens)

    def batch_decode(
        self, sequences: Sequence[Sequence[int]] | Tensor, *, skip_special_tokens: bool = False
    ) -> list[str]:
        """Turn the ids of several texts into texts."""
        return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in sequences]


class Wav2Vec2Processor:
    """A feature extractor and a tokenizer.

    Args:
        feature_extractor: for audio.
        tokenizer: for text.
    """

    def __init__(self, feature_extractor: AutoFeatureExtractor, tokenizer: AutoTokenizer) -> None:
        self.feature_extractor, self.tokenizer = feature_extractor, tokenizer

    @classmethod
    def from_pretrained(cls, name: str | Path, **where: Any) -> Self:
        """Load both from a folder or a model on the Hub; `where` goes to `resolve_model`.

        Raises:
            ModelError: the model does not exist, or a part is not supported.
        """
        return cls(AutoFeatureExtractor.from_pretrained(name, **where), AutoTokenizer.from_pretrained(name, **where))

    def __call__(
        self,
        audio: NDArray[Any] | Sequence[NDArray[Any]] | None = None,
        *,
        text: str | Sequence[str] | None = None,
        sampling_rate: int | None = None,
        return_tensors: Kind = None,
        padding: bool | str = True,
    ) -> BatchEncoding:
        """Make a batch of audio, of text, or of audio with its text as `labels`.

        Raises:
            UsageError: neither is given, or one is not valid.
        """
        if audio is None and text is None:
            raise UsageError("The processor takes `audio`, `text` or both, but got neither.")
        batch = BatchEncoding()
        if audio is not None:
            batch |= self.feature_extractor(audio, sampling_rate=sampling_rate, return_tensors=return_tensors)
        if text is not None:
            encoded = self.tokenizer(text, return_tensors=return_tensors, padding=padding)
            batch |= encoded if audio is None else {"labels": encoded.input_ids}
        return BatchEncoding(batch)

    def decode(self, token_ids: Sequence[int] | Tensor, *, skip_special_tokens: bool = False) -> str:
        """Turn the ids of one text into text."""
        return self.tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)

    def batch_decode(
        self, sequences: Sequence[Sequence[int]] | Tensor, *, skip_special_tokens: bool = False
    ) -> list[str]:
        """Turn the ids of several texts into texts."""
        return self.tokenizer.batch_decode(sequences, skip_special_tokens=skip_special_tokens)


def _waveforms(raw: NDArray[Any] | Sequence[NDArray[Any]] | Sequence[float]) -> list[NDArray[np.float32]]:
    single = np.ndim(raw[0]) == 0 if len(raw) else True
    return [np.asarray(each, dtype=np.float32) for each in ([raw] if single else raw)]


def _encoding(batch: Mapping[str, Tensor], kind: Kind) -> BatchEncoding:
    if kind not in (None, "np", "pt"):
        raise UsageError(f"`return_tensors` must be 'pt', 'np' or None, but is {kind!r}.")
    return BatchEncoding({key: value if kind == "pt" else value.numpy() for key, value in batch.items()})
