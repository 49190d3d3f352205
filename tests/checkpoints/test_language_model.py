import pytest
import torch
import transformers

from speechcli.checkpoints.language_model import load_language_model
from speechcli.errors import ModelError

from .tiny_models import decoder_config, randomized

KINDS = {
    "gpt2": transformers.GPT2LMHeadModel,
    "bert": transformers.BertLMHeadModel,
    "bart": transformers.BartForCausalLM,
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_language_model_scores_as_in_transformers(kind, tied, tmp_path):
    torch.manual_seed(0)
    flags = {} if kind == "gpt2" else {"is_decoder": True}
    theirs = randomized(KINDS[kind](decoder_config(kind, bos_token_id=3, tie_word_embeddings=tied, **flags)))
    theirs.save_pretrained(tmp_path)
    ours, begin = load_language_model(tmp_path)
    ids = torch.randint(3, 40, (2, 6), generator=torch.Generator().manual_seed(1))
    cache = ours.start(torch.zeros(2, 0, ours.width))
    with torch.no_grad():
        expected = theirs(ids).logits
        for place in range(6):
            scores = ours.step(ids[:, place : place + 1], cache)
            torch.testing.assert_close(scores, expected[:, place], atol=1e-5, rtol=1e-4)
    assert begin == 3


def test_a_model_that_is_not_a_language_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    with pytest.raises(ModelError, match="language model"):
        load_language_model(tmp_path)
