import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import models, pre_tokenizers
from torch import Tensor

from speechcli.audio.read import Audio
from speechcli.data import waveform
from speechcli.data.batching import DurationBatches
from speechcli.data.collate import Collate
from speechcli.data.loading import load_epoch
from speechcli.data.manifest import Target, Utterance
from speechcli.data.neighbors import join
from speechcli.data.waveform import Waveform, read_waveform
from speechcli.errors import InputError, UsageError
from speechcli.text.prompts import Prompts
from speechcli.text.tokenizer import Tokenizer

START, PAD, END, EN, DE, YES, NO, JA = 0, 1, 2, 4, 5, 6, 7, 8


@dataclass(frozen=True)
class ZeroPadded:
    """Waveforms as they are, at ten samples a second."""

    sampling_rate: int = 10
    longest: int | None = None

    def __call__(self, waveforms: Sequence[Waveform], /) -> tuple[Tensor, Tensor | None]:
        values = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waveforms], batch_first=True)
        return values, torch.tensor([len(waveform) for waveform in waveforms])


def read_ramp(utterance: Utterance) -> Waveform:
    if utterance.id == "broken":
        raise InputError("`broken.wav` must be sound, but is a poem.")
    return np.arange(1, round(utterance.seconds * 10) + 1, dtype=np.float32)


def add_noise(waveform: Waveform, generator: np.random.Generator) -> Waveform:
    return waveform + generator.random(len(waveform), dtype=np.float32)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return make_tokenizer(tmp_path, tags=["en_XX", "de_DE"])


def make_tokenizer(folder: Path, *, tags: list[str], pad: bool = True) -> Tokenizer:
    words = ["<s>", "<pad>" if pad else "<p>", "</s>", "<unk>", *tags, "yes", "no", "ja"]
    backend = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens([*words[:4], *tags])
    backend.save(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder)


def collate(tokenizer: Tokenizer, **options: Any) -> Collate:
    usual = {"prompts": Prompts(tokenizer.languages, start=START), "read": read_ramp}
    return Collate(ZeroPadded(), tokenizer, **(usual | options))


def utterance(name: str, seconds: float, **texts: str) -> Utterance:
    targets = tuple(Target(text, language) for language, text in texts.items())
    return Utterance(name, Path(f"{name}.wav"), seconds, targets, texts.get("de"), "de")


TWO = [utterance("a", 0.2, de="ja", en="yes no"), utterance("b", 0.3, en="no")]


def test_a_batch_has_exactly_these_numbers(tokenizer: Tokenizer) -> None:
    batch = collate(tokenizer, ctc=True)(TWO)
    assert batch.inputs.tolist() == [[1, 2, 0], [1, 2, 3]]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [2, 3]
    assert batch.rows.tolist() == [0, 0, 1]
    assert batch.labels.tolist() == [[DE, JA, END, -100], [EN, YES, NO, END], [EN, NO, END, -100]]
    assert batch.decoder_input_ids.tolist() == [[START, DE, JA, END], [START, EN, YES, NO], [START, EN, NO, END]]
    assert batch.ctc_labels is not None
    assert batch.ctc_labels.tolist() == [[DE, JA], [-100, -100]]
    assert (batch.seconds, batch.padded_seconds) == (0.5, pytest.approx(0.6))
    assert (batch.utterances, batch.failed, len(batch)) == (TWO, [], 2)


def test_without_a_ctc_head_there_are_no_ctc_labels(tokenizer: Tokenizer) -> None:
    assert collate(tokenizer)(TWO).ctc_labels is None


def test_without_language_tags_texts_stand_alone(tmp_path: Path) -> None:
    batch = collate(make_tokenizer(tmp_path, tags=[]), ctc=True)(TWO)
    assert batch.labels.tolist() == [[6, 2, -100], [4, 5, 2], [5, 2, -100]]
    assert batch.ctc_labels is not None
    assert batch.ctc_labels.tolist() == [[6], [-100]]


def test_speech_in_a_language_without_a_tag_has_no_ctc_labels(tokenizer: Tokenizer) -> None:
    czech = replace(TWO[0], language="cs", transcript="ano", targets=(Target("yes", "en"),))
    batch = collate(tokenizer, ctc=True)([czech, TWO[0]])
    assert batch.ctc_labels is not None
    assert batch.ctc_labels.tolist() == [[-100, -100], [DE, JA]]


