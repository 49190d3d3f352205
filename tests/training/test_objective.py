import pytest
import torch
from torch.nn import functional as F

from speechcli.training.objective import Counts, Objective, ctc_part, detached, means


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([[5, 6, 2, -100], [7, 2, -100, -100], [5, 5, 6, 2]])
    return {
        "logits": torch.randn(3, 4, 8, generator=generator),
        "labels": labels,
        "ctc_logits": torch.randn(2, 9, 8, generator=generator),
        "frame_lengths": torch.tensor([9, 7]),
        "ctc_labels": torch.tensor([[5, 6, 7], [4, -100, -100]]),
    }


def total(objective, batch):
    losses = objective.losses(**batch)
    return objective.total(losses, Counts(*objective.counts(batch["labels"], batch["ctc_labels"])))


def test_without_smoothing_and_ctc_the_loss_is_that_of_transformers(batch):
    transformers_loss = pytest.importorskip("transformers.loss.loss_utils").fixed_cross_entropy
    theirs = transformers_loss(batch["logits"].flatten(0, 1), batch["labels"].flatten())
    torch.testing.assert_close(total(Objective(), batch), theirs)


def test_ctc_is_the_mean_that_torch_computes(batch):
    theirs = F.ctc_loss(
        batch["ctc_logits"].log_softmax(-1).transpose(0, 1),
        batch["ctc_labels"].clamp(min=0),
        batch["frame_lengths"],
        torch.tensor([3, 1]),
        blank=1,
    )
    torch.testing.assert_close(total(Objective(ctc_weight=1.0, blank_id=1), batch), theirs)


def test_the_parts_are_joined_by_their_weight(batch):
    both = total(Objective(ctc_weight=0.25, blank_id=1), batch)
    cross_entropy, ctc = total(Objective(), batch), total(Objective(ctc_weight=1.0, blank_id=1), batch)
    torch.testing.assert_close(both, 0.75 * cross_entropy + 0.25 * ctc)


def test_smoothing_is_that_of_torch(batch):
    theirs = F.cross_entropy(batch["logits"].flatten(0, 1), batch["labels"].flatten(), label_smoothing=0.1)
    torch.testing.assert_close(total(Objective(label_smoothing=0.1), batch), theirs)


def test_rows_without_a_transcript_do_not_count(batch):
    objective = Objective(ctc_weight=1.0, blank_id=1)
    alone = batch | {"ctc_labels": torch.tensor([[5, 6, 7], [-100, -100, -100]])}
    first = {"ctc_logits": batch["ctc_logits"][:1], "frame_lengths": torch.tensor([9])}
    only = batch | first | {"ctc_labels": torch.tensor([[5, 6, 7]])}
    torch.testing.assert_close(total(objective, alone), total(objective, only))
    nothing = batch | {"ctc_labels": torch.full((2, 3), -100)}
    assert total(objective, nothing) == 0.0


def test_a_transcript_longer_than_its_frames_is_worth_nothing(batch):
    long = batch | {"frame_lengths": torch.tensor([2, 2])}
    assert torch.isfinite(total(Objective(ctc_weight=1.0, blank_id=1), long))


def test_half_precision_logits_are_summed_in_float32(batch):
    half = {name: value.bfloat16() if value.is_floating_point() else value for name, value in batch.items()}
    losses = Objective(ctc_weight=0.5, blank_id=1).losses(**half)
    assert losses.cross_entropy.total.dtype == losses.ctc.total.dtype == torch.float32


@pytest.mark.parametrize("ctc_labels", [None, torch.full((2, 3), -100)])
def test_without_transcripts_ctc_is_exactly_0_with_gradients_of_0_even_where_the_sum_of_float16_overflows(ctc_labels):
    logits = torch.full((2, 9, 8), -9000.0, dtype=torch.float16, requires_grad=True)
    part = ctc_part(logits, torch.tensor([9, 7]), ctc_labels, blank_id=1)
    assert (part.total.item(), part.terms) == (0.0, 0)
    part.total.backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_given_labels_are_not_learned(batch):
    rest = batch | {"labels": batch["labels"][:, 1:], "logits": batch["logits"][:, 1:]}
    torch.testing.assert_close(total(Objective(given_labels=1), batch), total(Objective(), rest))


def test_smoothing_leaves_out_the_labels_that_are_given(batch):
    logits, labels = batch["logits"][:, 1:], batch["labels"][:, 1:]
    theirs = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)
    torch.testing.assert_close(total(Objective(label_smoothing=0.1, given_labels=1), batch), theirs)


def test_smoothed_loss_and_ctc_equal_values_computed_by_hand():
    logits = torch.tensor([[[2.0, 0.0, 0.0]]])
    log_p = logits[0, 0].log_softmax(-1)
    labels = torch.tensor([[0]])
    smoothed = Objective(label_smoothing=0.3).losses(logits, labels, None, torch.tensor([1]), None)
    torch.testing.assert_close(smoothed.cross_entropy.total, -(0.7 * log_p[0] + 0.3 * log_p.mean()))
    # two frames say one token: "a a", "a blank" and "blank a" are its paths
    frames = torch.tensor([[[1.0, 0.0], [0.5, 0.0]]])
    blank, a = frames[0].softmax(-1).T
    ctc = Objective(ctc_weight=1.0).losses(logits, labels, frames, torch.tensor([2]), torch.tensor([[1]])).ctc
    torch.testing.assert_close(ctc.total, -(a[0] * a[1] + a[0] * blank[1] + blank[0] * a[1]).log())


def test_means_over_batches_are_exact(batch):
    objective = Objective(ctc_weight=0.5, blank_id=1)
    one = detached(objective.losses(**batch))
    assert means(one) == means(one + one)
    assert set(means(one)) == {"cross_entropy", "ctc", "accuracy"}
