"""Transcribe clips with an encoder that has only a CTC head."""

from collections.abc import Sequence
from dataclasses import fields
from functools import partial

from torch import Tensor

from speechcli.checkpoints.ctc import CtcBundle
from speechcli.decoding.alignment import align
from speechcli.decoding.ctc import Bonus, as_path, collapse, prefix_beam_search
from speechcli.decoding.scorers import LanguageModelBonus
from speechcli.errors import UsageError
from speechcli.pipelines.decoding_options import LM_WEIGHT, DecodingOptions
from speechcli.pipelines.recognition.recognizer import Clip, Decoded, Recognizer
from speechcli.pipelines.recognition.words import WordAligner, mean
from speechcli.pipelines.search.effective_options import DEFAULT_BEAMS, check_times
from speechcli.pipelines.search.scorers import language_model, lm_missing, make_hotwords
from speechcli.pipelines.speech_options import HubAccess, SpeechOptions
from speechcli.text.languages import has_spaces, language_code
from speechcli.transcript import Alternative

_DECODER_OPTIONS = frozenset(item.name for item in fields(DecodingOptions)) - {
    *("strategy", "beam_size", "num_return", "word_times", "timestamps", "lm", "lm_weight"),
    *("hotwords", "hotword_boost", "max_segment", "vad", "batch_seconds", "batch_size"),
}
"""Options that need a decoder."""


class CtcRecognizer(Recognizer):
    """A recognizer with a speech encoder and a CTC head.

    Args:
        bundle: the model with its tokenizer, features and settings.
        options: the options of the command.

    Raises:
        UsageError: an option needs a decoder.
    """

    def __init__(self, bundle: CtcBundle, options: SpeechOptions) -> None:
        super().__init__(bundle.model.encoder, bundle.features, options)
        _check(bundle, options)
        if bundle.adapters and options.language is not None:
            bundle.set_language(options.language)
        self._model, self._tokenizer, self._blank = bundle.model, bundle.tokenizer, bundle.blank_id
        decoding = options.decoding
        self._returned = decoding.num_return or 1
        bonuses = _bonuses(bundle, decoding, options.model)
        self._searches = (
            decoding.strategy == "beam" or bool(bonuses) or max(decoding.beam_size or 1, self._returned) > 1
        )
        self._search = partial(
            prefix_beam_search,
            beams=decoding.beam_size or max(DEFAULT_BEAMS, self._returned),
            blank=self._blank,
            bonuses=bonuses,
        )
        self._language = options.language
        vocabulary = self._model.head.out_features
        self._aligner = WordAligner(self._text, blank=self._blank, silent=set(), vocabulary=vocabulary)
        self._times_words = decoding.word_times

    def _write(self, clips: Sequence[Clip]) -> list[tuple[Decoded, ...]]:
        written: dict[int, Decoded] = {}
        for rows, inputs, lengths in self._inputs(clips):
            logits, frame_lengths = self._model(inputs, lengths)
            for row, frames, length in zip(rows, logits, frame_lengths.tolist(), strict=True):
                written[row] = self._decoded(clips[row], frames[:length])
        return [(written[row],) for row in range(len(clips))]

    def _decoded(self, clip: Clip, logits: Tensor) -> Decoded:
        logprobs = logits.float().log_softmax(dim=-1)
        if self._searches:
            texts = [tokens for tokens, _ in self._search(logprobs.cpu())]
        else:
            texts = [collapse(self._tokenizer.known(logprobs.argmax(dim=-1).tolist()), self._blank)]
        sure = [tuple(span.logprob for span in align(logprobs, text, blank=self._blank) or ()) for text in texts]
        others = [Alternative(self._text(text).strip(), mean(each)) for text, each in zip(texts, sure, strict=True)]
        code = self._code(clip)
        alternatives = tuple(others[1 : self._returned])
        decoded = Decoded(self._text(texts[0]).strip(), texts[0], sure[0], code, code, alternatives)
        if not self._times_words:
            return decoded
        seconds, spaced = len(clip.samples) / self.sample_rate, has_spaces(code)
        return decoded._replace(words=self._aligner.align(logits, texts[0], sure[0], seconds=seconds, spaced=spaced))

    def _silence(self, clip: Clip) -> tuple[Decoded, ...]:
        code = self._code(clip)
        return (Decoded("", (), (), code, code),)

    def _code(self, clip: Clip) -> str | None:
        name = self._language or clip.language
        return None if name is None else language_code(name)

    def _text(self, tokens: Sequence[int]) -> str:
        # All predicted tokens belong to the text, special tokens too. Equal letters are separated by the padding token
        # of the vocabulary, which may differ from the blank.
        between = self._tokenizer.pad_id
        return self._tokenizer.decode(tokens if between is None else as_path(tokens, between), skip_special=False)


def _bonuses(bundle: CtcBundle, decoding: DecodingOptions, hub: HubAccess) -> list[Bonus]:
    """Return the bonuses of the user's language model and hotwords."""
    hotwords = make_hotwords(bundle.tokenizer, decoding)
    bonuses: list[Bonus] = [] if hotwords is None else [hotwords.bonus]
    if decoding.lm is not None:
        lm, begin = language_model(bundle, bundle.model.head.out_features, decoding.lm, hub)
        nothing = next(lm.parameters()).new_zeros(1, 0, lm.width)
        begins, end = (begin, bundle.tokenizer.bos_id, bundle.blank_id), bundle.tokenizer.eos_id
        bonuses.append(
            LanguageModelBonus(
                lambda ids, cache: lm.step(ids.to(nothing.device), cache),
                lambda: lm.start(nothing),
                weight=LM_WEIGHT if decoding.lm_weight is None else decoding.lm_weight,
                begin=next(id_ for id_ in begins if id_ is not None and id_ < lm.vocabulary),
                end=end if end is not None and end < lm.vocabulary else None,
                longest=lm.max_tokens,
            )
        )
    return bonuses


def _check(bundle: CtcBundle, options: SpeechOptions) -> None:
    if options.task == "translate":
        raise UsageError(
            f"Translation needs a decoder, but {bundle.name} has only a CTC head.",
            hint="Transcribe, or choose another --model.",
        )
    decoding = options.decoding
    check_times(decoding, bundle.tokenizer, bundle.name)
    if decoding.strategy == "sample":
        raise UsageError("`--strategy` must be greedy or beam for a model with only a CTC head, but is sample.")
    if decoding.lm is None and decoding.lm_weight:
        raise lm_missing(bundle.name)
    for flag, wanted in (("--hotwords", decoding.hotwords), ("--lm", decoding.lm)):
        if decoding.strategy == "greedy" and wanted is not None:
            raise UsageError(f"`{flag}` chooses among several texts, but --strategy greedy keeps one.")
    for item in fields(DecodingOptions):
        if item.name in _DECODER_OPTIONS and getattr(decoding, item.name) != item.default:
            flag = "--" + item.name.replace("_", "-")
            message = f"`{flag}` needs a decoder, but {bundle.name} has only a CTC head."
            raise UsageError(message, hint=f"Leave out {flag}.")
    beams = 1 if decoding.strategy == "greedy" else decoding.beam_size
    if beams is not None and (decoding.num_return or 1) > beams:
        raise UsageError(f"`--num-return` must be at most the beams ({beams}), but is {decoding.num_return}.")
