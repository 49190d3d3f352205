"""Names of models: folders take precedence, only required files are downloaded, and errors contain no secrets."""

import importlib
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from speechcli.checkpoints import hub
from speechcli.checkpoints.hub import resolve_model, upload
from speechcli.errors import ModelError, OutputError, UsageError

# whichever HTTP client this huggingface_hub is built on
httpx = importlib.import_module(errors.HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
REQUEST = httpx.Request("GET", "https://hub.example/api?token=hf_secret")


class FakeHub:
    """Replaces the two functions of huggingface_hub that are called."""

    def __init__(self) -> None:
        self.files = ["config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "README.md"]
        self.error: Exception | None = None
        self.calls: list[dict[str, Any]] = []
        self.cache: Path | None = None

    def list_repo_files(self, name: str, *, revision: str | None, token: str | None) -> list[str]:
        if self.error is not None:
            raise self.error
        return self.files

    def snapshot_download(self, **options: Any) -> str:
        self.calls.append(options)
        return str(self.cache or "downloaded")

    def try_to_load_from_cache(self, *, filename: str, **options: Any) -> str | None:
        return None if self.cache is None else str(self.cache / filename)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", fake.try_to_load_from_cache)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return fake


def cache(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").touch()
    return folder


def http_error(kind: type[Exception], status: int) -> Exception:
    return kind("Bad hf_secret", response=httpx.Response(status, request=REQUEST))  # type: ignore[call-arg]


def test_an_existing_folder_takes_precedence_over_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: FakeHub
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("owner/name").mkdir(parents=True)
    assert resolve_model("owner/name") == Path("owner/name")
    assert fake.calls == []


@pytest.mark.parametrize("name", ["./name", "../name", "/no/name", "~/no-name", "a/b/c", "name/", "a b", "@main"])
def test_names_that_look_like_paths_are_never_looked_up_on_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: FakeHub
) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    with pytest.raises(ModelError, match="There is no folder"):
        resolve_model(name)
    assert fake.calls == []


def test_a_file_is_not_a_model_but_the_hint_names_its_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(ModelError, match="is a file") as caught:
        resolve_model(str(tmp_path / "config.json"))
    assert str(tmp_path) in str(caught.value.hint)


def test_no_name_means_the_embedded_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "EMBEDDED", cache(tmp_path / "default_model"))
    assert resolve_model(None) == tmp_path / "default_model"


def test_an_installation_without_the_embedded_model_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "EMBEDDED", tmp_path)
    with pytest.raises(ModelError, match="no embedded model"):
        resolve_model(None)


def test_only_plain_file_names_are_downloaded(fake: FakeHub) -> None:
    fake.files += ["onnx/config.json", "model-00001/../model-of-1.safetensors"]
    assert resolve_model("owner/name") == Path("downloaded")
    assert fake.calls[0]["allow_patterns"] == ["config.json", "model.safetensors"]


def test_the_language_model_in_the_folder_is_downloaded_with_the_weights(fake: FakeHub) -> None:
    inside = ["language_model/config.json", "language_model/model.safetensors"]
    fake.files += [*inside, "language_model/README.md"]
    resolve_model("owner/name")
    resolve_model("owner/name", weights=False)
    assert [call["allow_patterns"] for call in fake.calls] == [
        ["config.json", inside[0], "model.safetensors", inside[1]],
        ["config.json", inside[0]],
    ]


def test_only_adapters_of_the_spoken_language_are_downloaded(fake: FakeHub) -> None:
    fake.files += ["adapter.fra.safetensors", "adapter.fra.bin", "adapter.deu.bin"]
    for language in (None, "French", "de"):
        resolve_model("owner/name", language=language)
    adapters = [{name for name in call["allow_patterns"] if "adapter." in name} for call in fake.calls]
    assert adapters == [set(), {"adapter.fra.safetensors"}, {"adapter.deu.bin"}]
    with pytest.raises(UsageError, match="Japanese"):
        resolve_model("owner/name", language="Japanese")


def test_a_revision_is_taken_from_the_name_or_the_option(fake: FakeHub) -> None:
    resolve_model("owner/name@refs/pr/3")
    resolve_model("name", revision="v1", token="hf_secret", cache_dir=Path("c"))
    assert [(call["repo_id"], call["revision"]) for call in fake.calls] == [
        ("owner/name", "refs/pr/3"),
        ("name", "v1"),
    ]
    assert (fake.calls[1]["token"], fake.calls[1]["cache_dir"]) == ("hf_secret", Path("c"))


