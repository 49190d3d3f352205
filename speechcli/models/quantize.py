"""Weights as 8-bit integers, for decoding on a processor, which is bound by how fast it reads them."""

import warnings

import torch
from torch import nn

from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder


def quantize_decoder(model: SpeechEncoderDecoder) -> None:
    """Round the weights of the decoder's linear maps to 8 bits, one scale a map, in place; for inference only.

    What a map reads is rounded too, as it comes; everything else in the decoder computes in float32. The encoder keeps
    its numbers: it is bound by its products, and rounding costs it accuracy.

    Args:
        model: on a processor.
    """
    with warnings.catch_warnings():
        # torch announces that this moves to torchao, which would be one more package for one call
        warnings.simplefilter("ignore")
        round_maps = torch.ao.quantization.quantize_dynamic
        round_maps(model.decoder.float(), {nn.Linear}, dtype=torch.qint8, inplace=True)  # type: ignore[no-untyped-call]
