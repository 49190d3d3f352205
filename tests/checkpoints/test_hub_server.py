"""Against a local server: downloads are complete or fail, and uploads arrive, despite errors of the server."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save

from speechcli.checkpoints.folder import read_weights
from speechcli.checkpoints.hub import read_headers, resolve_model, upload
from speechcli.errors import ModelError
from speechcli.pipelines.info import info
from speechcli.pipelines.speech_options import ModelOptions

from .hub_server import HubServer, serving

TENSORS = {"encoder.a": torch.arange(30_000.0), "decoder.b": torch.ones(2, 3).half()}
CONFIG = {
    "model_type": "speech-encoder-decoder",
    "encoder": {"model_type": "wav2vec2", "hidden_size": 16},
    "decoder": {"model_type": "bart", "vocab_size": 40},
    "decoder_start_token_id": 2,
}
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "generation_config.json": b'{"decoder_start_token_id": 2, "eos_token_id": 2}',
    "model.safetensors": save(TENSORS),
    "pytorch_model.bin": b"never asked for",
    "flax_model.msgpack": b"never asked for",
    "README.md": b"never asked for",
    "onnx/model.safetensors": b"never asked for",
    "../outside.json": b"never asked for",
}
NAME = "owner/name"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serving(NAME, dict(FILES)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        huggingface_hub.close_session()
        yield server
        huggingface_hub.close_session()


def get(tmp_path: Path, **options: object) -> Path:
    return resolve_model(NAME, cache_dir=tmp_path / "cache", **options)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_whole(folder: Path) -> None:
    weights = read_weights(folder)
    assert weights.keys() == TENSORS.keys()
    assert all(torch.equal(weights[key], TENSORS[key]) for key in TENSORS)


def test_only_the_files_that_are_needed_come(hub: HubServer, tmp_path: Path) -> None:
    folder = get(tmp_path)
    assert names(folder) == ["config.json", "generation_config.json", "model.safetensors"]
    assert set(hub.sent) == set(names(folder))
    assert_whole(folder)


def test_cached_files_are_not_downloaded_again(hub: HubServer, tmp_path: Path) -> None:
    get(tmp_path)
    before = dict(hub.sent)
    get(tmp_path)
    assert hub.sent == before


def test_offline_the_cache_is_used(hub: HubServer, tmp_path: Path) -> None:
    online = get(tmp_path)
    hub.faults["api"] = ["500"] * 100
    assert get(tmp_path, offline=True) == online
    assert hub.faults["api"] == ["500"] * 100, "the network was asked"


def test_the_cache_is_used_if_the_hub_cannot_be_reached(hub: HubServer, tmp_path: Path) -> None:
    online = get(tmp_path)
    hub.faults["api"] = ["503"] * 100
    assert get(tmp_path) == online


def test_small_files_alone_are_no_model_to_load(hub: HubServer, tmp_path: Path) -> None:
    folder = get(tmp_path, weights=False)
    assert names(folder) == ["config.json", "generation_config.json"]
    assert get(tmp_path, weights=False, offline=True) == folder
    with pytest.raises(ModelError, match="not in the cache"):
        get(tmp_path, offline=True)
    assert_whole(get(tmp_path))


@pytest.mark.parametrize("revision", ["v1", "c0ffee" + "0" * 34])
def test_a_revision_is_taken(revision: str, hub: HubServer, tmp_path: Path) -> None:
    assert_whole(resolve_model(f"{NAME}@{revision}", cache_dir=tmp_path))


def test_a_revision_that_is_not_there_is_named(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no revision 'v9'"):
        get(tmp_path, revision="v9")


def test_a_model_that_is_not_there_is_named(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder owner/other"):
        resolve_model("owner/other", cache_dir=tmp_path)


def test_a_private_model_needs_the_token(hub: HubServer, tmp_path: Path) -> None:
    hub.token = "hf_good"
    for token in (None, "hf_wrong"):
        with pytest.raises(ModelError, match="neither a folder") as caught:
            get(tmp_path, token=token)
        assert "hf_" not in f"{caught.value} {caught.value.hint}"
    assert_whole(get(tmp_path, token="hf_good"))


def test_the_error_for_a_gated_model_names_its_terms(hub: HubServer, tmp_path: Path) -> None:
    hub.gated = True
    with pytest.raises(ModelError, match="gated") as caught:
        get(tmp_path)
    assert caught.value.hint is not None and "huggingface.co/owner/name" in caught.value.hint


def test_an_interrupted_download_is_continued(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.faults["model.safetensors"] = ["cut", "cut"]
    assert_whole(get(tmp_path))
    assert [text.partition("=")[2] for text in hub.ranges] == ["60000-", "90000-"]


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors"])
def test_a_connection_that_is_cut_again_and_again_leaves_no_half_model(
    name: str, hub: HubServer, tmp_path: Path
) -> None:
    hub.faults[name] = ["cut"] * 200
    with pytest.raises(ModelError, match="cannot be reached"):
        get(tmp_path)
    with pytest.raises(ModelError, match="not in the cache"):
        get(tmp_path, offline=True)
    hub.faults.clear()
    assert_whole(get(tmp_path))


def test_a_file_of_the_wrong_size_is_refused_and_downloaded_again(hub: HubServer, tmp_path: Path) -> None:
    hub.faults["model.safetensors"] = ["short"]
    with pytest.raises(ModelError, match="was not downloaded whole") as caught:
        get(tmp_path)
    assert caught.value.hint == "Run the same command again."
    assert_whole(get(tmp_path))


@pytest.mark.parametrize("name", ["api", "model.safetensors"])
def test_a_model_is_downloaded_after_a_server_error(name: str, hub: HubServer, tmp_path: Path) -> None:
    hub.faults[name] = ["503"]
    try:
        folder = get(tmp_path)
    except ModelError as error:
        assert "HTTP status 503" in error.message
        folder = get(tmp_path)
    assert_whole(folder)


def test_the_error_for_a_repository_without_a_model_lists_its_files(hub: HubServer, tmp_path: Path) -> None:
    hub.files = {"README.md": b"", "data.csv": b""}
    with pytest.raises(ModelError, match=r"not a model: it has README\.md, data\.csv"):
        get(tmp_path)


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        (["pytorch_model.bin", "flax_model.msgpack"], ["pytorch_model.bin"]),
        (["flax_model.msgpack", "tf_model.h5"], ["flax_model.msgpack"]),
        (
            ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"],
        ),
        (["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin", "pytorch_model.fp16.bin"],
         ["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"]),
    ],
)  # fmt: skip
def test_of_several_weight_formats_the_best_is_downloaded(present, wanted, hub: HubServer, tmp_path: Path) -> None:
    hub.files = {"config.json": b"{}"} | dict.fromkeys(present, b"x")
    assert names(get(tmp_path)) == ["config.json", *wanted]


def test_a_model_is_described_without_its_weights(hub: HubServer, tmp_path: Path) -> None:
    found = info(ModelOptions(NAME, cache_dir=tmp_path))
    assert found.parameters == {"encoder": 30_000, "decoder": 6, "total": 30_006}
    assert found.dtypes == ("F16", "F32")
    assert hub.sent["model.safetensors"] <= 100_001 < len(FILES["model.safetensors"])
    assert not list(tmp_path.rglob("model.safetensors"))


def test_shards_are_described_from_their_beginnings(hub: HubServer, tmp_path: Path) -> None:
    shards = {f"model-0000{n}-of-00002.safetensors": {key: TENSORS[key]} for n, key in enumerate(TENSORS, start=1)}
    index = {"metadata": {}, "weight_map": {key: name for name, part in shards.items() for key in part}}
    hub.files = {name: save(part) for name, part in shards.items()}
    hub.files["model.safetensors.index.json"] = json.dumps(index).encode()
    headers = read_headers(f"{NAME}@v1")
    assert headers == {
        "encoder.a": {"dtype": "F32", "shape": [30_000]},
        "decoder.b": {"dtype": "F16", "shape": [2, 3]},
    }


def test_pickles_are_not_described_because_they_have_no_header(hub: HubServer, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    assert info(ModelOptions(NAME, cache_dir=tmp_path)).parameters is None
    assert hub.sent["pytorch_model.bin"] == 0


def test_a_folder_arrives_whole(hub: HubServer, tmp_path: Path) -> None:
    hub.token = "hf_right"
    files = {"config.json": b"{}", "README.md": b"---\nlicense: mit\n---\n", "lora/adapter_config.json": b"[]"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert upload(tmp_path, NAME, token="hf_right") == f"{hub.address}/{NAME}"
    assert hub.taken == files


@pytest.mark.parametrize(
    ("place", "fault", "found", "advice"),
    [
        ("repos", "500", "HTTP status 500", "try again"),
        ("repos", "cut", "RemoteProtocolError", "try again"),
        ("preupload", "403", "HTTP status 403", "token"),
        ("preupload", "404", "HTTP status 404", "token"),
        ("commit", "413", "HTTP status 413", "token"),
    ],
)
def test_a_refused_upload_is_one_sentence(
    hub: HubServer, tmp_path: Path, place: str, fault: str, found: str, advice: str
) -> None:
    (tmp_path / "config.json").write_bytes(b"{}")
    hub.faults[place] = [fault] * 9
    with pytest.raises(ModelError, match=f"{NAME} cannot be written on the Hub \\({found}") as caught:
        upload(tmp_path, NAME, token="hf_secret")
    assert advice in str(caught.value.hint)
    assert "hf_secret" not in f"{caught.value} {caught.value.hint}" and not hub.taken