def test_a_concatenated_pair_has_the_audio_and_the_texts_of_both(tokenizer: Tokenizer) -> None:
    first, second = TWO[0], utterance("c", 0.3, de="ja ja", en="no")
    batch = collate(tokenizer, ctc=True)([join(first, second)])
    assert batch.inputs.tolist() == [[1, 2, 1, 2, 3]]
    assert batch.labels.tolist() == [[DE, JA, JA, JA, END], [EN, YES, NO, NO, END]]
    assert batch.ctc_labels is not None
    assert batch.ctc_labels.tolist() == [[DE, JA, JA, JA]]
    assert batch.seconds == pytest.approx(0.5)


def test_a_broken_recording_is_left_out_and_reported(tokenizer: Tokenizer) -> None:
    broken = utterance("broken", 0.9, en="yes yes yes yes")
    batch = collate(tokenizer, ctc=True)([TWO[0], broken, TWO[1]])
    assert batch.inputs.shape == (2, 3)
    assert batch.rows.tolist() == [0, 0, 1]
    assert batch.labels.shape == (3, 4)
    assert batch.utterances == TWO
    assert batch.failed == [(broken, "`broken.wav` must be sound, but is a poem.")]


def test_a_batch_of_broken_recordings_is_empty(tokenizer: Tokenizer) -> None:
    batch = collate(tokenizer, ctc=True)([utterance("broken", 0.9, en="yes")])
    assert (len(batch), len(batch.failed), batch.seconds, batch.padded_seconds) == (0, 1, 0.0, 0.0)
    assert (len(batch.inputs), batch.rows.shape, batch.labels.shape, batch.decoder_input_ids.shape) == (
        0,
        (0,),
        (0, 0),
        (0, 0),
    )


def test_a_recording_without_texts_has_inputs_but_no_rows(tokenizer: Tokenizer) -> None:
    batch = collate(tokenizer)([utterance("a", 0.2), TWO[1]])
    assert len(batch.inputs) == 2
    assert batch.rows.tolist() == [1]


def test_too_long_texts_are_reported_and_their_recording_stays_if_another_fits(tokenizer: Tokenizer) -> None:
    batch = collate(tokenizer, max_tokens=3)([TWO[0], utterance("c", 0.1, en="no no no")])
    assert batch.labels.tolist() == [[DE, JA, END]]
    assert batch.utterances == [TWO[0]]
    assert [failed.reason for failed in batch.failed] == [
        "A text must have at most 3 tokens, but has 4: 'yes no'.",
        "A text must have at most 3 tokens, but has 5: 'no no no'.",
    ]


def test_the_choice_of_texts_depends_on_seed_epoch_and_utterance_only(tokenizer: Tokenizer) -> None:
    many = [utterance(str(i), 0.1, de="ja", en="yes") for i in range(12)]
    made = collate(tokenizer, max_targets=1, seed=5)
    first = made(many).labels[:, 0]
    assert set(first.tolist()) == {DE, EN}
    assert torch.equal(made(many[6:]).labels[:, 0], first[6:])
    made.epoch = 1
    assert not torch.equal(made(many).labels[:, 0], first)


def test_augmentation_depends_on_seed_epoch_and_utterance_only(tokenizer: Tokenizer) -> None:
    made = collate(tokenizer, augment=add_noise)
    first = made(TWO).inputs
    assert torch.equal(made(TWO[1:]).inputs[0], first[1])
    assert torch.equal(collate(tokenizer, augment=add_noise)(TWO).inputs, first)
    assert not torch.equal(collate(tokenizer, augment=add_noise, seed=1)(TWO).inputs, first)
    assert not torch.equal(collate(tokenizer, augment=add_noise, epoch=1)(TWO).inputs, first)


def test_seconds_are_those_after_augmentation(tokenizer: Tokenizer) -> None:
    batch = collate(tokenizer, augment=lambda waveform, generator: waveform[:1])(TWO)
    assert (batch.seconds, batch.padded_seconds) == (0.2, 0.2)


def test_a_language_without_a_tag_is_refused_before_training(tokenizer: Tokenizer) -> None:
    made = collate(tokenizer)
    made.check_languages(TWO)
    with pytest.raises(UsageError, match="is `fr`"):
        made.check_languages([*TWO, utterance("c", 1.0, fr="oui")])


