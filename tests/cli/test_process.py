"""The command as a process: behavior that is visible only from outside."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import speechcli
from tests.pipelines.tiny_model import save_model, write_tone

PACKAGE = str(Path(speechcli.__file__).parent.parent)
HEAVY = ("torch", "torchaudio", "tokenizers", "accelerate", "huggingface_hub", "sacrebleu", "jiwer")


def run(*arguments, stdin=None, environment=None, cwd=None, stdout=subprocess.PIPE):
    command = [sys.executable, "-m", "speechcli", *map(str, arguments)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PACKAGE, **(environment or {})}
    return subprocess.run(
        command, input=stdin, stdout=stdout, stderr=subprocess.PIPE, env=variables, cwd=cwd, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("process")
    save_model(root / "model")
    write_tone(root / "a.wav")
    write_tone(root / "b.wav", 0.4)
    return root


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["transcribe", "-h"], 0),
        (["train", "--help"], 0),
        (["--version"], 0),
        ([], 2),
        (["transcribe"], 2),
        (["transcribe", "x.wav", "--bogus"], 2),
        (["transcribe", "x.wav", "-f", "txt", "-f", "json"], 2),
        (["transcribe", "no-such-file.wav"], 4),
        (["train", "-o", "run"], 2),
        (["evaluate"], 2),
    ],
)
def test_help_version_and_usage_errors_import_nothing_heavy(arguments, code):
    program = (
        "import sys; from speechcli.cli.app import main; code = main(sys.argv[1:]); "
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]; "
        "print(heavy, file=sys.stderr); sys.exit(99 if heavy else code)"
    )
    result = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, timeout=60, check=False)
    assert result.returncode == code, result.stderr.decode()


def test_collision_of_outputs_is_found_without_importing_torch(folder, tmp_path):
    write_tone(tmp_path / "a.wav")
    program = (
        "import sys; from speechcli.cli.app import main; code = main(sys.argv[1:]); "
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    arguments = ["transcribe", folder / "a.wav", tmp_path / "a.wav", "-o", tmp_path / "out"]
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, timeout=60, check=False
    )
    assert result.returncode == 2 and b"both be written" in result.stderr


def test_standard_input_and_output_are_bytes_in_any_locale(folder):
    sound = (folder / "a.wav").read_bytes()
    environment = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    result = run("transcribe", "-", "-m", "model", "-f", "json", stdin=sound, cwd=folder, environment=environment)
    assert result.returncode == 0, result.stderr.decode()
    assert b'"path": "-"' in result.stdout and result.stderr == b""
    again = run("transcribe", "a.wav", "-m", "model", cwd=folder, environment=environment)
    assert again.stdout.count(b"\n") == 1


def test_a_closed_pipe_is_not_an_error(folder):
    reader, writer = os.pipe()
    os.close(reader)
    result = run("transcribe", "a.wav", "b.wav", "-m", "model", cwd=folder, stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_exit_code_8(folder):
    with open("/dev/full", "wb") as full:
        result = run("transcribe", "a.wav", "-m", "model", cwd=folder, stdout=full)
    assert result.returncode == 8
    assert result.stderr == b"error: Standard output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_folder_job_stopped_by_a_signal_can_be_continued(folder, tmp_path, number):
    command = [sys.executable, "-m", "speechcli", "transcribe", "a.wav", "-", "-m", "model", "-o", tmp_path]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PACKAGE}
    with subprocess.Popen(
        [*map(str, command), "--progress", "json"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=variables,
        cwd=folder,
    ) as process:
        assert b'"loaded"' in process.stderr.readline()  # now it waits for standard input
        process.send_signal(number)
        _, errors = process.communicate((folder / "a.wav").read_bytes(), timeout=60)
    assert process.returncode == 75, errors.decode()
    assert b"error: A signal stopped the job with 2 of its inputs left." in errors
    result = run("transcribe", "a.wav", "-m", "model", "-o", tmp_path, cwd=folder)
    assert result.returncode == 0 and (tmp_path / "a.txt").exists()
