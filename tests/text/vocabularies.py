"""Tiny vocabularies with the quirks of the real ones, written to a folder."""

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models
from tokenizers.pre_tokenizers import ByteLevel

NASTY = [
    "",
    " ",
    "Hello world",
    "  two  spaces  ",
    "it's don't I'm we've they're , . ? !",
    'it \' s  "quoted" , really ?',
    "ÀÉÎõü ß Straße naïve",
    "fi Ａ１ … – —",
    "новый мир",
    "مرحبا بالعالم",
    "日本語テスト",
    "tab\tnew\nline\r\nend",
    "zero\u200bwidth\u00a0space\ufeff",
    "emoji 👩‍👩‍👧 🇩🇪 done",
    "a\u0301 combining",
    "1234567890 3.14 €5",
    "control\x07char",
    "lower hello lowest",
]

BERT_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "it", "don", "t", "s", "m", "low", "##er"]
BERT_WORDS += [
    "##est",
    "##s",
    "'",
    ",",
    ".",
    "?",
    "!",
    '"',
    "strasse",
    "naive",
    "日",
    "本",
    "1",
    "##2",
    "##3",
    "ж",
    "а",
]

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def write_bert(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(BERT_WORDS) + "\n", encoding="utf-8")
    if config:
        write_json(folder / "tokenizer_config.json", config)
    return folder


def write_byte_level(folder: Path, *, first: list[str], last: list[str], **config: Any) -> Path:
    """Write vocab.json and merges.txt: every byte, some merges, special tokens before and behind them."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w"), ("o", "r"), ("Ġw", "or"), ("e", "r")]
    merges += [("Ġ", "Ġ"), ("Ð", "½"), ("l", "o"), ("lo", "w"), ("Ġ", "low")]
    tokens = [*first, *sorted(ByteLevel.alphabet()), *(left + right for left, right in merges), *last]
    write_json(folder / "vocab.json", {token: i for i, token in enumerate(tokens)})
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if config:
        write_json(folder / "tokenizer_config.json", config)
    return folder


def write_bart(folder: Path, **config: Any) -> Path:
    return write_byte_level(folder, first=SPECIAL[:4], last=["<mask>"], **config)


def write_gpt2(folder: Path, **config: Any) -> Path:
    return write_byte_level(folder, first=[], last=["<|endoftext|>"], **config)


def write_whisper(folder: Path, *, words: int = 6, times: int = 51) -> Path:
    """A tokenizer.json with `words` ordinary tokens, then Whisper's special tokens, then times from 0 s."""
    letters = ["a", "b", "c", "Ġ", "ab", "Ġab"]
    vocabulary = letters + [f"w{number}" for number in range(len(letters), words)]
    merges = [("a", "b"), ("Ġ", "ab")]
    backend = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(vocabulary)}, merges))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    names = ("endoftext", "startoftranscript", "en", "de", "translate", "transcribe", "notimestamps")
    backend.add_special_tokens([f"<|{name}|>" for name in names])
    backend.add_tokens([f"<|{number * 0.02:.2f}|>" for number in range(times)])
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    return folder
