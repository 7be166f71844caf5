"""Checkpoints that are whole or absent, and that are read without running code from them."""

import errno
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.files import write_atomically
from gdl.runs.directory import Run, find_run
from gdl.serialization import add_folder, build, build_model, read_checkpoint, trusted

__all__ = ["AtomicCheckpointIO", "load_model", "open_run"]


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
        """Read a checkpoint, see `read_checkpoint`."""
        return read_checkpoint(path, map_location)


def load_model(
    path: str | Path, trust: Iterable[str] = ()
) -> tuple[GenerativeModel, dict[str, Any]]:
    """Build the model of a checkpoint, in eval mode on the CPU, and return it with its config.

    Raises:
        GdlError: See `read_checkpoint` and `build`; or the weights do not fit the configured model.
    """
    trust = trusted(trust)
    content = read_checkpoint(path)
    config = content["gdl_config"]
    if folder := config.get("config_dir"):
        add_folder(folder, trust)
    model = cast(GenerativeModel, build_model(config["model"], trust, f"The checkpoint {path}"))
    model.load_weights(content["state_dict"], path)
    model.config = config
    return model.eval(), config


def open_run(
    spec: str, device: str = "auto", trust: Iterable[str] = ()
) -> tuple[Run, GenerativeModel, ImageData]:
    """Return a run, the model of its best checkpoint and the data it was trained on.

    Args:
        spec: A run directory, a checkpoint, or "latest".
        device: "cpu", "cuda", "mps", or "auto" for a GPU where there is one.
        trust: Packages of the reader's own that the checkpoint may name, see `trusted`.

    Raises:
        GdlError: Nothing matches `spec`, or the checkpoint cannot be used.
    """
    trust = trusted(trust)
    run, path = find_run(spec)
    path = path or run.checkpoint("best")
    model, config = load_model(path, trust)
    data = cast(ImageData, build(config["data"], trust, f"The checkpoint {path}"))
    data.prepare_data()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return run, model.to(device), data
