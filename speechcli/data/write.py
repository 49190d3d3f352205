"""Write utterances to a manifest."""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechcli.data.columns import WIDE
from speechcli.data.manifest import Target, Utterance
from speechcli.text.languages import language_key
from speechcli.transcript import one_line
from speechcli.writers import encode

_ORDER = ("id", "audio", "start", "end", "seconds", "speaker", "confidence", "teacher", "src_lang", "src_text")


def manifest_bytes(utterances: Sequence[Utterance], path: Path) -> bytes:
    """Return a manifest with a row for each utterance and a column `text_<language>` for each translation.

    Args:
        utterances: the rows.
        path: the file to be written: ``.jsonl``, ``.csv``, or anything else for tab-separated. Paths of recordings
            below its folder are relative to it, others absolute.
    """
    # Rows of several manifests may have the same id; rows without an id get that of their recording.
    counts = Counter(utterance.id for utterance in utterances)
    rows = [row for each in utterances for row in _rows(each, path.parent, named=counts[each.id] == 1)]
    if path.suffix.lower() in (".jsonl", ".json"):
        return encode("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    columns = [*(name for name in _ORDER if any(name in row for row in rows))]
    columns += sorted({name for row in rows for name in row} - set(columns))
    cells = [[str(row.get(name, "")) for name in columns] for row in rows]
    if path.suffix.lower() == ".csv":
        table = io.StringIO(newline="")
        csv.writer(table, lineterminator="\n").writerows([columns, *cells])
        return encode(table.getvalue())
    return encode("".join("\t".join(map(one_line, row)) + "\n" for row in [columns, *cells]))


def _rows(utterance: Utterance, folder: Path, *, named: bool) -> Iterator[dict[str, str | float]]:
    """Yield the row of an utterance, and more rows for texts that do not fit into columns."""
    facts = {
        "id": utterance.id if named else None,
        "audio": _from(folder, str(utterance.audio)),
        "start": utterance.start,
        "end": utterance.end,
        "seconds": round(utterance.seconds, 6),
        "speaker": utterance.speaker,
        "confidence": utterance.confidence,
        "teacher": None if utterance.teacher is None else _from(folder, str(utterance.teacher)),
        "src_lang": utterance.language,
    }
    known = {name: value for name, value in facts.items() if value is not None}
    spoken = {} if utterance.transcript is None else {"src_text": utterance.transcript}
    translations = [target for target in utterance.targets if not _is_transcript(target, utterance)]
    wide = {_column(target.language or ""): target for target in translations}
    wide = {name: target for name, target in wide.items() if WIDE.fullmatch(name)}
    others = [target for target in translations if target not in wide.values()]
    texts: dict[str, str | float] = {name: target.text for name, target in wide.items()}
    yield {**known, **spoken, **texts, **(_narrow(others[0]) if others else {})}
    yield from ({**known, **_narrow(target)} for target in others[1:])


def _is_transcript(target: Target, utterance: Utterance) -> bool:
    return (target.text, target.language) == (utterance.transcript, utterance.language)


def _column(language: str) -> str:
    """Return the column of a translation, with the script or region of its language, which the model may need."""
    spelled = f"text_{language}"
    return spelled if WIDE.fullmatch(spelled) else f"text_{language_key(language)}"


def _narrow(target: Target) -> dict[str, str]:
    return {"tgt_text": target.text} | ({} if target.language is None else {"tgt_lang": target.language})


def _from(folder: Path, path: str) -> str:
    full, base = os.path.abspath(path), os.path.abspath(folder)
    return os.path.relpath(full, base) if full.startswith(base.rstrip(os.sep) + os.sep) else full
