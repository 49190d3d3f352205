import copy

import torch

from speechcli.families.wav2vec2 import Wav2Vec2Config
from speechcli.models.quantize import quantize_decoder

from .test_speech_encoder_decoder import SIZES, make


@torch.inference_mode()
def test_a_quantized_decoder_has_nearly_the_same_logits_and_the_encoder_is_unchanged() -> None:
    model = make(Wav2Vec2Config(**SIZES))
    rounded = copy.deepcopy(model)
    quantize_decoder(rounded)
    inputs, lengths, ids = torch.randn(2, 300), torch.tensor([300, 120]), torch.randint(20, (2, 5))
    before, after = model(inputs, lengths, ids), rounded(inputs, lengths, ids)
    assert torch.equal(model.encode(inputs, lengths).memory, rounded.encode(inputs, lengths).memory)
    assert not torch.equal(before.logits, after.logits)
    torch.testing.assert_close(after.logits, before.logits, rtol=0.0, atol=0.05 * before.logits.abs().max().item())


@torch.inference_mode()
def test_a_rounded_decoder_reads_an_encoder_in_bfloat16_and_step_by_step() -> None:
    model = make(Wav2Vec2Config(**SIZES)).bfloat16()
    ids = torch.randint(20, (1, 4))
    encoded = model.encode(torch.randn(1, 300).bfloat16(), torch.tensor([300]))
    expected = model.decoder(ids, encoded.memory, encoded.mask).float()
    quantize_decoder(model)
    assert model.encode(torch.randn(1, 300).bfloat16(), torch.tensor([300])).memory.dtype == torch.bfloat16
    cache = model.start(encoded)
    stepped = torch.stack([model.step(ids[:, at : at + 1], cache) for at in range(4)], dim=1)
    torch.testing.assert_close(stepped, expected, rtol=0.0, atol=0.05 * expected.abs().max().item())
