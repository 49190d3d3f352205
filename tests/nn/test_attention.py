import pytest
import torch

from speechcli.nn.attention import CrossAttention, MultiHeadAttention


@pytest.mark.parametrize("queries", [1, 5, 40])
def test_attention_to_a_memory_in_bfloat16_is_that_in_float32_rounded(queries: int) -> None:
    torch.manual_seed(queries)
    attention = CrossAttention(32, 4).eval()
    x, memory = torch.randn(2, queries, 32), torch.randn(2, 30, 32)
    mask = torch.arange(30) < torch.tensor([[30], [11]])
    expected = attention.attend(x, attention.project(memory), mask=mask)
    attention.bfloat16()
    found = attention.attend(x.bfloat16(), attention.project(memory.bfloat16()), mask=mask)
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.02)
    # masked keys have no influence
    memory[1, 11:] = 1e3
    again = attention.attend(x.bfloat16(), attention.project(memory.bfloat16()), mask=mask)
    assert torch.equal(again, found)


def test_the_scale_of_the_scores_is_right_in_bfloat16() -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(16, 2, scale=3.0).eval()
    x = torch.randn(1, 4, 16)
    expected = attention(x)
    torch.testing.assert_close(attention.bfloat16()(x.bfloat16()).float(), expected, rtol=0.05, atol=0.05)


def test_attention_to_each_recording_of_a_batch_is_the_same_as_alone_in_bfloat16() -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(16, 2).eval().bfloat16().requires_grad_(False)
    x = torch.randn(3, 40, 16).bfloat16()
    lengths = torch.tensor([40, 17, 25])
    together = attention(x, mask=(torch.arange(40) < lengths[:, None])[:, None, None])
    for row, length in enumerate(lengths):
        alone = attention(x[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0.02, atol=0.01)
