"""Text models that cannot be the decoder, and why."""

CAUSAL_ONLY = (
    "apertus", "arcee", "bamba", "biogpt", "bitnet", "bloom", "codegen", "cohere", "cpm", "ctrl", "dbrx", "deepseek",
    "ernie4", "exaone", "falcon", "gemma", "glm", "gpt-neo", "gpt_", "gptj", "granite", "helium", "hunyuan", "internlm",
    "jamba", "jetmoe", "kimi", "lfm", "llama", "mamba", "minicpm", "minimax", "ministral", "mistral", "mixtral",
    "modernbert-decoder", "mpt", "nemotron", "olmo", "openai-gpt", "opt", "persimmon", "phi", "qwen", "recurrent_gemma",
    "reformer", "rwkv", "seed_oss", "smollm", "stablelm", "starcoder", "transfo-xl", "xlm", "xlnet", "xlstm", "zamba",
)  # fmt: skip
"""Causal language models without cross-attention; what their `model_type` begins with."""

NOT_APART = (
    "albert", "deberta", "distilbert", "fsmt", "funnel", "led", "longformer", "longt5", "m2m_100", "mobilebert",
    "modernbert", "mpnet", "mt5", "nllb", "pegasus_x", "seamless", "speech_to_text", "squeezebert",
    "switch_transformers", "t5", "umt5",
)  # fmt: skip
"""Models of which transformers has no decoder that stands alone; what their `model_type` begins with."""

BROKEN = {
    "big_bird": "gives other tokens with a cache than without one",
    "prophetnet": "fails when it decodes token by token",
}
"""What transformers' own decoders of these do, by `model_type`."""


def why_refused(kind: str) -> str:
    """What to add to "its `model_type` is …": why that kind cannot be a decoder; empty when nothing is known of it."""
    if kind in BROKEN:
        return f", of which the reference implementation {BROKEN[kind]}, so that there is nothing to be true to"
    if kind.startswith(CAUSAL_ONLY):
        return ", which has no cross-attention and so could not hear what the encoder says"
    if kind.startswith(NOT_APART):
        return ", of which the reference implementation has no decoder that stands alone"
    return ""
