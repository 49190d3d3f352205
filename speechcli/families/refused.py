"""Models that cannot be the encoder or the decoder, and why."""

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
"""Causal language models without cross-attention; what their `model_type` begins with."""

NOT_APART = (
    "albert", "deberta", "distilbert", "fsmt", "funnel", "led", "longformer", "longt5", "m2m_100", "mobilebert",
    "modernbert", "mpnet", "mt5", "nllb", "pegasus_x", "seamless", "speech_to_text", "squeezebert",
    "switch_transformers", "t5", "umt5",
)  # fmt: skip
"""Models of which transformers has no decoder that stands alone; what their `model_type` begins with."""

NO_TEXT = ("imagegpt", "mllama", "moshi", "musicgen")
"""Causal models of pictures or sounds; what their `model_type` begins with."""

BROKEN = {
    "big_bird": "gives other tokens with a cache than without one",
    "prophetnet": "gives a token other scores when the text goes on",
    "xlm-prophetnet": "gives a token other scores when the text goes on",
}
"""What transformers' own decoders of these do, by `model_type`."""

WHOLE_SPEECH = (
    "audioflamingo", "canary", "clap", "cohere_asr", "dia", "fun_asr", "gemma", "glmasr", "granite_speech",
    "kyutai_speech_to_text", "lasr_ctc", "moonshine", "moss", "musicflamingo", "nemo", "parakeet_", "phi4", "pop2piano",
    "qwen", "seamless", "speech_to_text", "speecht5", "vibevoice", "voxtral",
)  # fmt: skip
"""Speech models of which transformers has no encoder that stands alone; what their `model_type` begins with."""

UNCOUNTED = ("audio-spectrogram-transformer", "lasr_encoder", "parakeet_encoder", "qwen2_audio_encoder")
"""Speech encoders for which transformers does not count the frames; what their `model_type` begins with."""

GONE = ("mctct",)
"""Speech encoders that transformers no longer has."""


def why_no_decoder(kind: str) -> str:
    """What to add to "its `model_type` is …": why that kind cannot be a decoder; empty when nothing is known of it."""
    if kind in BROKEN:
        return f", of which the reference implementation {BROKEN[kind]}, so that there is nothing to be true to"
    if kind.startswith(NO_TEXT):
        return ", which is no model of text that could hear what the encoder says"
    if kind.startswith(CAUSAL_ONLY):
        return ", which has no cross-attention and so could not hear what the encoder says"
    if kind.startswith(NOT_APART):
        return ", of which the reference implementation has no decoder that stands alone"
    return ""


def why_no_encoder(kind: str) -> str:
    """What to add to "its `model_type` is …": why that kind cannot be an encoder; empty when nothing is known of it."""
    if kind.startswith(UNCOUNTED):
        return ", whose frames the reference implementation does not count, so that it would hear padding"
    if kind.startswith(WHOLE_SPEECH):
        return ", of which the reference implementation has no encoder that stands alone"
    if kind in GONE:
        return ", which the reference implementation no longer has"
    return ""
