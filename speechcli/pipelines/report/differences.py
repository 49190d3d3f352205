"""Word-level differences between a reference and a hypothesis, as HTML."""

from html import escape

import jiwer


def marked(reference: str, hypothesis: str) -> str:
    """Return the hypothesis with its errors marked: `<del>` words are missing, `<ins>` words should not be there.

    The words are aligned as word errors are counted; texts without spaces are aligned by characters.
    """
    words = " " in reference.strip() or " " in hypothesis.strip() or reference.strip().isascii()
    reference_units, hypothesis_units = _units(reference, words), _units(hypothesis, words)
    between = " " if words else ""
    if not reference_units or not hypothesis_units:
        return between.join([*_tagged("del", reference_units, between), *_tagged("ins", hypothesis_units, between)])
    parts: list[str] = []
    for chunk in jiwer.process_words(" ".join(reference_units), " ".join(hypothesis_units)).alignments[0]:
        wanted = reference_units[chunk.ref_start_idx : chunk.ref_end_idx]
        written = hypothesis_units[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "equal":
            parts.append(escape(between.join(written)))
        else:
            parts += [*_tagged("del", wanted, between), *_tagged("ins", written, between)]
    return between.join(parts)


def _units(text: str, words: bool) -> list[str]:
    return text.split() if words else list("".join(text.split()))


def _tagged(tag: str, units: list[str], between: str) -> list[str]:
    return [f"<{tag}>{escape(between.join(units))}</{tag}>"] if units else []
