import pytest
import torch

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
    masked = Spans(probability=0.01, length=2, minimum=2).draw(torch.tensor([20, 1]), 20)
    assert 2 < masked[0].sum().item() <= 4
    assert masked[1].tolist() == [True, *[False] * 19]
