"""The flags that several commands of this folder have."""

import argparse
from pathlib import Path

_FLAGS = {
    "--data": "folder of the recordings",
    "--out": "folder to write",
    "--catalogues": "folder of unpacked packages with translations (catalogues.py)",
    "--model": "folder of a model with a CTC head",
}


def make_parser(command: str, description: str | None, *flags: str) -> argparse.ArgumentParser:
    """Makes a parser; a command adds what it alone has.

    Args:
        command: the module, such as "speechcli.recipes.embedded_data.crossed".
        description: its docstring.
        flags: some of ``--data --out --catalogues --model``; all but the catalogues must be given.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {command}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for flag in flags:
        parser.add_argument(flag, type=Path, required=flag != "--catalogues", help=_FLAGS[flag])
    return parser
