"""The house's table: which room may import which. The table of the README is this one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "speechcli"

FLOORS = [
    {"errors", "transcript", "subtitles", "writers"},
    {"nn", "audio", "text"},
    {"models"},
    {"families", "decoding", "data"},
    {"checkpoints", "training"},
    {"pipelines", "api"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
WALLS = {
    "training": {"checkpoints"},
    "decoding": {"families", "models"},
    "nn": {"audio", "text"},
    "audio": {"nn", "text"},
    "text": {"nn", "audio"},
}
# Rooms that may import the model families, and torch.
MAY_IMPORT_FAMILIES = {"families", "checkpoints", "api"}
MAY_IMPORT_TORCH = set(FLOOR) - {"cli", "text", "transcript", "subtitles", "writers", "errors", "__main__"}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if "recipes" not in path.parts and path.name != "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            if node.module == "speechcli":
                yield from (f"speechcli.{alias.name}" for alias in node.names)
            else:
                yield node.module


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imports(path))
    return {parts[1] for parts in names if parts[0] == "speechcli" and len(parts) > 1 and parts[1] != "__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards_and_respect_the_walls(path):
    room = room_of(path)
    for other in rooms_imported(path) - {room}:
        assert FLOOR[other] <= FLOOR[room], f"{room} may not import {other}"
        assert other not in WALLS.get(room, set()), f"{room} may not import {other}"
        assert other != "families" or room in MAY_IMPORT_FAMILIES, f"{room} may not import families"
    if room not in MAY_IMPORT_TORCH:
        assert not {name.split(".")[0] for name in imports(path)} & {"torch", "torchaudio"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_names_stay_in_their_file(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module != "speechcli" and node.module.startswith("speechcli"):
            assert not [alias.name for alias in node.names if alias.name.startswith("_")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_one_file_imports_huggingface_hub(path):
    if path != PACKAGE / "checkpoints" / "hub.py":
        assert "huggingface_hub" not in {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_packages_not_needed_at_run_time_are_never_imported(path):
    forbidden = {"transformers", "click", "datasets", "librosa"}
    assert not {name.split(".")[0] for name in imports(path)} & forbidden
    assert "typer._click" not in set(imports(path))
