import copy

import pytest
import torch

from speechcli.families.wav2vec2 import Wav2Vec2Config
from speechcli.models.pack import pack_decoder
from speechcli.training.precision import native_bfloat16

from .test_speech_encoder_decoder import SIZES, make


@pytest.mark.skipif(not native_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16")
@torch.inference_mode()
def test_a_packed_decoder_has_the_same_logits_in_a_full_pass_and_step_by_step() -> None:
    model = make(Wav2Vec2Config(**SIZES)).bfloat16()
    packed = copy.deepcopy(model)
    pack_decoder(packed)
    assert not any(type(module) is torch.nn.Linear for module in packed.decoder.modules())
    encoded, ids = model.encode(torch.randn(3, 300).bfloat16()), torch.randint(20, (3, 4))
    expected = model.decoder(ids, encoded.memory)
    rounding = 2**-7 * expected.abs().max().item()
    torch.testing.assert_close(packed.decoder(ids, encoded.memory), expected, rtol=0.0, atol=rounding)
    cache = packed.start(encoded)
    stepped = torch.stack([packed.step(ids[:, at : at + 1], cache) for at in range(4)], dim=1)
    torch.testing.assert_close(stepped, expected, rtol=0.0, atol=2 * rounding)
