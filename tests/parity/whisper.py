"""A tiny random Whisper of transformers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.generation import GenerateEncoderDecoderOutput

SHAPE: dict[str, Any] = {
    "vocab_size": 118,
    "num_mel_bins": 8,
    "d_model": 24,
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "encoder_ffn_dim": 36,
    "decoder_layers": 3,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 28,
    "max_source_positions": 50,
    "max_target_positions": 40,
}
EOS, START, ENGLISH, GERMAN, TRANSLATE, TRANSCRIBE, NO_TIMESTAMPS = range(60, 67)
TIMESTAMPS = list(range(67, 118))
"""From 0 to 1 second, 0.02 seconds apart."""
SUPPRESSED = [3, 7, START, ENGLISH, GERMAN, TRANSLATE, TRANSCRIBE]
IDS = {"bos_token_id": EOS, "eos_token_id": EOS, "pad_token_id": EOS, "decoder_start_token_id": START}
GENERATION: dict[str, Any] = {
    **IDS,
    "is_multilingual": True,
    "lang_to_id": {"<|en|>": ENGLISH, "<|de|>": GERMAN},
    "task_to_id": {"translate": TRANSLATE, "transcribe": TRANSCRIBE},
    "no_timestamps_token_id": NO_TIMESTAMPS,
    "suppress_tokens": SUPPRESSED,
    "begin_suppress_tokens": [5, EOS],
    "max_length": 40,
    "return_timestamps": False,
    "max_initial_timestamp_index": 50,
}


@dataclass(frozen=True)
class WhisperReference:
    """A model of theirs, the folder that it was written to, and a batch."""

    model: Any
    folder: Path
    features: Tensor
    """(batch, frames, mels), as ours."""
    labels: Tensor

    @property
    def inputs(self) -> dict[str, Tensor]:
        return {"input_features": self.features.transpose(1, 2)}


def make_whisper(folder: Path, *, seed: int = 0, **changes: Any) -> WhisperReference:
    """Write a tiny Whisper of theirs, with weights wide enough that every part shows in the result."""
    torch.manual_seed(seed)
    config = transformers.WhisperConfig(
        **(SHAPE | IDS | {"suppress_tokens": None, "begin_suppress_tokens": None} | changes)
    )
    model = transformers.WhisperForConditionalGeneration(config).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "encoder.embed_positions" not in name:
            torch.nn.init.normal_(parameter, 0.0, 0.2)
        elif "norm" not in name:
            torch.nn.init.normal_(parameter, 0.0, 0.1)
    model.generation_config = transformers.GenerationConfig.from_dict(GENERATION)
    model.save_pretrained(folder)
    extractor = transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins, chunk_length=1)
    extractor.save_pretrained(folder)
    labels = torch.randint(0, 60, (3, 7))
    labels[1, 4:] = labels[2, 2:] = -100
    return WhisperReference(model, folder, torch.randn(3, 2 * config.max_source_positions, config.num_mel_bins), labels)


def token_times(
    model: Any, features: Tensor, prompt: list[int], tokens: list[int], heads: list[list[int]], frames: int
) -> list[float]:
    """When theirs says that each token begins, in seconds, and when the last one ends, by where some heads look.

    Args:
        model: of theirs, with attention of the kind "eager".
        features: (1, mels, window).
        prompt: what the text begins with.
        tokens: of the text.
        heads: pairs of layer and head.
        frames: of the window that are the recording.
    """
    ids = torch.tensor([[*prompt, *tokens]])
    with torch.no_grad():
        seen = model(features, decoder_input_ids=ids, output_attentions=True).cross_attentions
    found = GenerateEncoderDecoderOutput(sequences=ids, cross_attentions=(seen,))
    times = model._extract_token_timestamps(found, heads, num_frames=[frames], num_input_ids=len(prompt) - 1)
    return times[0, len(prompt) - 1 : -1].tolist()
