"""Checkpoints that are whole or absent, and that are read without running code from them."""

import errno
import importlib
import io
import pickle
from pathlib import Path
from typing import Any, cast

import torch
from hydra.utils import instantiate
from lightning.fabric.plugins import TorchCheckpointIO

from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.files import write_atomically
from gdl.runs.directory import Run, find_run

__all__ = ["AtomicCheckpointIO", "load_checkpoint", "load_model", "open_run"]

SAFE_MODULES = (
    "gdl.data.",
    "gdl.distributions",
    "gdl.models.",
    "gdl.nn.",
    "gdl.training.schedules",
)
SAFE_PREFIX = "torch.optim."


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to disk and renames; reads tensors and plain values only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the whole checkpoint or nothing.

        Raises:
            GdlError: The disk is full; the previous checkpoint is untouched.
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
        """Read a checkpoint, see `load_checkpoint`."""
        return load_checkpoint(path, map_location)


def load_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a gdl checkpoint without unpickling code.

    Raises:
        GdlError: The file is damaged, or was not written by gdl.
    """
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as e:
        raise GdlError(
            f"{path} cannot be read as a checkpoint (damaged, cut off, or not only tensors and "
            f"plain values): use another checkpoint of the run. [{str(e).splitlines()[0]}]"
        ) from e
    if not isinstance(content, dict) or not content.get("gdl_config"):
        raise GdlError(
            f"{path} is a checkpoint, but not one of gdl: it holds no gdl configuration; name a "
            "file that train.py wrote."
        )
    return content


def load_model(path: str | Path) -> tuple[GenerativeModel, dict[str, Any]]:
    """Build the model of a checkpoint, in eval mode on the CPU, and return it with its config.

    Raises:
        GdlError: See `load_checkpoint`; or the weights do not fit the configured model.
    """
    content = load_checkpoint(path)
    config = content["gdl_config"]
    model = cast(GenerativeModel, _build(config["model"], path))
    try:
        model.load_state_dict(content["state_dict"])
    except RuntimeError as e:
        raise GdlError(
            f"The weights in {path} do not fit the model it names; it was probably written by "
            "another version of gdl: check out the commit in the run's run.json."
        ) from e
    model.config = config
    return model.eval(), config


def open_run(spec: str, device: str = "auto") -> tuple[Run, GenerativeModel, ImageData]:
    """Return a run, the model of its best checkpoint and the data it was trained on.

    Args:
        spec: A run directory, a checkpoint, or "latest".
        device: "cpu", "cuda", "mps", or "auto" for a GPU where there is one.

    Raises:
        GdlError: Nothing matches `spec`, or the checkpoint cannot be used.
    """
    run, path = find_run(spec)
    path = path or run.checkpoint("best")
    model, config = load_model(path)
    data = cast(ImageData, _build(config["data"], path))
    data.prepare_data()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return run, model.to(device), data


def _build(node: dict[str, Any], path: str | Path) -> Any:
    _check_targets(node, path)
    return instantiate(node, _convert_="all")


def _check_targets(node: Any, path: str | Path) -> None:
    """Refuse a configuration that would call anything but gdl's and torch.optim's own classes.

    A dotted name is resolved attribute by attribute, so that `gdl.runs.directory.subprocess.run` is seen for
    what it is.
    """
    if isinstance(node, list):
        for item in node:
            _check_targets(item, path)
    if not isinstance(node, dict):
        return
    for item in node.values():
        _check_targets(item, path)
    if (target := node.get("_target_")) is None:
        return
    module, _, name = str(target).rpartition(".")
    safe = module.startswith(SAFE_MODULES) or f"{module}.".startswith(SAFE_PREFIX)
    try:
        found = getattr(importlib.import_module(module), name, None) if safe else None
    except ImportError:
        found = None
    home = f"{getattr(found, '__module__', '')}."
    if found is None or not home.startswith((*SAFE_MODULES, SAFE_PREFIX)):
        raise GdlError(
            f"The checkpoint {path} asks to call {target}, which is not a part of gdl; it was not "
            "loaded. If it is a model of your own, put its class into gdl/models."
        )
