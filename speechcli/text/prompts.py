"""Decoder prompts: the one place where languages and tasks become tokens."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from speechcli.errors import UsageError
from speechcli.text.languages import language_code, language_name, resolve_language
from speechcli.text.tokenizer import Tokenizer

Task = Literal["transcribe", "translate"]


class Prompt(NamedTuple):
    """How one text begins."""

    ids: tuple[int, ...]
    """What the decoder reads before it writes; no part of the text."""
    first: int | None = None
    """The token that it must say first, a part of the text; None: it is free."""
    language: str | None = None
    """Code of the language that the text will be in, where that is decided."""
    first_time: int | None = None
    """Id of 0 seconds, where the text is to have times; later times follow it."""

    @property
    def given(self) -> tuple[int, ...]:
        """What stands between the start token and the text itself: the first labels of training."""
        return self.ids[1:] if self.first in (None, self.ids[0]) else (*self.ids[1:], self.first)


class Prompts:
    """Tells a model in which language to write, as its decoder was trained to be told.

    A multilingual decoder (mBART's way) begins with its start token and then must say the tag of a language. A model
    without tags begins with its start token alone.

    Args:
        tags: the model's own language tags and their token ids.
        start: the decoder's start token.
        forced: the token that it says first if nobody chooses a language.

    Attributes:
        into: the tags that it can translate into.
        asks: whether the decoder, given its start token alone, says which language is spoken.
        silence: what it says then where nobody speaks; None: it has no token for that.
        given: tokens between the start token and a text whose language is known.
    """

    def __init__(self, tags: Mapping[str, int], *, start: int, forced: int | None = None) -> None:
        self.tags, self.start, self.forced = dict(tags), start, forced
        self.into = tuple(self.tags)
        self.asks = False
        self.silence: int | None = None
        self.given = 1 if self.tags else 0
        self._names = {number: tag for tag, number in self.tags.items()}

    def of(self, task: Task, *, spoken: str | None, target: str | None) -> Prompt:
        """Make the prompt of one text.

        Args:
            task: `transcribe` writes what is spoken; `translate` writes another language.
            spoken: tag of the spoken language; None, or a language without a tag: unknown to the model.
            target: tag of the language to translate into; None: what the model writes by itself.
        """
        tag = spoken if task == "transcribe" else target
        first = self.forced if tag is None else self.tags.get(tag, self.forced)
        name = None if first is None else self._names.get(first)
        return Prompt((self.start,), first, None if name is None else language_code(name))

    def between(self, spoken: str | None, written: str | None) -> Prompt:
        """Make the prompt of a text that is there already, for training and scoring.

        Args:
            spoken: the language of the recording, in any spelling; None: not known.
            written: the language of the text, in any spelling; None: not known.

        Raises:
            UsageError: the model has tags, but none for a language that it must be told.
        """
        if written is None or not self.tags:
            return self.of("transcribe", spoken=None, target=None)
        tag = resolve_language(written, self.tags)
        if spoken is None or language_code(spoken) == language_code(written):
            return self.of("transcribe", spoken=tag, target=None)
        return self.of("translate", spoken=spoken, target=tag)


class ToldPrompts(Prompts):
    """Tells a decoder the spoken language and the task before it writes (Whisper's way, Radford et al. 2022).

    A model that only writes English is told neither.

    Args:
        tags: the model's own language tags and their token ids.
        start: the decoder's start token.
        tasks: token ids of `transcribe` and of `translate`, which is into English; empty: there is only one task.
        no_times: the token that asks for text without times; the next is that of 0 seconds.
        times: whether to ask for times.
        silence: what the decoder says after its start token where nobody speaks; None: it has no token for that.
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
    ) -> None:
        super().__init__(tags, start=start)
        self._tasks, self._ending = tasks, () if times else (no_times,)
        self._first_time = no_times + 1 if times else None
        self.into = tuple(tag for tag in self.tags if tasks and language_code(tag) == "en")
        self.asks, self.silence = bool(tasks), silence
        self.given = len(self._ending) + (2 if tasks else 0)

    def of(self, task: Task, *, spoken: str | None, target: str | None) -> Prompt:
        """Make the prompt of one text; the spoken language must be known unless there is only one.

        Raises:
            UsageError: it is not known.
        """
        if not self._tasks:
            return Prompt((self.start, *self._ending), None, "en", self._first_time)
        if spoken is None or spoken not in self.tags:
            raise UsageError(
                "This model must be told which language is spoken, but it is "
                + ("not known." if spoken is None else f"{language_name(spoken)}, for which it has no tag."),
                hint="Name it in the manifest, or with --from (data.spoken_language in training).",
            )
        ids = (self.start, self.tags[spoken], self._tasks[task], *self._ending)
        return Prompt(ids, None, language_code(spoken) if task == "transcribe" else "en", self._first_time)

    def between(self, spoken: str | None, written: str | None) -> Prompt:
        """Make the prompt of a text that is there already; a translation must be into English.

        Raises:
            UsageError: the spoken language is not known, or the text is a translation into another language.
        """
        if not self._tasks:
            return self.of("transcribe", spoken=None, target=None)
        heard = spoken or written
        tag = None if heard is None else resolve_language(heard, self.tags)
        if written is None or tag is None or language_code(written) == language_code(tag):
            return self.of("transcribe", spoken=tag, target=None)
        return self.of("translate", spoken=tag, target=translation_tag(written, self.into))


def translation_tag(name: str, into: tuple[str, ...]) -> str:
    """Find the tag of a language that a model shall translate into.

    Args:
        name: the language, in any spelling.
        into: the tags that it can translate into.

    Raises:
        UsageError: there is none for this language.
    """
    if len(into) == 1 and language_code(name) != language_code(into[0]):
        raise UsageError(
            f"This model translates into {language_name(into[0])} only, but the language to write is `{name}`."
        )
    return resolve_language(name, into)


def prompts_for(tokenizer: Tokenizer, *, start: int, forced: int | None = None, times: bool = False) -> Prompts:
    """Choose the way of telling that a vocabulary was made for.

    Args:
        tokenizer: of the decoder.
        start: the decoder's start token.
        forced: the token that the model says first if nobody chooses a language.
        times: whether to ask for times, where the vocabulary has them.
    """
    if tokenizer.no_timestamps_id is None:
        return Prompts(tokenizer.languages, start=start, forced=forced)
    return ToldPrompts(
        tokenizer.languages,
        start=start,
        tasks=tokenizer.tasks,
        no_times=tokenizer.no_timestamps_id,
        times=times,
        silence=tokenizer.silence_id,
    )
