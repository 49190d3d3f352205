"""Transcribe clips with an encoder-decoder model: encode, detect the language, search."""

from collections.abc import Sequence

from torch import Tensor

from speechcli.checkpoints.bundle import Bundle
from speechcli.decoding.hypothesis import Hypothesis
from speechcli.errors import UsageError
from speechcli.models.speech_encoder_decoder import Encoded
from speechcli.pipelines.decoding_options import refuse_memory
from speechcli.pipelines.recognition.languages import Languages, detect_languages, logits_at_start, usual_language
from speechcli.pipelines.recognition.phrases import Phrase, cut_at_times
from speechcli.pipelines.recognition.recognizer import Clip, Decoded, Recognizer
from speechcli.pipelines.recognition.suspicion import is_silence, is_suspect
from speechcli.pipelines.recognition.word_times import make_word_timer
from speechcli.pipelines.recognition.words import mean
from speechcli.pipelines.search.effective_options import check_times, effective_options, other_searches
from speechcli.pipelines.search.write import Request, TextWriter, tokenizer_of
from speechcli.pipelines.speech_options import SpeechOptions
from speechcli.text.languages import has_spaces, language_code
from speechcli.text.prompts import Task
from speechcli.transcript import Alternative


class AttentionRecognizer(Recognizer):
    """A recognizer with a speech encoder and a text decoder.

    Args:
        bundle: the model with its tokenizer, features and settings.
        options: the options of the command.

    Raises:
        ModelError: the model cannot write text.
        UsageError: a language or an option is not possible with this model.
    """

    def __init__(self, bundle: Bundle, options: SpeechOptions) -> None:
        super().__init__(bundle.model.eval().encoder, bundle.features, options)
        searched = effective_options(bundle.generation, options.decoding)
        searched.check_supported()
        self._model, self._tokenizer = bundle.model, tokenizer_of(bundle)
        check_times(options.decoding, self._tokenizer, bundle.name)
        self._writer = TextWriter(bundle, searched, options.decoding, options.model)
        self._prompts = self._writer.prompts
        self._task: Task = options.task
        self._usual = usual_language(searched.extra, self._prompts)
        if bundle.adapters and options.language is not None:
            bundle.set_language(options.language)
        self.languages = Languages(
            self._prompts,
            task=options.task,
            spoken=options.language,
            targets=options.targets,
            adapters=bundle.adapters,
        )
        self.targets = len(self.languages.targets)
        self._timer = make_word_timer(bundle, options, self.max_seconds)
        self._tag_head = None if bundle.characters is not None else bundle.model.ctc_head
        if options.task == "translate" and options.decoding.ctc_weight:
            raise UsageError(
                "`--ctc-weight` is possible for transcripts only, not for translations.", hint="Leave it out."
            )
        if options.task == "transcribe":
            refuse_memory(options.decoding)
        self._retries = options.decoding.retry_repeats

    def _write(self, clips: Sequence[Clip]) -> list[tuple[Decoded, ...]]:
        encoded = self._encode(clips)
        start_logits = logits_at_start(self._model.decoder, encoded.memory, encoded.mask, self._prompts)
        spoken = self._spoken(clips, encoded, start_logits)
        requests = [
            self._request(row, clip, spoken[row], target)
            for row, clip in enumerate(clips)
            for target in self.languages.targets
        ]
        texts = self._search(encoded, requests)
        silent: list[float | None] = [None] * len(clips)
        if start_logits is not None and self._prompts.silence is not None:
            silent = start_logits.softmax(dim=-1)[:, self._prompts.silence].tolist()
        decoded = [
            self._decoded(hypotheses, spoken[request.row], request, silent[request.row])
            for request, hypotheses in zip(requests, texts, strict=True)
        ]
        decoded = [self._timed(encoded, *each) for each in zip(requests, decoded, strict=True)]
        return [tuple(decoded[first : first + self.targets]) for first in range(0, len(decoded), self.targets)]

    def _request(self, row: int, clip: Clip, spoken: str | None, target: str | None) -> Request:
        prompt = self._prompts.of(self._task, spoken=spoken, target=target)
        # A translation into the spoken language is a transcript.
        same = spoken is not None and prompt.language == language_code(spoken)
        return Request(row, prompt, len(clip.samples) / self.sample_rate, self._task == "transcribe" or same, spoken)

    def _spoken(self, clips: Sequence[Clip], encoded: Encoded, start_logits: Tensor | None) -> list[str | None]:
        """Return the spoken languages of clips, if they are known or can be detected."""
        detected = [self._usual] * len(clips)
        if self.languages.detects and self._usual is None:
            detected = detect_languages(self._tag_head, encoded, self._prompts, start_logits)
        return [self.languages.spoken_in(clip.language, found) for clip, found in zip(clips, detected, strict=True)]

    def _search(self, encoded: Encoded, requests: Sequence[Request]) -> list[list[Hypothesis]]:
        """Search for the texts; replace repetitive ones by the first result of other searches that is not."""
        texts = self._writer.write(encoded, requests)
        for options in other_searches(self._writer.options) if self._retries else ():
            for place in [place for place, found in enumerate(texts) if self._is_suspect(found)]:
                (found,) = self._writer.write(encoded, [requests[place]], options)
                texts[place] = texts[place] if self._is_suspect(found) else found
        return texts

    def _is_suspect(self, hypotheses: Sequence[Hypothesis]) -> bool:
        return is_suspect(self._tokenizer.decode(hypotheses[0].tokens).strip(), hypotheses[0].tokens)

    def _encode(self, clips: Sequence[Clip]) -> Encoded:
        """Encode clips, each as if it were alone."""
        order: list[int] = []
        parts = []
        for rows, inputs, lengths in self._inputs(clips):
            parts.append(self._model.encode(inputs, lengths))
            order += rows
        return Encoded.join(parts).take([order.index(row) for row in range(len(order))])

    def _decoded(
        self, hypotheses: Sequence[Hypothesis], spoken: str | None, request: Request, no_speech: float | None
    ) -> Decoded:
        prompt, codes = request.prompt, self._codes(spoken, request.prompt.language)
        best = hypotheses[0]
        if is_silence(no_speech, mean(best.logprobs)):
            return Decoded("", (), (), *codes, no_speech_prob=no_speech)
        texts = [self._tokenizer.decode(hypothesis.tokens).strip() for hypothesis in hypotheses]
        others = [Alternative(text, mean(other.logprobs)) for text, other in zip(texts, hypotheses, strict=True)]
        phrases = () if prompt.first_time is None else self._phrases(best.tokens, prompt.first_time, request.seconds)
        return Decoded(
            texts[0], best.tokens, best.logprobs, *codes, tuple(others[1:]), phrases=phrases, no_speech_prob=no_speech
        )

    def _timed(self, encoded: Encoded, request: Request, decoded: Decoded) -> Decoded:
        if self._timer is None:
            return decoded
        spaced = has_spaces(decoded.target_language)
        words = self._timer(encoded, request, decoded.tokens, decoded.logprobs, spaced=spaced)
        return decoded._replace(words=words, phrases=())

    def _phrases(self, tokens: Sequence[int], first_time: int, seconds: float) -> tuple[Phrase, ...]:
        found = (
            Phrase(start, end, ids, self._tokenizer.decode(ids).strip())
            for start, end, ids in cut_at_times(tokens, first_time, seconds)
        )
        return tuple(phrase for phrase in found if phrase.text)

    def _silence(self, clip: Clip) -> tuple[Decoded, ...]:
        spoken = self.languages.spoken_in(clip.language, None)
        named = [spoken if self.languages.writes_spoken else target for target in self.languages.targets]
        return tuple(Decoded("", (), (), *self._codes(spoken, tag and language_code(tag))) for tag in named)

    def _codes(self, spoken: str | None, written: str | None) -> tuple[str | None, str | None]:
        language = None if spoken is None else language_code(spoken)
        if self.languages.writes_spoken:
            return language or written, written or language
        return language, written
