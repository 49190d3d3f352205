import pytest
import torch
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

from speechcli.nn.masks import Spans


def test_short_rows_are_masked_in_the_expected_share_of_draws():
    torch.manual_seed(0)
    spans = Spans(probability=0.25, length=4, minimum=0)
    masked = torch.stack([spans.draw(torch.tensor([8]), 8)[0] for _ in range(400)])
    # half a span per draw: one in about half of the draws, otherwise none
    assert masked.any(dim=1).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert set(masked.sum(dim=1).tolist()) == {0, 4}


def test_padding_is_never_masked_and_the_minimum_is_kept():
    torch.manual_seed(0)
    masked = Spans(probability=0.01, length=2, minimum=2).draw(torch.tensor([20, 3]), 20)
    assert 2 < masked[0].sum().item() <= 4
    assert masked[1].tolist() == [*[True] * 3, *[False] * 17]


def test_rows_shorter_than_one_span_are_not_masked_as_in_transformers():
    lengths = torch.tensor([30, 10, 9, 1])
    real = torch.arange(30) < lengths[:, None]
    theirs = _compute_mask_indices((4, 30), 0.05, 10, real.long(), min_masks=2)
    expected = torch.from_numpy(theirs) & real  # where they have no span to mask, they mask padding
    masked = Spans(probability=0.05, length=10, minimum=2).draw(lengths, 30)
    assert masked[1:].sum(1).tolist() == expected[1:].sum(1).tolist() == [10, 0, 0]
    assert not Spans(probability=0.05, length=10, minimum=2).draw(torch.tensor([9, 4]), 9).any()
