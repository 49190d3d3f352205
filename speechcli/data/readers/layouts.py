"""Detect the layout of a path, and read its rows."""

from collections.abc import Callable
from pathlib import Path

from speechcli.data.columns import Table
from speechcli.data.readers.common_voice import is_common_voice, read_common_voice
from speechcli.data.readers.folder import read_folder
from speechcli.data.readers.kaldi import is_kaldi, read_kaldi
from speechcli.data.readers.librispeech import is_librispeech, read_librispeech
from speechcli.data.readers.mustc import is_mustc, read_mustc
from speechcli.data.readers.parquet import is_parquet, read_parquet
from speechcli.data.readers.tables import read_table

LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Table]], ...] = (
    (is_kaldi, read_kaldi),
    (is_mustc, read_mustc),
    (is_parquet, read_parquet),
    (is_common_voice, read_common_voice),
    (is_librispeech, read_librispeech),
    (Path.is_dir, read_folder),
)
"""Detector and reader of each layout; the first match is used. Any other file is a table."""


def read_layout(path: Path) -> Table:
    """Read the rows of a manifest or a corpus of any layout.

    Raises:
        InputError: if it cannot be read, or is empty.
        UsageError: if a required extra of the package is not installed.
    """
    read = next((read for fits, read in LAYOUTS if fits(path)), read_table)
    return read(path)
