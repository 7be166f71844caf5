"""Checkpoints that are whole or absent, and that are read without running code from them."""

import errno
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.files import write_atomically
from gdl.memory import enough_memory
from gdl.runs.directory import Run, find_run
from gdl.serialization import add_folder, build, build_model, read_checkpoint, trusted

__all__ = [
    "AtomicCheckpointIO",
    "load_run_data",
    "load_run_model",
    "open_run",
]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to disk and renames; reads tensors and plain values only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the whole checkpoint or nothing.

        Raises:
            GdlError: The disk is full; the previous checkpoint is untouched.
            OSError: The file cannot be written for another reason.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(Path(path), buffer.getvalue())
        except OSError as e:
            if e.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise GdlError(
                f"The disk is full: {path} was not written and the checkpoint before it is "
                "untouched; free some space, then continue with resume=latest."
            ) from e

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, see `read_checkpoint`."""
        return read_checkpoint(path, map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a local file; Lightning's would follow an address that a checkpoint names."""
        Path(path).unlink(missing_ok=True)


def load_run_model(
    spec: str, device: str = "auto", trust: str | Iterable[str] = ()
) -> tuple[Run, GenerativeModel]:
    """Return a run and the model of its best checkpoint, in eval mode.

    Args:
        spec: A run directory, a checkpoint, or "latest".
        device: "cpu", "cuda", "mps", or "auto" for a GPU where there is one.
        trust: Packages of the reader's own that the checkpoint may name, see `trusted`.

    Raises:
        GdlError: Nothing matches `spec`, or the checkpoint cannot be used.
    """
    run, path, content = _find(spec, trust := trusted(trust))
    return run, _model(content, path, trust).to(_device(device))


def load_run_data(spec: str, trust: str | Iterable[str] = ()) -> ImageData:
    """Return the data that a run was trained on; the arguments are those of `load_run_model`.

    Raises:
        GdlError: Nothing matches `spec`, or the data cannot be had.
    """
    _, path, content = _find(spec, trust := trusted(trust))
    return _data(content, path, trust)


def open_run(
    spec: str, device: str = "auto", trust: str | Iterable[str] = ()
) -> tuple[Run, GenerativeModel, ImageData]:
    """Return a run, its model and its data, see `load_run_model` and `load_run_data`.

    Raises:
        GdlError: Nothing matches `spec`, or the checkpoint or the data cannot be used.
    """
    run, path, content = _find(spec, trust := trusted(trust))
    model = _model(content, path, trust).to(_device(device))
    return run, model, _data(content, path, trust)


def _find(spec: str, trust: Iterable[str]) -> tuple[Run, Path, dict[str, Any]]:
    """Return a run and its checkpoint; packages that are trusted can be imported afterwards."""
    run, path = find_run(spec)
    path = path or run.checkpoint("best")
    content = read_checkpoint(path)
    if folder := content["gdl_config"].get("config_dir"):
        add_folder(folder, trust)
    return run, path, content


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _model(content: dict[str, Any], path: str | Path, trust: Iterable[str]) -> GenerativeModel:
    config = content["gdl_config"]
    with enough_memory(copies=1):
        built = build_model(config["model"], trust, f"The checkpoint {path}")
    if not isinstance(built, GenerativeModel):
        raise GdlError(f"{path} holds no model of gdl, so it was not loaded.")
    model = built
    model.load_weights(content["state_dict"], path)
    model.config = config
    return model.eval()


def _data(content: dict[str, Any], path: str | Path, trust: Iterable[str]) -> ImageData:
    config = content["gdl_config"]
    if "data" not in config:
        raise GdlError(
            f"{path} does not say what it was trained on: only checkpoints of `gdl train` do."
        )
    data = build(config["data"], trust, f"The checkpoint {path}")
    if not isinstance(data, ImageData):
        raise GdlError(f"{path} names no data set of gdl, so it was not loaded.")
    data.prepare_data()
    return data
