"""Models that are not supported as encoder or decoder, and why."""

CAUSAL_ONLY = (
    "afmoe", "apertus", "arcee", "aria", "axk", "bailing", "bamba", "beam", "biogpt", "bitnet", "bloom", "blt",
    "codegen", "cohere", "cpm", "ctrl", "cwm", "dbrx", "deepseek", "diffllama", "doge", "dots", "emu3", "ernie4",
    "exaone", "falcon", "flex_olmo", "flint", "fuyu", "gemma", "git", "glm", "got_ocr", "gpt-neo", "gpt_", "gptj",
    "granite", "helium", "hrm", "hunyuan", "hy_v", "hyperclovax", "inkling", "internlm", "iquestcoder", "jais",
    "jamba", "jetmoe", "kimi", "kolibri", "laguna", "lfm", "llama", "longcat", "mamba", "mellum", "mimo", "minicpm",
    "minimax", "ministral", "mistral", "mixtral", "modernbert-decoder", "moss", "mpt", "nanochat", "nemotron", "olmo",
    "openai-gpt", "opt", "persimmon", "phi", "qwen", "recurrent_gemma", "reformer", "rwkv", "seed_oss", "smollm",
    "solar", "stablelm", "starcoder", "transfo-xl", "vaultgemma", "xlm", "xlnet", "xlstm", "youtu", "zamba", "zaya",
)  # fmt: skip
"""Causal language models without cross-attention: prefixes of `model_type`."""

NOT_APART = (
    "albert", "deberta", "distilbert", "fsmt", "funnel", "led", "longformer", "longt5", "m2m_100", "mobilebert",
    "modernbert", "mpnet", "mt5", "nllb", "pegasus_x", "seamless", "speech_to_text", "squeezebert",
    "switch_transformers", "t5", "umt5",
)  # fmt: skip
"""Models for which transformers has no standalone decoder: prefixes of `model_type`."""

NO_TEXT = ("imagegpt", "mllama", "moshi", "musicgen")
"""Causal models of images or sounds: prefixes of `model_type`."""

BROKEN = {
    "big_bird": "generates different tokens with and without a cache",
    "prophetnet": "changes the scores of a token when later tokens are added",
    "xlm-prophetnet": "changes the scores of a token when later tokens are added",
}
"""Defects of transformers' own decoders, by `model_type`."""

WHOLE_SPEECH = (
    "audioflamingo", "canary", "clap", "cohere_asr", "dia", "fun_asr", "gemma", "glmasr", "granite_speech",
    "kyutai_speech_to_text", "lasr_ctc", "moonshine", "moss", "musicflamingo", "nemo", "parakeet_", "phi4", "pop2piano",
    "qwen", "seamless", "speech_to_text", "speecht5", "vibevoice", "voxtral",
)  # fmt: skip
"""Speech models for which transformers has no standalone encoder: prefixes of `model_type`."""

UNCOUNTED = ("audio-spectrogram-transformer", "lasr_encoder", "parakeet_encoder", "qwen2_audio_encoder")
"""Speech encoders for which transformers does not compute the number of frames: prefixes of `model_type`."""

GONE = ("mctct",)
"""Speech encoders that were removed from transformers."""


def why_no_decoder(kind: str) -> str:
    """Return why a kind of model is not a supported decoder, to be added to a message; empty if it is unknown."""
    if kind in BROKEN:
        return f", whose reference implementation {BROKEN[kind]}, so that its results are not well defined"
    if kind.startswith(NO_TEXT):
        return ", which is not a text model"
    if kind.startswith(CAUSAL_ONLY):
        return ", which has no cross-attention and so cannot use the output of the encoder"
    if kind.startswith(NOT_APART):
        return ", for which the reference implementation has no standalone decoder"
    return ""


def why_no_encoder(kind: str) -> str:
    """Return why a kind of model is not a supported encoder, to be added to a message; empty if it is unknown."""
    if kind.startswith(UNCOUNTED):
        return ", whose frames the reference implementation does not count, so that padding cannot be masked"
    if kind.startswith(WHOLE_SPEECH):
        return ", for which the reference implementation has no standalone encoder"
    if kind in GONE:
        return ", which was removed from the reference implementation"
    return ""
