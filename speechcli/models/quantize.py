"""Dynamic quantization of the decoder to 8 bits; on CPUs, decoding is limited by the speed of reading the weights."""

import warnings

import torch
from torch import nn

from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder


def quantize_decoder(model: SpeechEncoderDecoder) -> None:
    """Quantize the decoder's linear layers to 8 bits, with one scale per layer, in place; for inference only.

    The inputs of these layers are quantized on the fly; everything else in the decoder computes in float32. The encoder
    is unchanged: it is limited by its matrix products, and quantization would cost accuracy.

    Args:
        model: a model on the CPU.
    """
    with warnings.catch_warnings():
        # torch announces that this moves to torchao, which would be one more package for one call
        warnings.simplefilter("ignore")
        quantize = torch.ao.quantization.quantize_dynamic
        quantize(model.decoder.float(), {nn.Linear}, dtype=torch.qint8, inplace=True)  # type: ignore[no-untyped-call]
