"""One small vocabulary for five languages (and a few Arabic words), as `tokenizer.json`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LANGUAGE_TAGS = ("en_XX", "es_XX", "fr_XX", "it_IT", "ru_RU", "ar_AR")
SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
SIZE = 400
ENGLISH_WEIGHT = 1.5
_ALWAYS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;?!'\"-()&/áéíóúüñàâçèêëîïôùûœìò" + "".join(
    map(chr, (*range(ord("а"), ord("я") + 1), *range(ord("А"), ord("Щ") + 1), *map(ord, "ёЫЭЮЯ")))
)
_UNIFIED = {
    "[’‘ʼ`´′]": "'",
    "[“”„«»″]\\s*": '"',
    "\\s*[–—−‐‑]": "-",
    "…": "...",
    "[\\s\u00a0\u202f]+": " ",
    "^ | $": "",
}


def train_vocabulary(texts: Mapping[str, Sequence[str]], out: Path, size: int = SIZE) -> None:
    """Trains byte-pair merges on texts balanced by language and writes the tokenizer.

    Args:
        texts: language (two letters) to its texts, cased and punctuated.
        out: the folder that gets `tokenizer.json` and `tokenizer_config.json`.
        size: tokens altogether: four special ones, the pieces, the language tags at the end.
    """
    from tokenizers import AddedToken

    tokenizer = _untrained()
    tokenizer.train_from_iterator(_balanced(texts), trainer=_trainer(texts, size))
    tokenizer.add_special_tokens([AddedToken(tag, special=True, normalized=False) for tag in LANGUAGE_TAGS])
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **SPECIAL,
        "additional_special_tokens": list(LANGUAGE_TAGS),
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _untrained() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    unify = [normalizers.Replace(Regex(pattern), plain) for pattern, plain in _UNIFIED.items()]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *unify])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split(Regex(r"[\p{P}\d]"), "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return tokenizer


def _trainer(texts: Mapping[str, Sequence[str]], size: int) -> Any:
    from tokenizers import trainers

    characters = {character for language in texts.values() for text in language for character in text}
    return trainers.BpeTrainer(
        vocab_size=size - len(LANGUAGE_TAGS),
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=sorted((characters | set(_ALWAYS)) - set(" –—’“”«»…")),
        max_token_length=8,
        show_progress=False,
    )


def _balanced(texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Repeats each language's texts until all five have about as many characters (English more, Arabic once)."""
    characters = {language: sum(map(len, lines)) for language, lines in texts.items()}
    most = max(characters.values())
    balanced: list[str] = []
    for language, lines in texts.items():
        weight = ENGLISH_WEIGHT if language == "en" else 1.0
        copies = 1 if language == "ar" else round(4 * weight * most / characters[language])
        balanced += list(lines) * copies
    return balanced
