"""A sentence for each kind of bad input."""

import errno
import importlib
import os
import re
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import yaml
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from gdl.commands.compiling import compiler_failed
from gdl.commands.unknown_names import unknown_group, unknown_override
from gdl.errors import GdlError

__all__ = ["causes", "defect", "explain"]


def explain(error: BaseException, config_name: str) -> str | None:
    """Return a sentence that says what to do about bad input, None for a defect."""
    try:
        return _sentence(error, config_name)
    except Exception:  # it composes configurations, which bad input may stop once more
        return None


def defect(error: BaseException, folder: Path | None) -> str:
    """Return a sentence about an error of gdl itself, and write the traceback to a file.

    Args:
        error: The error.
        folder: The directory of a run, in which traceback.txt is written; None, or one that is not
            there, for a file in the system's folder of temporary files.
    """
    first = (str(error).splitlines() or [""])[0]
    text = "".join(traceback.format_exception(error))
    place = folder if folder is not None and folder.is_dir() else Path(tempfile.gettempdir())
    file = place / ("traceback.txt" if place == folder else f"gdl-traceback-{os.getpid()}.txt")
    try:
        file.write_text(text)
        where = f"the traceback is in {file}"
    except OSError:
        where = "GDL_TRACEBACK=1 shows the traceback"
    return f"This is a defect of gdl ({type(error).__name__}: {first:.200}); {where}."


def _sentence(error: BaseException, config_name: str) -> str | None:
    chain = list(causes(error))
    for e in chain:
        if isinstance(e, GdlError):
            return str(e)
        if _is_memory(e):
            return (
                "There is not enough memory for this: make the model, data.batch_size or "
                f"eval_batch_size smaller ({(str(e).splitlines() or ['out of memory'])[0]:.150})."
            )
        if isinstance(e, MissingConfigException) and e.missing_cfg_file:
            return unknown_group(e)
        if isinstance(e, MissingMandatoryValue):
            key = (e.full_key or str(e).removeprefix("Missing mandatory value: ")).strip()
            return f"{key} has no value: set it on the command line, e.g. {key}=..."
        if type(e).__name__ == "MisconfigurationException":
            return str(e)
        if type(e).__name__ in ("TerminatedWorkerError", "BrokenProcessPool"):
            return (
                "A worker process of the launcher was killed, perhaps out of memory: the same command "
                "goes on with the jobs that are left."
            )
        if isinstance(e, RuntimeError) and "slurm cluster" in str(e):
            return "This is no SLURM cluster (there is no srun): use hydra/launcher=joblib."
    if failed := compiler_failed(chain):
        return failed
    for e in chain:
        if isinstance(e, OverrideParseException):
            return (
                f"{e.override!r} is not an override that Hydra can read: quote special characters."
            )
        if isinstance(e, ConfigCompositionException):
            return unknown_override(str(e), config_name)
    for e in _meant(error):
        if isinstance(e, OSError) and (e.filename or isinstance(e, BrokenPipeError)):
            return _no_file(e)
    for e in chain:
        if isinstance(e, InstantiationException):
            return _unfit_value(e)
        if isinstance(e, ValueError) and str(e).startswith("Config group override"):
            return (
                "A group has a number instead of a name: choose one of its files, e.g. model=vae."
            )
        if isinstance(e, HydraException | OmegaConfBaseException):
            return str(e)
        if isinstance(e, yaml.YAMLError):
            return f"A file of the configuration is no YAML: {e}."
    if _raised_in(error, ("hydra", "omegaconf", "antlr4")):
        return f"Hydra cannot work with these arguments: {type(error).__name__}, {error}"
    return None


def _is_memory(e: BaseException) -> bool:
    words = ("can't allocate memory", "out of memory", "Cannot allocate memory")
    return isinstance(e, MemoryError) or (
        isinstance(e, RuntimeError | OSError) and any(w in str(e) for w in words)
    )


def _no_file(e: OSError) -> str:
    """Say what is wrong with a file or folder."""
    name = f"{e.filename}" if len(str(e.filename)) < 200 else f"{e.filename!s:.100}..."
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full while writing {name}: free some space."
    if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{name}: {e.strerror}. Change who may read and write it, or name another folder (of a "
            "run with hydra.run.dir=..., of pictures with out=...)."
        )
    if e.errno == errno.ENAMETOOLONG:
        return f"The name {name} is too long for this disk: choose a shorter one."
    if isinstance(e, BrokenPipeError):
        return "The output of this command has nowhere to go any more."
    return f"{name}: {e.strerror or type(e).__name__}."


def _raised_in(error: BaseException, packages: tuple[str, ...]) -> bool:
    """Return whether an exception comes out of one of these packages themselves."""
    frames = list(traceback.walk_tb(error.__traceback__))
    name = frames[-1][0].f_globals.get("__name__", "") if frames else ""
    return str(name).partition(".")[0] in packages


def _unfit_value(e: InstantiationException) -> str:
    """Say which part of the configuration its constructor refused."""
    key = re.search(r"full_key: (\S+)", str(e))
    name = key.group(1) if key else "An object"
    if missing := re.search(r"Error (?:locating target|loading) '(\S+?)'", str(e)):
        target = missing.group(1)
        return (
            f"{name}._target_={target} cannot be imported ({_why_missing(target, e)}): correct the "
            "name, or let --config-dir name the folder of your package."
        )
    cause = e.__cause__ or e
    what = str(cause)
    if "unexpected keyword argument 'network'" in what:
        return "network=unet is for model=denoising_ae: use network=mlp or network=conv."
    if not isinstance(cause, TypeError | ValueError):
        what = f"{type(cause).__name__}, {cause}"
    return f"{name} cannot be built from these values: {what} (GDL_TRACEBACK=1 shows where)."


def _why_missing(target: str, error: BaseException) -> BaseException:
    """Return why a name cannot be imported, which may be a mistake in the file of its module."""
    try:
        importlib.import_module(target.rpartition(".")[0] or target)
    except Exception as e:  # the file may do anything
        return e
    return list(causes(error))[-1]


def _meant(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what it was raised from, without what was handled meanwhile."""
    while error is not None:
        yield error
        error = error.__cause__


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what caused it, the latest first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
