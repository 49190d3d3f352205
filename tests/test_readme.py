"""The commands in the README are run."""

import re
import shlex
from pathlib import Path

import pytest

from speechcli.cli.app import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL))
COMMANDS = re.findall(r"^(?:\S+ \S+ \| )?(?:\.venv/bin/)?speechcli (.+)$", SHELL, flags=re.MULTILINE)
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_flag_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, *rest = shlex.split(command, comments=True)
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in (word for word in rest if word.startswith("-") and word != "-"):
        assert re.search(rf"(^|\s|,){re.escape(flag)}(\s|,|$)", shown, flags=re.MULTILINE), flag


def test_the_first_command_writes_a_line_for_every_sample(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(ROOT)
    block = re.search(r"<!-- the samples -->\n```bash\n(.*?)```", README, flags=re.DOTALL)
    assert block is not None
    last = block[1].strip().splitlines()[-1]
    assert main(shlex.split(last)[1:]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    recordings = sorted(path for path in (ROOT / "samples").iterdir() if path.suffix in {".wav", ".flac", ".mp3"})
    assert [line.split("\t")[0] for line in lines] == [str(path.relative_to(ROOT)) for path in recordings]


def test_the_python_lines_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    # the last line loads a model that the reader has trained
    lines = [line for block in PYTHON for line in block.splitlines() if "run/best" not in line]
    assert sum("speechcli." in line for line in lines) == 2
    exec("\n".join(lines), {})
