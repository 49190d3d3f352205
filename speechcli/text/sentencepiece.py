"""Reader of sentencepiece ``.model`` files without the package: it parses the required protobuf fields."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

UNIGRAM, BPE = 1, 2
"""Supported kinds of models."""

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
"""Kinds of pieces: ordinary pieces; control tokens, which do not occur in texts; symbols that are never split."""


@dataclass(frozen=True)
class Piece:
    """An entry of the vocabulary; its index is its id."""

    text: str = ""
    score: float = 0.0
    kind: int = NORMAL


@dataclass(frozen=True)
class SentencePieceModel:
    """The content of a ``.model`` file."""

    pieces: tuple[Piece, ...]
    kind: int = UNIGRAM
    unk_id: int = 0
    byte_fallback: bool = False
    """Whether unknown characters are encoded as bytes."""
    charsmap: bytes = b""
    """Normalization rules in the format of `tokenizers.normalizers.Precompiled`."""
    add_dummy_prefix: bool = True
    """Whether a space is added at the beginning of a text."""
    remove_extra_whitespaces: bool = True

    @classmethod
    def parse(cls, content: bytes) -> "SentencePieceModel":
        """Read the bytes of a file.

        Raises:
            ValueError: it is not a sentencepiece model, or of an unsupported kind.
        """
        pieces = []
        model = cls(())
        for number, value in _fields(content):
            if not isinstance(value, bytes):
                continue
            if number == 1:
                pieces.append(_piece(value))
            elif number == 2:
                model = _with_training(model, value)
            elif number == 3:
                model = _with_normalization(model, value)
        if model.kind not in (UNIGRAM, BPE):
            raise ValueError("it must be a unigram or a byte-pair model")
        if not 0 <= model.unk_id < len(pieces):
            raise ValueError(f"it has {len(pieces)} pieces, and the unknown one is number {model.unk_id}")
        return replace(model, pieces=tuple(pieces))


def _piece(content: bytes) -> Piece:
    values = dict(_fields(content))
    (score,) = struct.unpack("<f", _bytes(values.get(2, bytes(4))))
    return Piece(_bytes(values.get(1, b"")).decode("utf-8"), score, _number(values.get(3, 1)))


def _with_training(model: SentencePieceModel, content: bytes) -> SentencePieceModel:
    values = dict(_fields(content))
    if _number(values.get(24, 0)):
        raise ValueError("spaces must precede words, but follow them")
    return replace(
        model,
        kind=_number(values.get(3, UNIGRAM)),
        unk_id=_number(values.get(40, 0)),
        byte_fallback=bool(values.get(35, 0)),
    )


def _with_normalization(model: SentencePieceModel, content: bytes) -> SentencePieceModel:
    values = dict(_fields(content))
    return replace(
        model,
        charsmap=_bytes(values.get(2, b"")),
        add_dummy_prefix=bool(values.get(3, 1)),
        remove_extra_whitespaces=bool(values.get(4, 1)),
    )


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field: an integer, or bytes (a string, a float or a message)."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(content, place)
            yield key >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise ValueError(f"a field of kind {kind} at byte {place}")
        size, place = _varint(content, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
        if place + size > len(content):
            raise ValueError(f"it ends in the middle of a field at byte {place}")
        yield key >> 3, content[place : place + size]
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            break
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError(f"no number at byte {place}")


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where text is needed")
    return value


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("text where a number is needed")
    return value
