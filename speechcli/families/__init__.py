"""One file per model family: configuration, key table and builder. Here: the family of each `model_type`."""

from speechcli.families.bart import BART, MBART, MVP, PLBART
from speechcli.families.bert import BERT, BERT_GENERATION, CAMEMBERT, DATA2VEC_TEXT, ROBERTA, XLM_ROBERTA
from speechcli.families.data2vec_audio import DATA2VEC_AUDIO
from speechcli.families.electra import ELECTRA, REMBERT
from speechcli.families.ernie import ERNIE
from speechcli.families.family import Family
from speechcli.families.gpt2 import GPT2
from speechcli.families.pegasus import BIGBIRD_PEGASUS, BLENDERBOT, BLENDERBOT_SMALL, MARIAN, PEGASUS
from speechcli.families.prenorm_bert import MEGATRON_BERT, ROBERTA_PRELAYERNORM, XLM_ROBERTA_XL
from speechcli.families.roc_bert import ROC_BERT
from speechcli.families.roformer import ROFORMER
from speechcli.families.sew import SEW, SEW_D
from speechcli.families.trocr import SPEECH2TEXT2, TROCR
from speechcli.families.wav2vec2 import HUBERT, UNISPEECH, UNISPEECH_SAT, WAV2VEC2
from speechcli.families.wav2vec2_bert import WAV2VEC2_BERT
from speechcli.families.wav2vec2_conformer import WAV2VEC2_CONFORMER
from speechcli.families.wavlm import WAVLM
from speechcli.families.whisper import WHISPER_DECODER, WHISPER_ENCODER
from speechcli.families.xglm import XGLM
from speechcli.families.xmod import XMOD

SPEECH_ENCODERS: dict[str, Family] = {
    "wav2vec2": WAV2VEC2,
    "hubert": HUBERT,
    "wavlm": WAVLM,
    "wav2vec2-conformer": WAV2VEC2_CONFORMER,
    "wav2vec2-bert": WAV2VEC2_BERT,
    "sew": SEW,
    "sew-d": SEW_D,
    "data2vec-audio": DATA2VEC_AUDIO,
    "unispeech": UNISPEECH,
    "unispeech-sat": UNISPEECH_SAT,
    "whisper": WHISPER_ENCODER,
}

TEXT_DECODERS: dict[str, Family] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "gpt2": GPT2,
    "gpt-sw3": GPT2,
    "bart": BART,
    "mbart": MBART,
    "camembert": CAMEMBERT,
    "xlm-roberta": XLM_ROBERTA,
    "data2vec-text": DATA2VEC_TEXT,
    "ernie": ERNIE,
    "mvp": MVP,
    "plbart": PLBART,
    "pegasus": PEGASUS,
    "marian": MARIAN,
    "blenderbot": BLENDERBOT,
    "blenderbot-small": BLENDERBOT_SMALL,
    "bert-generation": BERT_GENERATION,
    "electra": ELECTRA,
    "rembert": REMBERT,
    "xlm-roberta-xl": XLM_ROBERTA_XL,
    "roberta-prelayernorm": ROBERTA_PRELAYERNORM,
    "megatron-bert": MEGATRON_BERT,
    "roformer": ROFORMER,
    "roc_bert": ROC_BERT,
    "xmod": XMOD,
    "bigbird_pegasus": BIGBIRD_PEGASUS,
    "xglm": XGLM,
    "trocr": TROCR,
    "speech_to_text_2": SPEECH2TEXT2,
    "whisper": WHISPER_DECODER,
}

WHOLE_MODELS = ("whisper",)
"""Families published as whole models, with one configuration and one set of keys for encoder and decoder."""
