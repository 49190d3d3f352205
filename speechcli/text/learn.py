"""Training of a byte-pair vocabulary on texts, with optional language tags."""

import json
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from speechcli.errors import UsageError

SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
LONGEST_PIECE = 16


def learn_vocabulary(
    texts: Iterable[str], size: int, *, languages: Sequence[str] = (), lowercase: bool = False
) -> dict[str, bytes]:
    """Train a byte-pair encoding of words (Sennrich et al. 2016).

    Punctuation marks and digits are tokens of their own, and the first piece of a word starts with `▁`, as in
    sentencepiece.

    Args:
        texts: the training texts.
        size: maximum number of tokens, including special ones; there are fewer if there is nothing left to merge.
        languages: codes of two or three letters; a tag such as `de_XX` is added for each.
        lowercase: convert texts to lower case.

    Returns:
        the files of the tokenizer by name

    Raises:
        UsageError: the size is too small for the characters of the texts.
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
    needed = learned.get_vocab_size() + len(tags)  # all characters are kept, even beyond the requested size
    if needed > size:
        raise UsageError(
            f"A vocabulary of these texts must have at least {needed} tokens for their characters alone, but the "
            f"requested size is {size}."
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
