"""Decoder prompts, which turn languages and tasks into tokens."""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

from speechcli.errors import UsageError
from speechcli.text.languages import language_code, language_name, resolve_language
from speechcli.text.tokenizer import Tokenizer

Task = Literal["transcribe", "translate"]


class Prompt(NamedTuple):
    """The prompt of one text."""

    ids: tuple[int, ...]
    """Ids that the decoder reads before it generates; not part of the text."""
    first: int | None = None
    """Token that is forced at the beginning of the text; None: no token is forced."""
    language: str | None = None
    """Code of the language of the text, if known."""
    first_time: int | None = None
    """Id of the timestamp of 0 seconds, if timestamps are requested; those of later times follow it."""

    @property
    def given(self) -> tuple[int, ...]:
        """Ids between the start token and the text itself: the first labels in training."""
        return self.ids[1:] if self.first in (None, self.ids[0]) else (*self.ids[1:], self.first)


class Prompts:
    """Prompts of decoders whose text may begin with a language tag (as in mBART).

    The prompt is the start token. If the vocabulary has language tags, the tag of the language is forced as the first
    token of the text.

    Args:
        tags: the model's own language tags and their token ids.
        start: the decoder's start token.
        forced: token that is forced if no language is chosen.

    Attributes:
        into: tags of the languages that the model can translate into.
        needs_language: whether the prompt needs the spoken language, which the decoder predicts after the start token.
        silence: token that it predicts there for silence; None: there is none.
        given: number of tokens between the start token and a text whose language is known.
    """

    def __init__(self, tags: Mapping[str, int], *, start: int, forced: int | None = None) -> None:
        self.tags, self.start, self.forced = dict(tags), start, forced
        self.into = tuple(self.tags)
        self.needs_language = False
        self.silence: int | None = None
        self.given = 1 if self.tags else 0
        self._names = {number: tag for tag, number in self.tags.items()}

    def of(self, task: Task, *, spoken: str | None, target: str | None) -> Prompt:
        """Return the prompt of one text.

        Args:
            task: `transcribe` writes the spoken language; `translate` writes another language.
            spoken: tag of the spoken language; None, or a language without a tag: unknown.
            target: tag of the language to translate into; None: the model's default.
        """
        tag = spoken if task == "transcribe" else target
        first = self.forced if tag is None else self.tags.get(tag, self.forced)
        name = None if first is None else self._names.get(first)
        return Prompt((self.start,), first, None if name is None else language_code(name))

    def writes(self, spoken: str | None, written: str | None) -> bool:
        """Return whether the model can write a language, as a transcript or as a translation.

        Args:
            spoken: the language of the recording, in any spelling; None: unknown.
            written: the language of the text, in any spelling; None: unknown, which is never refused.
        """
        if written is None or not self.tags:
            return True
        code = language_code(written)
        tags = self.tags if spoken is None or language_code(spoken) == code else self.into
        return code in map(language_code, tags)

    def between(self, spoken: str | None, written: str | None) -> Prompt:
        """Return the prompt of a given text, for training and scoring.

        Args:
            spoken: the language of the recording, in any spelling; None: unknown.
            written: the language of the text, in any spelling; None: unknown.

        Raises:
            UsageError: the model has tags, but none for a language that is part of the prompt.
        """
        if written is None or not self.tags:
            return self.of("transcribe", spoken=None, target=None)
        tag = resolve_language(written, self.tags)
        if spoken is None or language_code(spoken) == language_code(written):
            return self.of("transcribe", spoken=tag, target=None)
        return self.of("translate", spoken=spoken, target=tag)


