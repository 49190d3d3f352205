import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig
from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.processors import build_processors
from speechcli.decoding.timestamps import TimestampRules

NO_TIMES, END, VOCABULARY = 12, 10, 30
token = st.one_of(st.integers(0, END - 1), st.integers(NO_TIMES + 1, VOCABULARY - 1))


def onward(row: list[int]) -> list[int]:
    """No time is before an earlier one, as the rules have it."""
    return [max(row[: place + 1]) if each > NO_TIMES else each for place, each in enumerate(row)]


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(0, 6).flatmap(lambda size: st.lists(st.lists(token, min_size=size, max_size=size), min_size=1)),
    initial=st.sampled_from([None, 0, 4]),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.3, 5.0]),
)
def test_the_rules_are_those_of_the_reference(
    rows: list[list[int]], initial: int | None, seed: int, scale: float
) -> None:
    config = GenerationConfig(eos_token_id=END, no_timestamps_token_id=NO_TIMES, max_initial_timestamp_index=initial)
    reference = WhisperTimeStampLogitsProcessor(config, begin_index=2)
    ids = torch.tensor([[11, 11, *onward(row)] for row in rows])
    scores = torch.randn(len(rows), VOCABULARY, generator=torch.Generator().manual_seed(seed)) * scale
    ours = TimestampRules(2, NO_TIMES + 1, END, initial)(ids, scores)
    assert torch.equal(ours, reference(ids, scores))


def test_timestamps_are_generated_only_if_the_vocabulary_has_them() -> None:
    def kinds(**options: object) -> list[type]:
        chosen = GenerationOptions(eos_token_id=END, **options)
        built = build_processors(chosen, prompt_tokens=3, vocabulary=VOCABULARY, device=torch.device("cpu"))
        return [type(each) for each in built]

    assert kinds(return_timestamps=True) == kinds(no_timestamps_token_id=NO_TIMES) == []
    assert kinds(return_timestamps=True, no_timestamps_token_id=NO_TIMES) == [TimestampRules]


@pytest.mark.parametrize("suppressed", [[13, 14], [0]])
def test_a_banned_token_stays_banned(suppressed: list[int]) -> None:
    scores = torch.zeros(1, VOCABULARY).index_fill(1, torch.tensor(suppressed), -torch.inf)
    ruled = TimestampRules(1, NO_TIMES + 1, END, None)(torch.tensor([[11]]), scores)
    assert ruled[0, suppressed].eq(-torch.inf).all()
    assert ruled[0].isfinite().any()
