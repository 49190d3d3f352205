"""The scorers that are combined with the decoder: CTC head, translation memory, language model, hotwords."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from speechcli.checkpoints.bundle import Bundle
from speechcli.checkpoints.ctc import CtcBundle
from speechcli.checkpoints.language_model import load_language_model
from speechcli.decoding.ctc_prefix import CtcPrefixScorer
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.memory import Example, MemoryScorer
from speechcli.decoding.scorers import Hotwords, LanguageModelScorer, Scorer, ScorerPerText
from speechcli.errors import UsageError
from speechcli.models.decoder import TextDecoder
from speechcli.models.speech_encoder_decoder import Encoded
from speechcli.pipelines.decoding_options import LM_WEIGHT, DecodingOptions
from speechcli.pipelines.load import find_model
from speechcli.pipelines.search.memory import TranslationMemory
from speechcli.pipelines.speech_options import HubAccess
from speechcli.text.tokenizer import Tokenizer
from speechcli.text.vocabulary import has_tokenizer

MATCHES = 16
"""Number of translations from the memory that are used for a text."""
TEMPERATURE = 0.02
"""Difference in similarity that makes a translation count e times as much."""


class Source(NamedTuple):
    """What a translation is made from."""

    tokens: tuple[int, ...]
    """The transcript, after its language tag."""
    text: str
    """The transcript."""
    spoken: str | None
    """Its language, in any spelling; None: unknown."""
    written: str | None
    """The language of the translation; likewise."""


class Scorers:
    """Makes the scorers of each search.

    Args:
        bundle: the model that decodes.
        decoding: the user's decoding options.
        hub: how to access the Hub.

    Raises:
        ModelError: the language model cannot be loaded.
        UsageError: a scorer is not possible with this model, or there is no language model for `--lm-weight`.
        InputError: the translation memory cannot be used.
    """

    def __init__(self, bundle: Bundle, decoding: DecodingOptions, hub: HubAccess) -> None:
        self._bundle = bundle
        trained = bundle.settings.get("ctc", {})
        self._blank = trained.get("blank_id", 0)
        self._ctc_weight = trained.get("weight", 0.0) if decoding.ctc_weight is None else decoding.ctc_weight
        if self._ctc_weight:
            _check_head(bundle)
        self._lm: TextDecoder | None = None
        self._begin: int | None = None
        lm = decoding.lm or bundle.language_model
        if lm is None and decoding.lm_weight:
            raise lm_missing(bundle.name)
        self._lm_weights = _lm_weights(bundle, decoding)
        if lm is not None and any(self._lm_weights):
            self._lm, self._begin = language_model(bundle, bundle.model.decoder.vocabulary, str(lm), hub)
        own = bundle.settings.get("lm", {}) if decoding.lm is None else {}
        self._lm_translates = bool(own.get("translates") and self._lm is not None and self._lm_weights.translated)
        self._memory = TranslationMemory(Path(decoding.memory)) if decoding.memory is not None else None
        self._memory_weight = decoding.memory_weight
        self._hotwords = make_hotwords(bundle.tokenizer, decoding)

    @property
    def needs_transcripts(self) -> bool:
        """Whether translations are made from transcripts, too."""
        return self._lm_translates or self._memory is not None

    def make(
        self, encoded: Encoded, options: GenerationOptions, *, spoken: bool, start: int, sources: Sequence[Source] = ()
    ) -> list[Scorer]:
        """Make the scorers of one search.

        Args:
            encoded: the recordings, one row per text.
            options: the options of the search.
            spoken: whether the texts are transcripts; a CTC head can score only those.
            start: number of tokens in the prompts.
            sources: what each translation is made from, if it `needs_transcripts`.
        """
        scorers: list[Scorer] = []
        if self._memory is not None and not spoken:
            scorers.append(
                ScorerPerText(
                    [self._memory_scorer(self._memory, each, options, start, encoded.memory.device) for each in sources]
                )
            )
        head = self._bundle.model.ctc_head
        if self._ctc_weight and spoken and head is not None:
            logprobs = head(encoded.frames).float().log_softmax(dim=-1)[..., : self._bundle.model.decoder.vocabulary]
            scorers.append(
                CtcPrefixScorer(
                    logprobs,
                    encoded.frame_lengths,
                    weight=self._ctc_weight,
                    blank=self._blank,
                    ends=options.eos_ids,
                )
            )
        lm_weight = self._lm_weights.spoken if spoken else self._lm_weights.translated
        if self._lm is not None and lm_weight:
            begin = options.start_token_id if self._begin is None else self._begin
            if self._lm_translates and not spoken:
                after = [self._lm_scorer(self._lm, 1, lm_weight, (begin, *each.tokens, begin)) for each in sources]
                scorers.append(ScorerPerText(after))
            else:
                scorers.append(self._lm_scorer(self._lm, encoded.memory.size(0), lm_weight, (begin,)))
        if self._hotwords is not None:
            scorers.append(self._hotwords)
        return scorers

    def _memory_scorer(
        self, memory: TranslationMemory, source: Source, options: GenerationOptions, start: int, device: torch.device
    ) -> MemoryScorer:
        tokenizer = self._bundle.tokenizer
        assert tokenizer is not None
        matches = memory.similar(source.text, spoken=source.spoken, written=source.written, count=MATCHES)
        best = max((match.similarity for match in matches), default=0.0)
        examples = [
            Example(
                (*tokenizer.encode(match.translation), *options.eos_ids[:1]),
                math.exp((match.similarity - best) / TEMPERATURE),
            )
            for match in matches
        ]
        # the less a transcript resembles those of the memory, the less their translations count
        share = self._memory_weight ** (1 / max(best, 1e-3))
        return MemoryScorer(examples, share=share, start=start, passed=tokenizer.special_ids, device=device)

    def _lm_scorer(self, lm: TextDecoder, texts: int, weight: float, begin: Sequence[int]) -> Scorer:
        nothing = lm.tokens.weight.new_zeros(texts, 0, lm.width)
        return LanguageModelScorer(lm.step, lm.start(nothing), weight=weight, begin=begin, longest=lm.max_tokens)


class _LmWeights(NamedTuple):
    """Weights of a language model for transcripts and for translations."""

    spoken: float
    translated: float


def _lm_weights(bundle: Bundle, decoding: DecodingOptions) -> _LmWeights:
    if decoding.lm_weight is not None:
        return _LmWeights(decoding.lm_weight, decoding.lm_weight)
    own = bundle.settings.get("lm", {}) if decoding.lm is None else {}
    weight = own.get("weight", LM_WEIGHT)
    return _LmWeights(weight, own.get("translation_weight", weight))


def make_hotwords(tokenizer: Tokenizer | None, decoding: DecodingOptions) -> Hotwords | None:
    """Return the scorer of the user's hotwords, if there are any.

    Raises:
        UsageError: the file cannot be read, or has no words.
    """
    if decoding.hotwords is None:
        return None
    return Hotwords(read_hotwords(tokenizer, Path(decoding.hotwords)), boost=decoding.hotword_boost)


def read_hotwords(tokenizer: Tokenizer | None, path: Path) -> tuple[tuple[int, ...], ...]:
    """Read hotwords, one per line, and tokenize each as at the start of a text and after a space.

    Raises:
        UsageError: the file cannot be read, or has no words.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"`--hotwords {path}` cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"`--hotwords {path}` must be UTF-8, but: {error}.") from error
    words = [line.strip() for line in lines if line.strip()]
    if not words:
        raise UsageError(f"`--hotwords {path}` must contain a word or phrase per line, but is empty.")
    assert tokenizer is not None
    spelled = [_spelled(tokenizer, word) for word in words]
    found = [tuple(tokenizer.encode(text)) for word in spelled for text in (word, " " + word)]
    return tuple(dict.fromkeys(ids for ids in found if ids))


