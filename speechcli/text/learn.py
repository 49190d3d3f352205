"""A vocabulary learned from texts: byte-pair pieces of words, with a tag for each language to be told apart."""

import json
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from speechcli.errors import UsageError

SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
LONGEST_PIECE = 16


def learn_vocabulary(
    texts: Iterable[str], size: int, *, languages: Sequence[str] = (), lowercase: bool = False
) -> dict[str, bytes]:
    """Join the most frequent neighbours of characters, again and again (Sennrich et al. 2016), never across words.

    Punctuation and digits stay alone, and `▁` stands before the first piece of a word, as in sentencepiece.

    Args:
        texts: to learn from.
        size: tokens at most, the special ones included; fewer where the texts have no more to join.
        languages: two or three letters each; a tag such as `de_XX` is added for each.
        lowercase: write without capitals.

    Returns:
        the files of the tokenizer by name

    Raises:
        UsageError: if the size leaves no room for the characters of the texts.
    """
    tags = [f"{language}_XX" for language in languages]
    learned = _untrained(lowercase=lowercase)
    pieces = trainers.BpeTrainer(
        vocab_size=size - len(tags),
        special_tokens=list(SPECIAL.values()),
        max_token_length=LONGEST_PIECE,
        show_progress=False,
    )
    learned.train_from_iterator(texts, trainer=pieces)
    needed = learned.get_vocab_size() + len(tags)  # characters are kept, however many there are
    if needed > size:
        raise UsageError(
            f"A vocabulary of these texts must have at least {needed} tokens for their characters alone, but was to "
            f"have {size}."
        )
    learned.add_special_tokens([AddedToken(tag, special=True, normalized=False) for tag in tags])
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **SPECIAL,
        "additional_special_tokens": tags,
        "clean_up_tokenization_spaces": False,
    }
    return {
        "tokenizer.json": learned.to_str(pretty=True).encode("utf-8"),
        "tokenizer_config.json": (json.dumps(config, indent=2) + "\n").encode("utf-8"),
    }


def _untrained(*, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else []), *spaces]
    )
    alone = pre_tokenizers.Split(Regex(r"[\p{P}\d]"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), alone])
    tokenizer.decoder = decoders.Metaspace()
    end = list(SPECIAL).index("eos_token")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {SPECIAL['eos_token']}", special_tokens=[(SPECIAL["eos_token"], end)]
    )
    return tokenizer
