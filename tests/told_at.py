"""Runs commands that get a signal at a given moment, each in a fork of a process that has imported all.

A moment is "module:attribute#n": the n-th call of that function, or the end of that call with "$" for
"#". Each line of stdin is a case in JSON; its exit code and output go to stdout.
"""

import importlib
import json
import os
import re
import sys
import tempfile
import traceback

COMMANDS = ("train", "sample", "evaluate", "compare")


def tell(moment: str, signals: list[int]) -> None:
    """Let this process send itself signals at a moment."""
    module, path, when, number = re.fullmatch(r"([\w.]+):([\w.]+)([#$])(\d+)", moment).groups()
    *parents, name = path.split(".")
    owner = importlib.import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    original, calls = getattr(owner, name), []

    def function(*args, **kwargs):
        calls.append(1)
        if when == "$":
            result = original(*args, **kwargs)
        if len(calls) == int(number):
            for signum in signals:
                os.kill(os.getpid(), signum)
        return result if when == "$" else original(*args, **kwargs)

    setattr(owner, name, function)


def run(command: str, args: list[str], moment: str, signals: list[int]) -> int:
    sys.argv = [f"{command}.py", *args]
    try:
        if signals:
            tell(moment, signals)
        importlib.import_module(f"gdl.commands.{command}").main()
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def fork(case: tuple) -> tuple[int, str]:
    with tempfile.TemporaryFile("w+") as output:
        pid = os.fork()
        if pid == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            code = run(*case)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        output.seek(0)
        return code, output.read()


if __name__ == "__main__":
    for name in ("entry", *COMMANDS):
        importlib.import_module(f"gdl.commands.{name}")
    for name in ("gdl.training.run", "gdl.models", "gdl.data", "gdl.runs.checkpoints"):
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(fork(json.loads(line))), flush=True)
    os._exit(0)
