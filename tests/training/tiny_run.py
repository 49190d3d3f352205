"""A model, data and a run so small that a step takes a millisecond."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from speechcli.data.batching import DurationBatches
from speechcli.data.collate import Collate
from speechcli.data.manifest import Target, Utterance
from speechcli.text.prompts import Prompts
from speechcli.training.feed import Feed

VOCABULARY = 8


class Output(NamedTuple):
    logits: Tensor
    ctc_logits: Tensor | None
    frame_lengths: Tensor
    teacher_logits: Tensor | None = None


class TinyDecoder(nn.Embedding):
    def forward(self, ids, memory):
        return (super().forward(ids) + memory[:, None]) @ self.weight.T


class TinyModel(nn.Module):
    def __init__(self, dropout=0.2):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Dropout(dropout))
        self.decoder = TinyDecoder(VOCABULARY, 6)
        self.ctc_head = nn.Linear(6, VOCABULARY)
        self.teacher_head = None

    def forward(self, inputs, lengths, decoder_input_ids, rows=None):
        frames = self.encoder(inputs)
        logits = self.decoder(decoder_input_ids, frames.mean(dim=1)[rows])
        return Output(logits, self.ctc_head(frames), lengths)


class Letters:
    """A tokenizer of the letters a to d."""

    languages = {}
    pad_id = 1
    end_id = 2

    def encode(self, text):
        return [4 + "abcd".index(letter) for letter in text]


def features(waveforms):
    lengths = torch.tensor([len(waveform) // 4 for waveform in waveforms])
    rows = [torch.from_numpy(waveform[: 4 * (len(waveform) // 4)]).view(-1, 4) for waveform in waveforms]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths


features.sampling_rate = 40


def sound(utterance):
    generator = np.random.default_rng(int(utterance.id))
    return generator.standard_normal(int(utterance.seconds * 40)).astype(np.float32)


class Extractor:
    sampling_rate = 40
    longest = None

    def __call__(self, waveforms):
        return features(waveforms)


def make_feed(count=12, *, read=sound, seconds=1.0, workers=0, max_seconds=3.0, max_items=4, **plan):
    utterances = [
        Utterance(str(i), Path("none.wav"), seconds, (Target("abcd"[i % 4] * 2, "en"),), "abcd"[i % 4] * 2, "en")
        for i in range(count)
    ]
    batches = DurationBatches(utterances, max_seconds=max_seconds, max_items=max_items, buckets=1, seed=3, **plan)
    collate = Collate(Extractor(), Letters(), Prompts({}, start=2), ctc=True, read=read)
    return Feed(batches, collate, workers=workers)
