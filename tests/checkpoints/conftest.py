"""Fixtures for the tests of model folders."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from .tiny_models import write_model


@pytest.fixture
def model_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny transformers model: encoder, decoder, changes to the encoder's configuration."""
    return partial(write_model, tmp_path / "theirs")
