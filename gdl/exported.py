"""Weights that `gdl export format=safetensors` has written, read as what a checkpoint holds.

A folder of an export has model.safetensors, the tensors and nothing else, and config.json, which says
what model they are of. Neither can run code: one is bytes with a table in front, the other is JSON.
"""

import hashlib
from pathlib import Path
from typing import Any

from gdl.errors import GdlError
from gdl.files import read_json

__all__ = [
    "CONFIG",
    "NO_LIBRARY",
    "TORCH",
    "WEIGHTS",
    "digest_of",
    "exported_facts",
    "exported_weights",
    "read_export",
]

WEIGHTS, TORCH, CONFIG = "model.safetensors", "model.pt", "config.json"
"""Files of an export: weights in either format, and what they are of."""

NO_LIBRARY = "pip install 'gdl[export]'"
"""How the libraries of an export come onto a machine."""


def exported_weights(folder: Path) -> Path | None:
    """Return the weights in a folder that `gdl export` wrote, None if it is no such folder."""
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    # files of the other name are in many folders
    both = (folder / TORCH).is_file() and (folder / CONFIG).is_file()
    return folder / TORCH if both else None


def exported_facts(folder: Path, part: str) -> dict[str, Any]:
    """Return the "numbers" or the "record" that an export has brought along, empty elsewhere.

    Raises:
        GdlError: Its configuration is damaged.
    """
    found = read_json(folder / CONFIG).get(part) if exported_weights(folder) else None
    return found if isinstance(found, dict) else {}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_export(path: Path) -> dict[str, Any]:
    """Return {"gdl_config": the configuration, "state_dict": the tensors} of a safetensors file.

    The configuration is that of config.json in the same folder.

    Raises:
        GdlError: A file is missing or damaged, the two do not belong together, or the library
            safetensors is not installed.
    """
    if not path.is_file():  # a pipe would be waited for
        raise GdlError(f"{path} is not a file.")
    config = read_json(path.with_name(CONFIG))
    own = config.get("gdl_config")
    if not isinstance(own, dict):
        raise GdlError(
            f"{path} has no {CONFIG} of gdl beside it, which says what model it is: copy the whole "
            "folder that gdl export wrote."
        )
    weights = config.get("weights")
    if not isinstance(weights, dict) or weights.get("sha256") != digest_of(path):
        raise GdlError(
            f"{path} is damaged, or {CONFIG} beside it is of other weights: copy the whole folder "
            "that gdl export wrote again."
        )
    return {"gdl_config": own, "state_dict": _tensors(path)}


def _tensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as e:
        raise GdlError(f"{path.name} is read by the library safetensors: {NO_LIBRARY}.") from e
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as e:
        raise GdlError(f"{path} is damaged, so it was not loaded ({e}).") from e