def test_a_model_without_a_pad_token_pads_with_its_end(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, tags=[], pad=False)
    texts = [utterance("a", 0.1, en="yes no yes"), utterance("b", 0.1, en="no")]
    assert collate(tokenizer)(texts).decoder_input_ids.tolist()[1] == [START, 5, END, END]
    assert collate(tokenizer, pad_id=3)(texts).decoder_input_ids.tolist()[1] == [START, 5, END, 3]


def test_batches_move_between_devices_as_a_whole(tokenizer: Tokenizer) -> None:
    batch = collate(tokenizer, ctc=True)(TWO).to("meta")
    tensors = (batch.inputs, batch.lengths, batch.rows, batch.decoder_input_ids, batch.labels, batch.ctc_labels)
    assert {tensor.device.type for tensor in tensors if tensor is not None} == {"meta"}
    assert batch.utterances == TWO
    assert replace(batch, lengths=None, ctc_labels=None).to("meta").lengths is None


def test_collate_can_be_sent_to_another_process(tokenizer: Tokenizer) -> None:
    made = collate(tokenizer, augment=add_noise)
    assert torch.equal(pickle.loads(pickle.dumps(made))(TWO).inputs, made(TWO).inputs)


@pytest.mark.parametrize("name", ["max_targets", "max_tokens"])
def test_limits_are_checked(name: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match=f"`{name}` must be at least 1, but is 0"):
        collate(tokenizer, **{name: 0})


def test_the_stretch_of_an_utterance_is_read_at_the_models_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def read_audio(source: Path, **options: Any) -> Audio:
        asked.update(options, source=source)
        return Audio(np.ones(3, np.float32), 10, 0.3, False)

    monkeypatch.setattr(waveform, "read_audio", read_audio)
    samples = read_waveform(replace(TWO[0], start=1.0, end=1.3), 10)
    assert samples.tolist() == [1, 1, 1]
    assert asked == {"source": Path("a.wav"), "sample_rate": 10, "start": 1.0, "end": 1.3}


@pytest.mark.parametrize(
    ("samples", "truncated", "message"), [(0, False, "must have samples, but is empty"), (3, True, "but it ends early")]
)
def test_an_empty_or_damaged_recording_is_refused(
    samples: int, truncated: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = Audio(np.ones(samples, np.float32), 10, samples / 10, truncated)
    monkeypatch.setattr(waveform, "read_audio", lambda source, **options: audio)
    with pytest.raises(InputError, match=message):
        read_waveform(TWO[0], 10)


def test_load_epoch_yields_successive_epochs_and_resumes(tokenizer: Tokenizer) -> None:
    many = [utterance(str(i), 0.1 * (1 + i % 4), de="ja", en="yes") for i in range(10)]

    def batches() -> DurationBatches:
        return DurationBatches(many, max_seconds=0.8, seed=1)

    made, source = collate(tokenizer, augment=add_noise), batches()
    straight = [batch.inputs for _ in range(2) for batch in load_epoch(source, made)]
    assert (source.epoch, made.epoch) == (2, 1)
    resumed = batches()
    resumed.load_state_dict(source.state_dict(epoch=1, position=1))
    rest = [batch.inputs for batch in load_epoch(resumed, collate(tokenizer, augment=add_noise))]
    assert len(rest) > 1
    assert all(torch.equal(one, other) for one, other in zip(rest, straight[-len(rest) :], strict=True))


def test_a_recording_that_augmentation_makes_longer_than_the_model_takes_is_used_as_it_is(tokenizer: Tokenizer) -> None:
    def slower(waveform: Waveform, generator: np.random.Generator) -> Waveform:
        return np.repeat(waveform, 2)

    made = replace(collate(tokenizer, augment=slower), features=ZeroPadded(longest=4))
    batch = made([utterance("a", 0.2, en="yes"), utterance("b", 0.3, en="no"), utterance("c", 0.5, en="no")])
    assert batch.inputs.tolist() == [[1, 1, 2, 2], [1, 2, 3, 0]]
    assert [failed.reason for failed in batch.failed] == [
        "A recording must be at most 0.4 s long, the window of the model, but `c.wav` has 0.5 s."
    ]


def test_a_recording_longer_than_the_model_takes_is_left_out_and_reported(tokenizer: Tokenizer) -> None:
    batch = replace(collate(tokenizer), features=ZeroPadded(longest=20))(
        [utterance("short", 2.0, en="yes"), utterance("long", 2.1, en="no")]
    )
    assert [each.id for each in batch.utterances] == ["short"]
    assert "at most 2 s long, the window of the model, but" in batch.failed[0].reason
