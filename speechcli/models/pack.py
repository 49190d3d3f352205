"""Pack the decoder's weights in the memory layout that oneDNN multiplies, once instead of at every product."""

import torch
from torch import Tensor, nn

from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder


class PackedLinear(nn.Module):
    """A linear layer in bfloat16 whose weight is in oneDNN's own layout; for inference only.

    `torch.nn.functional.linear` reads the weight as it is. For the few rows of a decoding step, this takes up to twice
    as long.

    Args:
        linear: the layer, in bfloat16, on a CPU that multiplies it natively.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return y


def pack_decoder(model: SpeechEncoderDecoder) -> None:
    """Pack the weights of the decoder's linear layers, in place; for inference only.

    Args:
        model: in bfloat16, on a CPU that multiplies it natively.
    """
    for name, module in list(model.decoder.named_modules()):
        if isinstance(module, nn.Linear):
            model.decoder.set_submodule(name, PackedLinear(module))
