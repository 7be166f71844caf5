"""resume=RUN: the saved arguments of a run, as far as they may be taken over."""

import os
import re
from pathlib import Path

from gdl.commands.changes import check_change
from gdl.commands.overrides import key_parts
from gdl.commands.places import reads_elsewhere
from gdl.commands.quoting import quoted, unquoted
from gdl.commands.trust import foreign, with_config_dir
from gdl.errors import GdlError
from gdl.exported import TORCH, WEIGHTS
from gdl.files import for_shell
from gdl.runs.config import read_config
from gdl.runs.directory import Run
from gdl.runs.epochs import epoch_of
from gdl.runs.finding import find_run, newest_runs
from gdl.runs.links import check_links
from gdl.runs.lock import hold
from gdl.serialization import trusted
from gdl.stopping import Interrupted, is_first_process

__all__ = ["hold_directory", "what_is_kept", "with_resume"]


def with_resume(args: list[str], outputs: str | Path = "outputs") -> tuple[list[str], bool]:
    """Replace `resume=<run|latest>` by the overrides, and the directory, of that run.

    Overrides that stand beside `resume=` come last and win, e.g. trainer.max_epochs, if resuming can
    honour them.

    Returns:
        The arguments, and whether they are those of a run.

    Raises:
        GdlError: There is no such run; it was started with arguments that the reader has to allow;
            an override would change what is trained; or a sweep was asked for.
    """
    wanted = [a for a in args if re.fullmatch(r"resume=(?!null$).+", a)]
    if not wanted:
        return args, False
    if {"-m", "--multirun"} & set(args):
        raise GdlError(
            "resume= goes on with one run: leave out -m. A sweep goes on when its command is given "
            "again."
        )
    # quoted where Lightning starts this command line again for another process
    run, checkpoint = find_run(unquoted(wanted[-1].removeprefix("resume=")), outputs)
    if checkpoint is not None and checkpoint.name in (WEIGHTS, TORCH):
        raise GdlError(
            f"{for_shell(checkpoint)} is an export, which has the weights only: name the run, or a "
            "checkpoint of it."
        )
    check_links(run.path)
    if checkpoint is not None and epoch_of(checkpoint) is not None:
        raise GdlError(
            f"{checkpoint.name} holds weights only, from which no run can go on: leave the name of the "
            f"file out, resume={for_shell(run.path)}."
        )
    rest = [a for a in args if a not in wanted]
    saved = _allowed(run, {a.lstrip("+~").partition("=")[0] for a in rest})
    for override in rest:
        check_change(run, saved, override)
    args = [*saved, *rest, f"hydra.run.dir={quoted(run.path)}"]
    if checkpoint is None and not run.has_checkpoint:
        print(
            f"{for_shell(run.path)} was interrupted before its first checkpoint; it starts over."
        )
        return args, True
    target = checkpoint or run.checkpoint("last")
    return [*args, f"resume={quoted(target.resolve())}"], True


def hold_directory(args: list[str]) -> None:
    """Lock the directory of a run that the arguments name, before Hydra writes there.

    Raises:
        GdlError: Another process writes there.
    """
    given = [a.partition("=")[2] for a in args if a.startswith("hydra.run.dir=")]
    folder = Path(unquoted(given[-1])) if given else None
    if folder is not None and is_first_process() and Run(folder).record.is_file():
        hold(folder)


def what_is_kept(stopped: Interrupted, folder: Path) -> str:
    """Return the sentence for a training that a signal has stopped."""
    run = Run(folder)
    if run.has_checkpoint:
        is_latest = [p.resolve() for p in newest_runs("outputs")[:1]] == [run.path]
        name = "latest" if is_latest else run.path
        return f"stopped by {stopped}; resume={name} goes on from the last step."
    if run.record.is_file():
        return f"stopped by {stopped} before the first checkpoint; resume={run.path} starts over."
    return f"stopped by {stopped} before the first step; nothing was kept."


def _allowed(run: Run, given: set[str]) -> list[str]:
    """Return the overrides that a run has saved, without those that are the reader's to give.

    The directory may be a stranger's, and Hydra would run what its own part of the configuration
    names.

    Args:
        run: The run.
        given: The keys that the reader has given beside `resume=`.

    Raises:
        GdlError: An override is one that no run of gdl saves.
    """
    kept, folder = [], None
    for override in run.overrides():
        key = override.lstrip("+~").partition("=")[0]
        if override.startswith("-") or "hydra" in key_parts(key):
            raise GdlError(
                f"{run.path}/.hydra/overrides.yaml holds {override!r:.100}, which no run of gdl "
                "saves; it was not resumed."
            )
        if reads_elsewhere(override):
            if key in given:
                continue
            raise GdlError(
                f"{run.path}/.hydra/overrides.yaml holds {override!r:.100}, which reads more than the "
                f"run itself; it was not resumed. Write {key}=... beside resume=."
            )
        value = unquoted(override.partition("=")[2])
        if key == "config_dir":
            folder = value
        elif key == "data_dir" and _is_elsewhere(value):
            continue
        elif key != "trust":
            kept.append(_checked_value(run, key, override))
    if folder in (None, "null") or "config_dir" in given:
        return kept
    return [*with_config_dir([f"config_dir={quoted(_checked_folder(run, folder))}"]), *kept]


def _is_elsewhere(data_dir: str) -> bool:
    """Return whether a run's folder of data sets is not on this machine, which has another one."""
    return "GDL_DATA_DIR" in os.environ and not os.path.isdir(os.path.expanduser(data_dir))


def _checked_value(run: Run, key: str, override: str) -> str:
    """Refuse a choice of a file outside conf/; a key of the configuration itself may hold a path."""
    is_choice = "." not in key.partition("@")[0] and key not in ("data_dir", "run_dir")
    if is_choice and ".." in override:
        raise GdlError(
            f"{run.path}/.hydra/overrides.yaml holds {override!r:.100}, which leaves the folder of "
            "its choices; it was not resumed."
        )
    return override


def _checked_folder(run: Run, folder: str) -> str:
    """Return the folder of configurations that a run remembers, if the reader trusts what is there."""
    path = Path(folder)
    if not path.is_dir():
        raise GdlError(
            f"{run.path} uses configurations of {folder}, which is gone: say where they are now with "
            "--config-dir."
        )
    inside = {path.name, *(name for name in trusted() if (path.parent / name).exists())}
    if inside & trusted():
        return folder
    targets = [str(v) for k, v in read_config(run.path).items() if k.endswith("_target_")]
    packages = {t.partition(".")[0] for t in foreign(targets)} or {path.name}
    raise GdlError(
        f"{run.path} uses configurations of {folder}, outside gdl; it was not started. If you trust "
        f"them, say so: trust={','.join(sorted(packages))}."
    )
