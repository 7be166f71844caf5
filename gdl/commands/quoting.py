"""Text on the command line: as Hydra's grammar has it, and as people type or paste it."""

import os
import re
import shlex
from pathlib import Path

__all__ = ["TEXTS", "found", "quoted", "unquoted", "with_quoted_paths"]

PATHS = (
    "run",
    "resume",
    "out",
    "report_path",
    "data_dir",
    "sweep.name",
    "hydra.run.dir",
    "hydra.sweep.dir",
)
"""Keys whose value is one path, whatever its characters."""

TEXTS = ("task.prompt", "task.stop", "measure.prompt", "parses.prompt", "measure.parses.prompt")
"""Keys whose value is a text as it was typed: brackets, commas and spaces at its ends belong to it."""

WORDS = ("latest", "null")
"""Values of `PATHS` that are no path."""


def quoted(value: str | Path) -> str:
    """Return a text or path as a value of Hydra's override grammar, which changes nothing of it."""
    # a backslash counts as itself, except in front of "${", of a quote and of the end
    text = re.sub(r"(\\*)'", lambda m: 2 * m[1] + "\\'", _no_reference(str(value)))
    return "'" + re.sub(r"\\+\Z", lambda m: 2 * m[0], text) + "'"


def _no_reference(text: str) -> str:
    """Return a text in which OmegaConf reads "${" as these two characters, once."""
    return re.sub(r"(\\*)\$\{", lambda m: 2 * m[1] + "\\${", text)


def unquoted(value: str) -> str:
    """Return the text that an override's value stands for, quoted or not."""
    if not _is_quoted(value):
        return value
    text = re.sub(r"(\\+)\Z", lambda m: m[1][len(m[1]) // 2 :], value[1:-1])
    text = re.sub(rf"(\\+){value[0]}", lambda m: m[1][: len(m[1]) // 2] + value[0], text)
    return re.sub(r"(\\+)\$\{", lambda m: m[1][: len(m[1]) // 2] + "${", text)


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def found(text: str) -> Path | None:
    """Return the file or folder that a text names, None if there is none.

    The text may be the path itself, begin with ~, be quoted for Hydra or for a shell, or come from a
    machine with other separators.
    """
    readings = [text, unquoted(text)]
    try:
        words = shlex.split(text)
    except ValueError:  # a quote that is not closed
        words = []
    readings += words if len(words) == 1 else []
    readings += [r.replace("\\", "/") for r in readings]
    for reading in readings:
        for path in (Path(reading), Path(os.path.expanduser(reading))):
            if reading and os.path.lexists(path):
                return path
    return None


def with_quoted_paths(args: list[str]) -> list[str]:
    """Quote the paths and texts among the values for Hydra, so that each can be typed as it is.

    Paths are the values of `PATHS`, and every other value with a separator that exists on this disk.
    In a multirun, where a comma separates values, they are only those that exist.
    """
    several = bool({"-m", "--multirun"} & set(args))
    return [_with_quoted_path(arg, several) for arg in args]


def _with_quoted_path(arg: str, several: bool) -> str:
    key, equals, value = arg.partition("=")
    if key.lstrip("+") in TEXTS and value not in ("", "null"):
        whole = re.fullmatch(r"(['\"])(?:\\.|(?!\1).)*\1", value, re.DOTALL)
        # Hydra reads references once more where it calls the task or measure
        return arg if whole else f"{key}={quoted(_no_reference(value))}"
    if not equals or key.startswith("-") or value in WORDS or not value.strip():
        return arg
    if "/" in value and _is_plain(value):
        return arg
    if key in PATHS or "/" in value or "\\" in value:
        path = found(value)
        if path is not None:
            return f"{key}={quoted(path)}"
    may_sweep = several and not key.startswith(("hydra.", "sweep."))
    if key not in PATHS or may_sweep or _is_quoted(value) or "${" in value:
        return arg
    return f"{key}={quoted(value)}"


def _is_plain(value: str) -> bool:
    """Return whether Hydra reads a value without quotes as this text."""
    return re.fullmatch(r"[\w/.+@%:-]+", value, re.ASCII) is not None
