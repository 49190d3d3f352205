"""The Python interface: Hugging Face's names, and three functions of our own."""

from speechcli.api.model import SpeechEncoderDecoderModel, SpeechEncoderDecoderOutput
from speechcli.api.processors import AutoFeatureExtractor, AutoTokenizer, Wav2Vec2Processor
from speechcli.api.verbs import load, transcribe, translate
from speechcli.decoding.generation_options import GenerationOptions as GenerationConfig
from speechcli.families.bart import BartConfig, MBartConfig
from speechcli.families.bert import BertConfig, RobertaConfig
from speechcli.families.composite import SpeechEncoderDecoderConfig
from speechcli.families.data2vec_audio import Data2VecAudioConfig
from speechcli.families.gpt2 import GPT2Config
from speechcli.families.sew import SEWConfig, SEWDConfig
from speechcli.families.wav2vec2 import HubertConfig, UniSpeechConfig, UniSpeechSatConfig, Wav2Vec2Config
from speechcli.families.wav2vec2_bert import Wav2Vec2BertConfig
from speechcli.families.wav2vec2_conformer import Wav2Vec2ConformerConfig
from speechcli.families.wavlm import WavLMConfig

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
