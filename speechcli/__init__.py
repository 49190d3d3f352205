"""Speech recognition and translation: any pretrained speech encoder with any pretrained text decoder."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechcli.api import (
        AutoFeatureExtractor,
        AutoTokenizer,
        BartConfig,
        BertConfig,
        Data2VecAudioConfig,
        GenerationConfig,
        GPT2Config,
        HubertConfig,
        MBartConfig,
        RobertaConfig,
        SEWConfig,
        SEWDConfig,
        SpeechEncoderDecoderConfig,
        SpeechEncoderDecoderModel,
        SpeechEncoderDecoderOutput,
        UniSpeechConfig,
        UniSpeechSatConfig,
        Wav2Vec2BertConfig,
        Wav2Vec2Config,
        Wav2Vec2ConformerConfig,
        Wav2Vec2Processor,
        WavLMConfig,
        load,
        transcribe,
        translate,
    )

__version__ = "0.1.0"

__all__ = [
    "AutoFeatureExtractor",
    "AutoTokenizer",
    "BartConfig",
    "BertConfig",
    "Data2VecAudioConfig",
    "GPT2Config",
    "GenerationConfig",
    "HubertConfig",
    "MBartConfig",
    "RobertaConfig",
    "SEWConfig",
    "SEWDConfig",
    "SpeechEncoderDecoderConfig",
    "SpeechEncoderDecoderModel",
    "SpeechEncoderDecoderOutput",
    "UniSpeechConfig",
    "UniSpeechSatConfig",
    "Wav2Vec2BertConfig",
    "Wav2Vec2Config",
    "Wav2Vec2ConformerConfig",
    "Wav2Vec2Processor",
    "WavLMConfig",
    "load",
    "transcribe",
    "translate",
]


def __getattr__(name: str) -> Any:
    # `speechcli --help` imports this package: torch comes only with the first name that needs it.
    if name not in __all__:
        raise AttributeError(f"module 'speechcli' has no attribute {name!r}")
    return getattr(importlib.import_module("speechcli.api"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
