"""Commands of gdl in processes that are forked from one which has imported everything already."""

import ctypes
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

PRELOAD = [
    "forked",
    "gdl.api",
    "gdl.commands.entry",
    "gdl.comparison.entries",
    "gdl.comparison.page.page",
    "gdl.runs.report",
    "gdl.tasks",
    "gdl.training.run",
]


@dataclass
class Done:
    """How a command ended; the exit code is None where it was still running at the time limit."""

    code: int | None
    out: str
    err: str


def run(
    command: str,
    args: Sequence[object],
    cwd: Path,
    seconds: float = 60,
    env: Mapping[str, str] | None = None,
    before: str = "forked:as_ordinary_user",
) -> Done:
    """Run `gdl COMMAND ARGS` in a folder, in about a tenth of the time of a new process.

    Args:
        command: train, sample, evaluate or compare; load opens a run with gdl.load.
        args: Its arguments.
        cwd: Where it runs; its output is kept beside this folder.
        seconds: It is killed after this time.
        env: Changes to the environment.
        before: "module:function" that are called first, separated by spaces.
    """
    files = [cwd.with_name(f"{cwd.name}.{end}") for end in ("out", "err")]
    given = {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "COLUMNS": "200", **(env or {})}
    code = _fork([command, *args], cwd, files, os.environ | given, before, seconds)
    return Done(code, *(p.read_text(errors="replace") if p.exists() else "" for p in files))


def gdl(
    *args: object,
    cwd: Path,
    before: str = "",
    meanwhile: Callable[[BaseProcess], None] | None = None,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Do what `subprocess.run` with `gdl COMMAND ARGS` does, but for what handlers of atexit do.

    Args:
        args: The command and its arguments.
        cwd: Where it runs.
        before: As in `run`.
        meanwhile: Called with the process after its start; the process is killed if this raises.
        env: Changes to the environment; PYTHONPATH comes before other places of packages.
    """
    given = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", **env}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("out", "err")]
        code = _fork(args, cwd, files, given, before, 240, meanwhile)
        said = [p.read_text() for p in files]
    assert code is not None, f"it did not end: {said}"
    return subprocess.CompletedProcess(args, code, *said)


def _fork(
    args: Sequence[object],
    cwd: Path,
    files: Sequence[Path],
    env: Mapping[str, str],
    before: str,
    seconds: float,
    meanwhile: Callable[[BaseProcess], None] | None = None,
) -> int | None:
    """Return the exit code of a command; None where it was killed after so many seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    what = ([*map(str, args)], str(cwd), [*map(str, files)], dict(env), before)
    process = context.Process(target=_command, args=what)
    process.start()
    try:
        if meanwhile is not None:
            meanwhile(process)
        process.join(seconds)
        return process.exitcode
    finally:
        process.kill()
        process.join()


def _command(
    args: list[str], cwd: str, files: list[str], env: dict[str, str], before: str
) -> None:
    for fd, path in enumerate(files, 1):
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, fd)
        os.close(target)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ |= env
    own = env.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in own if path and path not in sys.path]
    sys.argv[:] = ["gdl", *args]
    import torch

    torch.set_num_threads(1)
    from gdl.__main__ import main

    for function in before.split():
        module, _, name = function.partition(":")
        getattr(importlib.import_module(module), name)()
    if args[0] == "load":
        _load(*args[1:])
    else:
        main()


def _load(run: str) -> None:
    """Open a run in Python."""
    import gdl
    from gdl.errors import GdlError

    try:
        gdl.load(run)
        gdl.load_data(run)
    except GdlError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)


def with_a_defect() -> None:
    """Let a training end with an error that no input can cause."""
    from gdl.training import results

    def with_a_defect(*_: object) -> None:
        raise KeyError("oh")

    results.finish = with_a_defect  # pyright: ignore[reportAttributeAccessIssue]


def as_ordinary_user() -> None:
    """Let root, who may read and write everything, be refused what other users are refused."""
    if sys.platform == "linux" and os.getuid() == 0:
        header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None).capset(header, none) == 0