class TaskPrompts(Prompts):
    """Prompts with the spoken language and the task (as in Whisper, Radford et al. 2022).

    English-only models have neither in the prompt.

    Args:
        tags: the model's own language tags and their token ids.
        start: the decoder's start token.
        tasks: token ids of `transcribe` and of `translate`, which is into English; empty: there is only one task.
        taught: codes of other languages that the model was trained to translate into.
        no_times: token that requests text without timestamps; the next id is the timestamp of 0 seconds.
        times: whether to request timestamps.
        silence: token that the decoder predicts after its start token for silence; None: there is none.
    """

    def __init__(
        self,
        tags: Mapping[str, int],
        *,
        start: int,
        tasks: Mapping[str, int],
        no_times: int,
        times: bool = False,
        silence: int | None = None,
        taught: Collection[str] = (),
    ) -> None:
        super().__init__(tags, start=start)
        self._tasks, self._ending = tasks, () if times else (no_times,)
        self._first_time = no_times + 1 if times else None
        self.into = tuple(tag for tag in self.tags if tasks and language_code(tag) in {"en", *taught})
        self.needs_language, self.silence = bool(tasks), silence
        self.given = len(self._ending) + (2 if tasks else 0)

    def of(self, task: Task, *, spoken: str | None, target: str | None) -> Prompt:
        """Return the prompt of one text; the spoken language must be known unless there is only one.

        A translation into another language than English has the prompt of a transcript in that language, which does not
        contain the spoken language.

        Raises:
            UsageError: the spoken language is unknown.
        """
        if not self._tasks:
            return Prompt((self.start, *self._ending), None, "en", self._first_time)
        if task == "translate" and target is not None and language_code(target) != "en":
            spoken, task = target, "transcribe"
        if spoken is None or spoken not in self.tags:
            raise UsageError(
                "This model must be given the spoken language, but it is "
                + ("not known." if spoken is None else f"{language_name(spoken)}, for which it has no tag."),
                hint="Name it in the manifest, or with --from (data.spoken_language in training).",
            )
        ids = (self.start, self.tags[spoken], self._tasks[task], *self._ending)
        return Prompt(ids, None, language_code(spoken) if task == "transcribe" else "en", self._first_time)

    def between(self, spoken: str | None, written: str | None) -> Prompt:
        """Return the prompt of a given text, in any language that has a tag.

        Raises:
            UsageError: the language of the text, or the spoken language if the prompt needs it, has no tag.
        """
        if not self._tasks:
            return self.of("transcribe", spoken=None, target=None)
        target = None if written is None else resolve_language(written, self.tags)
        if target is not None and language_code(target) not in ("en", language_code(spoken or target)):
            return self.of("translate", spoken=None, target=target)
        named = spoken or written
        tag = None if named is None else resolve_language(named, self.tags)
        translated = target is not None and tag is not None and language_code(target) != language_code(tag)
        return self.of("translate" if translated else "transcribe", spoken=tag, target=target)


def translation_tag(name: str, into: tuple[str, ...]) -> str:
    """Return a model's tag of a target language.

    Args:
        name: the language, in any spelling.
        into: tags of the languages that the model can translate into.

    Raises:
        UsageError: there is no tag for this language.
    """
    if len(into) == 1 and language_code(name) != language_code(into[0]):
        raise UsageError(
            f"This model translates into {language_name(into[0])} only, but the target language is `{name}`."
        )
    return resolve_language(name, into)


def prompts_for(
    tokenizer: Tokenizer, *, start: int, forced: int | None = None, times: bool = False, taught: Collection[str] = ()
) -> Prompts:
    """Return the prompts of a decoder, depending on its vocabulary.

    Args:
        tokenizer: the tokenizer of the decoder.
        start: the decoder's start token.
        forced: token that is forced if no language is chosen.
        times: whether to request timestamps, if the vocabulary has them.
        taught: codes of languages that a Whisper decoder was trained to translate into, besides English.
    """
    if tokenizer.no_timestamps_id is None:
        return Prompts(tokenizer.languages, start=start, forced=forced)
    return TaskPrompts(
        tokenizer.languages,
        start=start,
        tasks=tokenizer.tasks,
        no_times=tokenizer.no_timestamps_id,
        times=times,
        silence=tokenizer.silence_id,
        taught=taught,
    )
