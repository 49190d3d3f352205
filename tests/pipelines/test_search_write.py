import pytest
import torch

from speechcli.errors import UsageError
from speechcli.pipelines.search.write import Request, TextWriter
from speechcli.text.prompts import Prompt

from .tiny_model import make_bundle, tone


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("tokenizer"))


def encode(bundle, *seconds):
    values, lengths = bundle.features([tone(each, 300.0 * each) for each in seconds])
    with torch.inference_mode():
        return bundle.model.encode(values, lengths)


def test_texts_of_one_recording_share_its_encoding_and_equal_those_written_alone(bundle):
    prompts = [Prompt((2,), 22), Prompt((2,)), Prompt((2, 21)), Prompt((2,), 23)]
    rows, seconds = [1, 0, 1, 0], (0.5, 0.8)
    requests = [Request(row, prompt, seconds[row]) for row, prompt in zip(rows, prompts, strict=True)]
    options = bundle.generation.with_(num_beams=2)
    writer = TextWriter(bundle, options)
    together = writer.write(encode(bundle, *seconds), requests)
    for request, found in zip(requests, together, strict=True):
        alone = encode(bundle, request.seconds)
        (expected,) = writer.write(alone, [request._replace(row=0)])
        assert [each.tokens for each in found] == [each.tokens for each in expected]
    assert together[0][0].tokens[0] == 22 and together[3][0].tokens[0] == 23


def test_a_sampled_text_does_not_depend_on_the_other_recordings(bundle):
    writer = TextWriter(bundle, bundle.generation.with_(do_sample=True))
    together = writer.write(encode(bundle, 0.5, 0.8), [Request(row, Prompt((2,)), 0.8) for row in (0, 1)])
    (alone,) = writer.write(encode(bundle, 0.8), [Request(0, Prompt((2,)), 0.8)])
    assert together[1][0].tokens == alone[0].tokens


def test_a_prompt_decides_the_first_token_also_against_the_model(bundle):
    options = bundle.generation.with_(forced_bos_token_id=23)
    requests = [Request(0, Prompt((2,)), 0.5), Request(0, Prompt((2,), 21), 0.5)]
    (free,), (forced,) = TextWriter(bundle, options).write(encode(bundle, 0.5), requests)
    assert free.tokens[0] != 23 and forced.tokens[0] == 21


def test_a_prompt_beyond_the_vocabulary_is_refused(bundle):
    with pytest.raises(UsageError, match="below the vocabulary's size 24, but begins with 99999"):
        TextWriter(bundle, bundle.generation).write(encode(bundle, 0.5), [Request(0, Prompt((99999,)), 0.5)])


def test_the_prompt_counts_for_the_positions_of_the_decoder(bundle):
    free = bundle.generation.with_(max_length=None, eos_token_id=None)
    ((found,),) = TextWriter(bundle, free).write(encode(bundle, 0.5), [Request(0, Prompt((2, 21, 5)), 0.5)])
    assert len(found.tokens) == 60 - 3
