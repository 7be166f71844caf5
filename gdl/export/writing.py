"""An export as a whole: a format's files, config.json and the model card in one folder."""

import difflib
import math
from collections.abc import Callable
from pathlib import Path

from gdl.errors import GdlError
from gdl.export.card import card
from gdl.export.folder import new_folder
from gdl.export.onnx_format import write_onnx
from gdl.export.safetensors_format import write_safetensors
from gdl.export.subject import Subject, Written
from gdl.export.torch_format import write_torch
from gdl.exported import CONFIG
from gdl.files import write_atomically, write_json
from gdl.plain import everything
from gdl.version import __version__

__all__ = ["FORMATS", "check_format", "write_export"]

FORMATS: dict[str, Callable[[Subject, Path], Written]] = {
    "safetensors": write_safetensors,
    "onnx": write_onnx,
    "torch": write_torch,
}
"""What writes a format into a folder."""


def check_format(name: str) -> None:
    """Refuse the name of a format that does not exist.

    Raises:
        GdlError: There is no such format; the message names the nearest.
    """
    if name in FORMATS:
        return
    near = difflib.get_close_matches(name.lower(), FORMATS, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "use safetensors, onnx or torch."
    raise GdlError(f"There is no format={name}: {hint}")


def write_export(subject: Subject, name: str, path: Path) -> Written:
    """Write a folder with the files of a format, config.json and README.md, whole or not at all.

    Args:
        subject: What is exported.
        name: "safetensors", "onnx" or "torch".
        path: The folder.

    Raises:
        GdlError: There is no such format, its library is missing, it cannot express the model, or
            the folder is there.
    """
    check_format(name)
    if not all(math.isfinite(v) for v in everything(subject.config, name) if type(v) is float):
        raise GdlError("The configuration holds a number that is not finite, which JSON has not.")
    with new_folder(path) as folder:
        written = FORMATS[name](subject, folder)
        content = {
            "gdl": __version__,
            "format": name,
            "gdl_config": subject.config,
            **written.facts,
            "numbers": subject.metrics,
            "record": subject.record,
        }
        write_json(folder / CONFIG, content)
        written.files[CONFIG] = "the configuration of model and data, the numbers and the record"
        sizes = {file: (folder / file).stat().st_size for file in written.files}
        write_atomically(folder / "README.md", card(subject, written, name, sizes))
    return written
