"""How the writing of a text begins: the one place where languages and tasks become tokens."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from speechcli.decoding.options import GenerationOptions
from speechcli.text.languages import language_code

Task = Literal["transcribe", "translate"]


class Prompt(NamedTuple):
    """How one text begins."""

    ids: tuple[int, ...]
    """What the decoder reads before it writes; no part of the text."""
    first: int | None = None
    """The token that it must say first, a part of the text; None: it is free."""
    language: str | None = None
    """Code of the language that the text will be in, where that is decided."""


class Prompts:
    """Tells a model in which language to write, as its decoder was trained to be told.

    A multilingual decoder (mBART's way) begins with its start token and then must say the tag of a language. A model
    without tags begins with its start token alone.

    Args:
        tags: the model's own language tags and their token ids.
        options: its start token, and the token that it says first if nobody chooses a language.

    Raises:
        UsageError: the options have no token to begin with.
    """

    def __init__(self, tags: Mapping[str, int], options: GenerationOptions) -> None:
        self.tags = dict(tags)
        self._start = options.start_token_id
        self._forced = options.forced_bos_token_id
        self._names = {number: tag for tag, number in self.tags.items()}

    def of(self, task: Task, *, spoken: str | None, target: str | None) -> Prompt:
        """Make the prompt of one text.

        Args:
            task: `transcribe` writes what is spoken; `translate` writes another language.
            spoken: tag of the spoken language; None, or a language without a tag: unknown to the model.
            target: tag of the language to translate into; None: what the model writes by itself.
        """
        tag = spoken if task == "transcribe" else target
        first = self._forced if tag is None else self.tags.get(tag, self._forced)
        name = None if first is None else self._names.get(first)
        return Prompt((self._start,), first, None if name is None else language_code(name))
