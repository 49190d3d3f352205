"""Loading of speech encoders with a CTC head and no decoder: `Wav2Vec2ForCTC` and similar classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from speechcli.audio.extractor import Extractor
from speechcli.checkpoints import folder as files
from speechcli.checkpoints.convert import check_numbers, to_ours
from speechcli.checkpoints.features import default_features, read_features
from speechcli.checkpoints.language_adapters import apply_adapter, find_adapters
from speechcli.checkpoints.weights import fill, read_ctc_head
from speechcli.errors import ModelError
from speechcli.families import SPEECH_ENCODERS
from speechcli.families.composite import family_config
from speechcli.families.family import Family
from speechcli.families.rules import Same, under
from speechcli.models.speech_ctc import SpeechCtc
from speechcli.nn.initialize import without_weights
from speechcli.text.tokenizer import Tokenizer

HEAD = "lm_head"


@dataclass
class CtcBundle:
    """A model with a CTC head and no decoder, with everything needed to use it."""

    model: SpeechCtc
    family: Family
    """Family of the encoder."""
    features: Extractor
    tokenizer: Tokenizer
    blank_id: int
    """Id of the blank."""
    name: str
    """Name of the model in results and messages."""
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """Files with the encoder's adapters and the head for each language (MMS), by the model's own tags."""

    def set_language(self, name: str) -> str:
        """Load the encoder's adapters, the head and the vocabulary for the spoken language, in place.

        Argument, result and errors are those of `apply_adapter`.

        Raises:
            ModelError: the file of the language has no head, or there is no vocabulary for it.
        """
        tag = apply_adapter(self.model.encoder, self.family, self.adapters, name)
        path, old = self.adapters[tag], self.model.head
        head = read_ctc_head(path, prefix=f"{HEAD}.", width=old.in_features, dtype=old.weight.dtype)
        self.model.head = head.to(old.weight.device)
        self.tokenizer = Tokenizer.load(path.parent, language=tag)
        self.blank_id = _blank(self.tokenizer, self.blank_id, head.out_features)
        return tag


def is_ctc(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json is that of an encoder with a CTC head."""
    kinds = config.get("architectures")
    named = isinstance(kinds, list) and any(str(kind).endswith("ForCTC") for kind in kinds)
    return named and str(config.get("model_type")) in SPEECH_ENCODERS


def load_ctc(
    folder: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", name: str | None = None
) -> CtcBundle:
    """Load a model folder; arguments as for `speechcli.checkpoints.bundle.load`.

    Raises:
        ModelError: a file is missing, damaged or not supported, or the weights do not fit.
    """
    values = files.read_config(folder)
    with files.naming(folder):
        config = family_config(values, SPEECH_ENCODERS, role="speech encoder")
        family = SPEECH_ENCODERS[config.model_type]
        theirs = files.read_weights(folder)
        shape = theirs[f"{HEAD}.weight"].shape if f"{HEAD}.weight" in theirs else ()
        if len(shape) != 2 or 0 in shape:
            raise ModelError("The weights must have a CTC head, but have none.")
        with without_weights():
            model = SpeechCtc(family.build(config), shape[0])
        expected = {key: tensor.shape for key, tensor in model.state_dict().items()}
        rules = (*under(family.base, "encoder.", family.keys), Same(HEAD, "head"))
        tensors, _ = to_ours(rules, theirs, expected)
        check_numbers(model.state_dict(), tensors)
        tokenizer = Tokenizer.load(folder)
        blank = _blank(tokenizer, values.get("pad_token_id") or 0, model.head.out_features)
    fill(model, tensors, dtype=dtype)
    return CtcBundle(
        model=model.to(device).eval(),
        family=family,
        features=read_features(folder) or default_features(config),
        tokenizer=tokenizer,
        blank_id=blank,
        name=name or folder.resolve().name,
        adapters=find_adapters(folder),
    )


def _blank(tokenizer: Tokenizer, stated: object, scored: int) -> int:
    # A vocabulary without a padding token gets one after its last token, which the head does not have. Then the blank
    # is `pad_token_id` of the configuration, as in training, although transformers' tokenizer decodes it as text.
    blank = stated if tokenizer.pad_id is None or tokenizer.pad_id >= scored else tokenizer.pad_id
    if not isinstance(blank, int) or not 0 <= blank < scored:
        raise ModelError(f"`pad_token_id` must be one of the {scored} tokens of the CTC head, but is {blank!r:.80}.")
    return blank
