"""A command's process: how it ends, and what its end does not lose."""

import subprocess
import sys

import pytest

CODE = """
import atexit, gc, sys, threading, time
from gdl.process import enable_garbage_collection, run_as_process

class Slow:
    def __del__(self):
        print("taken apart")

kept = [Slow()]
kept.append(kept)  # which only a collection frees

def main():
    assert not gc.isenabled()
    enable_garbage_collection()
    assert gc.isenabled() and gc.get_freeze_count() > 0
    atexit.register(print, "exit handler")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("output", end="")  # without a line's end, so it waits in the buffer
    {end}

run_as_process(main)
"""


@pytest.mark.parametrize(
    ("end", "code", "error"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('a sentence')", 1, "a sentence\n"),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_a_process_ends_with_its_code_and_its_output(end: str, code: int, error: str) -> None:
    command = [sys.executable, "-c", CODE.replace("{end}", end)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout == "outputthread\nexit handler\n", "and nothing was taken apart"
    assert error in done.stderr


def test_output_that_cannot_be_written_is_no_success() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", CODE.replace("{end}", "pass")]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
