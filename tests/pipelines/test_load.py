import pytest
import torch

from speechcli.errors import UsageError
from speechcli.models.pack import PackedLinear
from speechcli.pipelines.load import choose_device, choose_dtype, load_bundle
from speechcli.pipelines.speech_options import ModelOptions
from speechcli.training.precision import native_bfloat16

from .tiny_model import save_model


def test_device_that_is_not_there_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="only cuda:0 to cuda:0"):
        choose_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="no such GPU"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="--device"):
        choose_device("tpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("size", "native", "expected"),
    [
        (100_000_000, True, torch.bfloat16),
        (100_000_000, False, torch.float32),
        (99_999_999, True, torch.float32),
    ],
)
def test_numbers_on_the_processor_are_bfloat16_only_for_large_models_where_it_is_native(
    tmp_path, monkeypatch, size, native, expected
):
    monkeypatch.setattr("speechcli.pipelines.load.native_bfloat16", lambda device: native)
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(size)
    (tmp_path / "config.json").write_text("{}")
    assert choose_dtype("auto", torch.device("cpu"), tmp_path) == expected


def test_the_dtype_is_the_requested_one(tmp_path):
    assert choose_dtype("bfloat16", torch.device("cpu"), tmp_path) == torch.bfloat16


@pytest.mark.parametrize("threads", [0, 100_000_000])
def test_so_many_threads_as_torch_survives(tmp_path, threads):
    folder = save_model(tmp_path / "model")
    with pytest.raises(UsageError, match=f"`--threads` must be from 1 to 1024, but is {threads}"):
        load_bundle(ModelOptions(str(folder), threads=threads))


def test_rounded_weights_are_for_decoders_on_processors(tmp_path, monkeypatch):
    options = ModelOptions(model=str(save_model(tmp_path / "model")), quantize="int8")
    bundle = load_bundle(options)
    linear = [name for name, module in bundle.model.named_modules() if type(module) is torch.nn.Linear]
    assert linear and not any(name.startswith("decoder.") for name in linear)
    monkeypatch.setattr("speechcli.pipelines.load.prepare", lambda *_: (torch.device("cuda"), torch.float32))
    with pytest.raises(UsageError, match="for CPUs, but the device is cuda"):
        load_bundle(options)
    monkeypatch.setattr("speechcli.pipelines.load.is_ctc", lambda config: True)
    with pytest.raises(UsageError, match="model has none"):
        load_bundle(options)


@pytest.mark.skipif(not native_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16")
def test_a_decoder_in_bfloat16_is_packed_and_one_in_float32_stays_as_it_is(tmp_path):
    folder = str(save_model(tmp_path / "model"))
    for dtype, packed in (("bfloat16", True), ("float32", False)):
        decoder = load_bundle(ModelOptions(folder, dtype=dtype)).model.decoder
        assert any(isinstance(module, PackedLinear) for module in decoder.modules()) == packed
