"""Where a model looks while it writes, for one recording."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechcli.checkpoints.bundle import Bundle
from speechcli.data.collate import Batch
from speechcli.data.manifest import Utterance
from speechcli.errors import InputError
from speechcli.models.decoder import TextDecoder
from speechcli.models.speech_encoder_decoder import IGNORED_LABEL
from speechcli.pipelines.scoring import make_collate


class Looked(NamedTuple):
    """What one recording and its texts gave."""

    utterance: Utterance
    attention: list[tuple[str, list[str], NDArray[np.float32]]]
    """For each text: its language, its tokens, and (tokens, frames) mean weights of all layers and heads."""
    ctc: tuple[list[str], NDArray[np.float32]] | None
    """Tokens of the transcript, and (tokens, frames) probabilities; None without a CTC head or a transcript."""


@torch.no_grad()
def look(bundle: Bundle, utterance: Utterance) -> Looked:
    """Read the right texts of a recording into a model, and note what it attends to.

    Raises:
        InputError: if the recording cannot be read.
        ModelError: if the model has no tokenizer.
    """
    model = bundle.model.eval()
    batch = make_collate(bundle, ctc=model.ctc_head is not None)([utterance])
    if not len(batch) or not len(batch.labels):
        reason = batch.failed[0].reason if batch.failed else "it has no text"
        raise InputError(f"{utterance.id} cannot be looked at: {reason}")
    encoded = model.encode(batch.inputs, batch.lengths)
    with _watched(model.decoder) as layers:
        memory = encoded.memory[batch.rows]
        model.decoder(batch.decoder_input_ids, memory, None if encoded.mask is None else encoded.mask[batch.rows])
    weights = torch.stack([_weights(query, key, heads) for query, key, heads in layers]).mean(0)
    texts = []
    for row, target in enumerate(utterance.targets[: len(batch.labels)]):
        ids = batch.labels[row][batch.labels[row] != IGNORED_LABEL]
        texts.append((target.language or "", _names(bundle, ids), weights[row, : len(ids)].float().numpy()))
    return Looked(utterance, texts, _ctc(bundle, batch, encoded.frames))


def _ctc(bundle: Bundle, batch: Batch, frames: Tensor) -> tuple[list[str], NDArray[np.float32]] | None:
    head = bundle.model.ctc_head
    if head is None or batch.ctc_labels is None or not batch.ctc_labels.numel():
        return None
    ids = batch.ctc_labels[0][batch.ctc_labels[0] != IGNORED_LABEL]
    probabilities = head(frames[0]).float().softmax(dim=-1)  # (frames, vocabulary)
    return (_names(bundle, ids), probabilities[:, ids].T.numpy()) if len(ids) else None


@contextmanager
def _watched(decoder: TextDecoder) -> Iterator[list[tuple[Tensor, Tensor, int]]]:
    """Collect (query, key, heads) of every attention to the memory; queries and keys are (texts, …, width)."""
    seen: list[tuple[Tensor, Tensor, int]] = []
    keys: dict[int, Tensor] = {}
    with ExitStack() as hooks:
        for number, layer in enumerate(decoder.layers):
            attention = getattr(layer, "cross_attn", None)
            if attention is None:
                continue

            def keep_key(_: object, __: object, key: Tensor, number: int = number) -> None:
                keys[number] = key

            def keep_query(
                _: object, __: object, query: Tensor, number: int = number, heads: int = attention.heads
            ) -> None:
                seen.append((query, keys[number], heads))

            hooks.callback(attention.key.register_forward_hook(keep_key).remove)
            hooks.callback(attention.query.register_forward_hook(keep_query).remove)
        yield seen


def _weights(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """Return attention weights (texts, tokens, frames), the mean over heads."""
    # (texts, tokens, width) -> (texts, heads, tokens, head width)
    query, key = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key))
    scores = query @ key.transpose(2, 3) * query.size(-1) ** -0.5
    weights: Tensor = scores.softmax(dim=-1).mean(dim=1)
    return weights


def _names(bundle: Bundle, ids: Tensor) -> list[str]:
    assert bundle.tokenizer is not None
    return [bundle.tokenizer.decode([number], skip_special=False).strip() or "␣" for number in ids.tolist()]
