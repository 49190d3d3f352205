"""Times of words, by the CTC head of a model or by its decoder's attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from speechcli.checkpoints.bundle import Bundle
from speechcli.decoding.alignment import align_by_attention
from speechcli.errors import ModelError, UsageError
from speechcli.models.cross_attention import cross_attention_weights
from speechcli.models.speech_encoder_decoder import Encoded, SpeechEncoderDecoder
from speechcli.nn.layer import TransformerLayer
from speechcli.pipelines.recognition.words import Decode, WordAligner, spell, with_times
from speechcli.pipelines.search.write import Request
from speechcli.pipelines.speech_options import SpeechOptions
from speechcli.transcript import Word


class WordTimer(Protocol):
    """Finds the times of the words of a text."""

    def __call__(
        self, encoded: Encoded, request: Request, tokens: Sequence[int], logprobs: Sequence[float], *, spaced: bool
    ) -> tuple[Word, ...] | None:
        """Time the words of one text.

        Args:
            encoded: the batch with its recording.
            request: the request for the text.
            tokens: the tokens of the text.
            logprobs: log-probability of each token.
            spaced: whether words are separated by spaces.

        Returns:
            The words with times in seconds; None if the text is too long for the recording.
        """


@dataclass(frozen=True)
class CtcWordTimer:
    """Times words by the CTC head of a model with a decoder."""

    model: SpeechEncoderDecoder
    aligner: WordAligner

    def __call__(
        self, encoded: Encoded, request: Request, tokens: Sequence[int], logprobs: Sequence[float], *, spaced: bool
    ) -> tuple[Word, ...] | None:
        """Time the words of one text."""
        assert self.model.ctc_head is not None
        row = request.row
        logits = self.model.ctc_head(encoded.frames[row, : int(encoded.frame_lengths[row])])
        return self.aligner.align(logits, tokens, logprobs, seconds=request.seconds, spaced=spaced)


@dataclass(frozen=True)
class AttentionWordTimer:
    """Times words by the cross-attention of some heads of the decoder (as released with Whisper in 2023).

    While the decoder reads a token, its attention moves on to the next one, so a word starts at the frame attended to
    while the previous token is read.
    """

    model: SpeechEncoderDecoder
    decode: Decode
    heads: tuple[tuple[int, int], ...]
    """Pairs of layer and head."""
    window: float
    """Length of the encoder's window in seconds, including silence after the recording."""
    ends: tuple[int, ...]
    """Ids that end a text."""

    def __call__(
        self, encoded: Encoded, request: Request, tokens: Sequence[int], logprobs: Sequence[float], *, spaced: bool
    ) -> tuple[Word, ...] | None:
        """Time the words of one text."""
        tokens = tokens[:-1] if tokens and tokens[-1] in self.ends else tokens
        words = spell(self.decode, tokens, spaced=spaced)
        if not words:
            return ()
        prompt, memory = request.prompt.ids, encoded.memory[request.row : request.row + 1]
        layers = cross_attention_weights(
            self.model.decoder, torch.tensor([[*prompt, *tokens]], device=memory.device), memory
        )
        weights = torch.stack([layers[layer][0, head] for layer, head in self.heads])
        frame = self.window / memory.size(1)
        first = len(prompt) + words[0].places[0] - 1  # read before the first word
        begins = align_by_attention(weights[:, first:, : max(1, round(request.seconds / frame))])
        edges = [begin * frame for begin in begins]
        offset = words[0].places[0]
        spans = {offset + place: (start, end) for place, (start, end) in enumerate(zip(edges, edges[1:], strict=False))}
        return with_times(words, logprobs, spans)


def make_word_timer(bundle: Bundle, options: SpeechOptions, window: float) -> WordTimer | None:
    """Make the word timer of a model; None if word times are not requested.

    Args:
        bundle: the model.
        options: the options of the command.
        window: length of the encoder's window in seconds, if it is fixed.

    Raises:
        ModelError: the model's settings name heads that it does not have.
        UsageError: the model cannot predict word times, or the text is a translation.
    """
    if not options.decoding.word_times:
        return None
    model, tokenizer = bundle.model, bundle.tokenizer
    if options.task == "translate":
        raise UsageError("`--word-times` is possible for transcripts only, not for translations.", hint="Leave it out.")
    if tokenizer is not None and model.ctc_head is not None:
        ids = (tokenizer.bos_id, tokenizer.eos_id, tokenizer.sep_id, tokenizer.pad_id)
        silent = {id_ for id_ in ids if id_ is not None}
        blank, vocabulary = bundle.settings.get("ctc", {}).get("blank_id", 0), model.ctc_head.out_features
        own = bundle.characters
        aligner = WordAligner(tokenizer.decode, blank=blank, silent=silent, vocabulary=vocabulary, characters=own)
        return CtcWordTimer(model, aligner)
    if tokenizer is not None and tokenizer.no_timestamps_id is not None and bundle.config.whole:
        return AttentionWordTimer(model, tokenizer.decode, _heads(bundle), window, bundle.generation.eos_ids)
    raise UsageError(
        f"`--word-times` needs a model with a CTC head, or a whole Whisper, but {bundle.name} is neither.",
        hint="Train it with `--set objective.ctc_weight=0.3`, or leave out --word-times.",
    )


def _heads(bundle: Bundle) -> tuple[tuple[int, int], ...]:
    """Return the `alignment_heads` of generation_config.json; by default all heads of the second half of the layers."""
    layers = bundle.model.decoder.layers
    readers = {number: layer.cross_attn for number, layer in enumerate(layers) if isinstance(layer, TransformerLayer)}
    every = {(layer, head) for layer, reader in readers.items() if reader for head in range(reader.heads)}
    named = bundle.generation.extra.get("alignment_heads")
    if named is None:
        return tuple(sorted(pair for pair in every if pair[0] >= len(layers) // 2))
    if not isinstance(named, list) or not named or not all(pair in map(list, every) for pair in named):
        raise ModelError(
            f"`alignment_heads` of {bundle.name} must be pairs of a layer and a head, but is {named!r:.80}."
        )
    return tuple((layer, head) for layer, head in named)