def _spelled(tokenizer: Tokenizer, word: str) -> str:
    """Return a word in the case that the vocabulary can spell."""
    cases = (word, word.upper(), word.lower())
    return next((each for each in cases if tokenizer.unk_id not in tokenizer.encode(each)), word)


def _check_head(bundle: Bundle) -> None:
    head, needed = bundle.model.ctc_head, bundle.model.decoder.vocabulary
    if head is None:
        raise UsageError(f"`--ctc-weight` needs a model with a CTC head, but {bundle.name} has none.")
    if bundle.characters is not None:
        raise UsageError(
            f"`--ctc-weight` needs a CTC head over the decoder's {needed} tokens, but that of {bundle.name} predicts "
            f"{len(bundle.characters.symbols)} characters."
        )
    if head.out_features < needed:
        raise UsageError(
            f"`--ctc-weight` needs a CTC head over the decoder's {needed} tokens, but it has {head.out_features}."
        )


def lm_missing(name: str) -> UsageError:
    """Return the error for a weight of a language model without the language model."""
    return UsageError(
        f"`--lm-weight` needs a language model, but {name} has none of its own.", hint="Name one with --lm."
    )


def language_model(
    bundle: Bundle | CtcBundle, needed: int, name: str, hub: HubAccess
) -> tuple[TextDecoder, int | None]:
    """Load a language model for shallow fusion with another model.

    Args:
        bundle: the other model.
        needed: its vocabulary size, which the language model must share.
        name: a folder, or a name on the Hub.
        hub: how to access the Hub.

    Returns:
        The language model, and its start token if the configuration has one.

    Raises:
        ModelError: it cannot be loaded.
        UsageError: it has another vocabulary.
    """
    folder = find_model(name, hub)
    weight = next(bundle.model.parameters())
    lm, begin = load_language_model(folder, dtype=weight.dtype, device=weight.device)
    if lm.vocabulary != needed:
        raise UsageError(
            f"`--lm {name}` must have the vocabulary of {bundle.name}, but has {lm.vocabulary} tokens, not {needed}."
        )
    if bundle.tokenizer is not None and has_tokenizer(folder):
        ours, theirs = bundle.tokenizer.backend.get_vocab(), Tokenizer.load(folder).backend.get_vocab()
        other = next((token for token, id_ in ours.items() if theirs.get(token) != id_), None)
        if other is not None:
            raise UsageError(f"`--lm {name}` must have the vocabulary of {bundle.name}, but differs at `{other}`.")
    return lm, begin
