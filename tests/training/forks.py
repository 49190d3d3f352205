"""Code that runs in a process of its own, so that it can be killed."""

import os
import sys
import traceback

import pytest
import torch

needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork") or torch.cuda.is_available(), reason="a process with a GPU cannot be forked"
)


def start(function):
    """Run a function in a copy of this process; return the copy's id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        function()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(child):
    """Return the exit code of a copy, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at_change(number):
    """Count changes of the file system from now on, and end this process before the change with this number."""
    events = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.chmod", "shutil.copyfile"}
    left = number

    def watch(event, arguments):
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in events or writes:
            left -= 1
            if left < 0:
                os._exit(9)

    sys.addaudithook(watch)
