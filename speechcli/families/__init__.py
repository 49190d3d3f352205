"""Facts about the outside world, a file a family; here, which `model_type` is which."""

from speechcli.families.bart import BART, MBART
from speechcli.families.bert import BERT, ROBERTA
from speechcli.families.family import Family
from speechcli.families.gpt2 import GPT2
from speechcli.families.wav2vec2 import HUBERT, WAV2VEC2
from speechcli.families.wav2vec2_bert import WAV2VEC2_BERT
from speechcli.families.wavlm import WAVLM

SPEECH_ENCODERS: dict[str, Family] = {
    "wav2vec2": WAV2VEC2,
    "hubert": HUBERT,
    "wavlm": WAVLM,
    "wav2vec2-bert": WAV2VEC2_BERT,
}

TEXT_DECODERS: dict[str, Family] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "gpt2": GPT2,
    "bart": BART,
    "mbart": MBART,
}