def test_two_revisions_or_a_revision_of_a_folder_are_usage_errors(tmp_path: Path, fake: FakeHub) -> None:
    with pytest.raises(UsageError, match="--revision another"):
        resolve_model("owner/name@main", revision="v1")
    with pytest.raises(UsageError, match="is a folder here"):
        resolve_model(str(tmp_path), revision="v1")


def test_offline_takes_the_cache_and_never_lists(fake: FakeHub, tmp_path: Path) -> None:
    fake.error = AssertionError("the network was asked")
    fake.cache = cache(tmp_path / "snapshot")
    assert resolve_model("owner/name", offline=True) == fake.cache
    assert fake.calls[0]["local_files_only"] is True


def test_the_error_for_an_uncached_model_offline_says_both(fake: FakeHub) -> None:
    with pytest.raises(ModelError, match="not in the cache, and the network may not be used"):
        resolve_model("owner/name", offline=True)


def test_the_environment_can_forbid_the_network(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="the network may not be used"):
        resolve_model("owner/name")


def test_without_a_network_the_cache_serves(fake: FakeHub, tmp_path: Path) -> None:
    fake.error = httpx.ConnectError("no route", request=REQUEST)
    fake.cache = cache(tmp_path / "snapshot")
    assert resolve_model("owner/name") == fake.cache


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("no route hf_secret", request=REQUEST), "Hub cannot be reached"),
        (http_error(errors.HfHubHTTPError, 503), "HTTP status 503"),
        (http_error(errors.RepositoryNotFoundError, 404), "neither a folder"),
        (http_error(errors.GatedRepoError, 403), "gated"),
        (http_error(errors.RevisionNotFoundError, 404), "no revision 'v1'"),
        (http_error(errors.HfHubHTTPError, 401), "cannot be downloaded .HTTP status 401"),
        (errors.HFValidationError("bad"), "possible name"),
        (RuntimeError("hf_secret"), "cannot be downloaded .RuntimeError"),
    ],
)
def test_errors_of_the_hub_are_sentences_without_the_token(fake: FakeHub, error: Exception, words: str) -> None:
    fake.error = error
    with pytest.raises(ModelError, match=words) as caught:
        resolve_model("owner/name@v1", token="hf_secret")
    assert "hf_secret" not in f"{caught.value} {caught.value.hint}"


def test_a_full_disk_is_an_output_error(fake: FakeHub) -> None:
    fake.error = OSError(28, "No space left on device")
    with pytest.raises(OutputError, match="No space left"):
        resolve_model("owner/name")


def test_the_real_cache_is_found_offline(tmp_path: Path) -> None:
    root = tmp_path / "models--owner--name"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("c0ffee")
    snapshot = cache(root / "snapshots" / "c0ffee")
    assert resolve_model("owner/name", cache_dir=tmp_path, offline=True) == snapshot


class FakeApi:
    def __init__(self, token: str | None) -> None:
        self.token = token

    def create_repo(self, name: str, *, private: bool | None, exist_ok: bool) -> str:
        if self.token != "hf_good":
            raise http_error(errors.HfHubHTTPError, 403)
        return f"https://hub.example/{name}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        assert (folder_path / "config.json").exists()


def test_a_folder_is_uploaded_with_the_given_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    folder = cache(tmp_path / "model")
    assert upload(folder, "owner/name", token="hf_good") == "https://hub.example/owner/name"
    with pytest.raises(ModelError, match="HTTP status 403") as caught:
        upload(folder, "owner/name", token="hf_secret")
    assert "hf_secret" not in f"{caught.value} {caught.value.hint}"


def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="empty name"):
        resolve_model("")


def test_a_home_folder_of_nobody_is_a_model_error():
    with pytest.raises(ModelError):
        resolve_model("~nobody-of-this-name/model")


def test_a_name_too_long_for_any_file_is_a_model_error():
    with pytest.raises(ModelError):
        resolve_model("long" * 2000, offline=True)


def test_the_embedded_model_has_no_revisions():
    with pytest.raises(UsageError, match="no model is named"):
        resolve_model(None, revision="main")
