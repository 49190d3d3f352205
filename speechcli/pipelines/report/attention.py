"""Cross-attention and CTC probabilities of a model for one recording."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechcli.checkpoints.bundle import Bundle
from speechcli.data.collate import Batch
from speechcli.data.manifest import Utterance
from speechcli.errors import InputError
from speechcli.models.cross_attention import cross_attention_weights
from speechcli.models.speech_encoder_decoder import IGNORED_LABEL
from speechcli.pipelines.scoring import make_collate


class AttentionMaps(NamedTuple):
    """Attention and CTC probabilities for one recording."""

    utterance: Utterance
    attention: list[tuple[str, list[str], NDArray[np.float32]]]
    """For each text: its language, its tokens, and (tokens, frames) mean weights of all layers and heads."""
    ctc: tuple[list[str], NDArray[np.float32]] | None
    """Tokens of the transcript, and (tokens, frames) probabilities; None without a CTC head or a transcript."""


@torch.no_grad()
def attention_maps(bundle: Bundle, utterance: Utterance) -> AttentionMaps:
    """Run a model on a recording with teacher forcing, and return its attention.

    Raises:
        InputError: if the recording cannot be read.
        ModelError: if the model has no tokenizer.
    """
    model = bundle.model.eval()
    batch = make_collate(bundle, ctc=model.ctc_head is not None)([utterance])
    if not len(batch) or not len(batch.labels):
        reason = batch.failed[0].reason if batch.failed else "it has no text"
        raise InputError(f"The attention for {utterance.id} cannot be computed: {reason}")
    encoded = model.encode(batch.inputs, batch.lengths)
    per_text = encoded.take(batch.rows.tolist())
    layers = cross_attention_weights(model.decoder, batch.decoder_input_ids, per_text.memory, per_text.mask)
    weights = torch.stack([layer.mean(dim=1) for layer in layers.values()]).mean(dim=0)
    texts = []
    for row, target in enumerate(utterance.targets[: len(batch.labels)]):
        ids = batch.labels[row][batch.labels[row] != IGNORED_LABEL]
        texts.append((target.language or "", _names(bundle, ids), weights[row, : len(ids)].numpy()))
    return AttentionMaps(utterance, texts, _ctc(bundle, batch, encoded.frames))


def _ctc(bundle: Bundle, batch: Batch, frames: Tensor) -> tuple[list[str], NDArray[np.float32]] | None:
    head = bundle.model.ctc_head
    if head is None or batch.ctc_labels is None or not batch.ctc_labels.numel():
        return None
    ids = batch.ctc_labels[0][batch.ctc_labels[0] != IGNORED_LABEL]
    probabilities = head(frames[0]).float().softmax(dim=-1)  # (frames, vocabulary)
    own = bundle.characters
    names = _names(bundle, ids) if own is None else [own.decode([id_]).strip() or "␣" for id_ in ids.tolist()]
    return (names, probabilities[:, ids].T.numpy()) if len(ids) else None


def _names(bundle: Bundle, ids: Tensor) -> list[str]:
    assert bundle.tokenizer is not None
    return [bundle.tokenizer.decode([number], skip_special=False).strip() or "␣" for number in ids.tolist()]
