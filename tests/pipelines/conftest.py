from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a whole Whisper, tiny and random."""
    from tests.parity.reference import quiet
    from tests.parity.whisper import make_whisper
    from tests.text.vocabularies import write_whisper

    quiet()
    folder = tmp_path_factory.mktemp("whisper")
    make_whisper(folder, seed=3)
    return write_whisper(folder, words=60)
