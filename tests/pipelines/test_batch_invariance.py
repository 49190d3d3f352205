"""The text does not depend on the batch, for every kind of encoder and features."""

import numpy as np
import pytest
import transformers

from speechcli.audio.features import FilterbankFeatures, WaveformFeatures
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.speech_options import TranscribeOptions
from tests.parity.reference import ENCODERS, OTHER_ENCODERS

from .tiny_model import make_bundle

EVERY = sorted(ENCODERS | OTHER_ENCODERS)
FILTERBANK = [name for name in EVERY if name.startswith("wav2vec2-bert")]
CASES = [
    (name, WaveformFeatures(return_attention_mask=mask))
    for name in EVERY
    if name not in FILTERBANK
    for mask in (False, True)
]
CASES += [(name, FilterbankFeatures(num_mel_bins=10, stride=stride)) for name in FILTERBANK for stride in (1, 2)]
CASES += [("wav2vec2-bert", FilterbankFeatures(num_mel_bins=20, stride=1, do_normalize_per_mel_bins=False))]


def clips(seed):
    generator = np.random.default_rng(seed)
    lengths = [*generator.integers(300, 9000, size=3), 4000, 4000]
    return [Clip(generator.normal(scale=0.1, size=length).astype(np.float32)) for length in lengths]


@pytest.mark.parametrize(("name", "features"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_clip_has_the_same_text_and_score_alone_and_in_any_batch(tmp_path, name, features):
    config, values = (ENCODERS | OTHER_ENCODERS)[name]
    width = features.num_mel_bins * features.stride if isinstance(features, FilterbankFeatures) else None
    encoder = {"model_type": getattr(transformers, config).model_type, **values}
    encoder |= {} if width is None else {"feature_projection_input_dim": width}
    bundle = make_bundle(tmp_path, ctc=False, encoder=encoder, features=features)
    bundle.model.double()  # an influence of the batch would be larger than the rounding errors
    recognizer = AttentionRecognizer(bundle, TranscribeOptions())
    heard = clips(0)
    alone = [recognizer.decode([clip])[0][0] for clip in heard]
    assert len({each.tokens for each in alone}) > 1 or len({round(each.avg_logprob, 5) for each in alone}) > 1
    for batch in ([0, 1, 2, 3, 4], [4, 1]):
        for row, together in zip(batch, recognizer.decode([heard[row] for row in batch]), strict=True):
            assert together[0].tokens == alone[row].tokens
            assert together[0].avg_logprob == pytest.approx(alone[row].avg_logprob, abs=1e-6)
