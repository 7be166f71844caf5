"""Checkpoints that are whole or absent, and that are read without running code from them."""

import errno
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from gdl.data.base import ImageData
from gdl.data.text_protocols import TakesAlphabet
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.files import write_atomically
from gdl.memory import enough_memory
from gdl.runs.directory import Run
from gdl.runs.finding import find_run
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


def load_run_data(
    spec: str, trust: str | Iterable[str] = (), data_dir: str | Path | None = None
) -> ImageData:
    """Return the data that a run was trained on.

    Args:
        spec: See `load_run_model`.
        trust: See `load_run_model`.
        data_dir: Folder of the data sets; by default GDL_DATA_DIR, else where the run had them.

    Raises:
        GdlError: Nothing matches `spec`, or the data cannot be had.
    """
    _, path, content = _find(spec, trust := trusted(trust))
    return _data(content, path, trust, data_dir)


def open_run(
    spec: str,
    device: str = "auto",
    trust: str | Iterable[str] = (),
    data_dir: str | Path | None = None,
) -> tuple[Run, GenerativeModel, ImageData]:
    """Return a run, its model and its data, see `load_run_model` and `load_run_data`.

    Raises:
        GdlError: Nothing matches `spec`, or the checkpoint or the data cannot be used.
    """
    run, path, content = _find(spec, trust := trusted(trust))
    model = _model(content, path, trust).to(_device(device))
    return run, model, _data(content, path, trust, data_dir)


def _find(spec: str, trust: Iterable[str]) -> tuple[Run, Path, dict[str, Any]]:
    """Return a run and its checkpoint; packages that are trusted can be imported afterwards."""
    run, path = find_run(spec)
    path = path or run.checkpoint("best")
    content = read_checkpoint(path)
    if folder := content["gdl_config"].get("config_dir"):
        add_folder(folder, trust)
    return run, path, content


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise GdlError(f"device={name} is not known: use auto, cpu, cuda, cuda:1 or mps.")
    if name == "mps" and not torch.backends.mps.is_available():
        raise GdlError(f"device={name}: torch can see no Apple GPU on this machine: use cpu.")
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise GdlError(f"device={name}: torch can see no CUDA GPU on this machine: use cpu.")
        if int(name.partition(":")[2] or 0) >= count:
            raise GdlError(f"device={name}: the last CUDA GPU of this machine is {count - 1}.")
    return name


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


def _data(
    content: dict[str, Any], path: str | Path, trust: Iterable[str], data_dir: str | Path | None
) -> ImageData:
    config = content["gdl_config"]
    if "data" not in config:
        raise GdlError(
            f"{path} does not say what it was trained on: only checkpoints of `gdl train` do."
        )
    data_dir = data_dir or os.environ.get("GDL_DATA_DIR")
    node = _on_this_machine(config["data"], data_dir, Path(path).resolve().parents)
    data = build(node, trust, f"The checkpoint {path}")
    if not isinstance(data, ImageData):
        raise GdlError(f"{path} names no data set of gdl, so it was not loaded.")
    if isinstance(data, TakesAlphabet) and "alphabet" in config:
        data.read_with(config["alphabet"])  # the text may have changed since
    data.prepare_data()
    return data


def _on_this_machine(
    node: dict[str, Any], data_dir: str | Path | None, above: Sequence[Path]
) -> dict[str, Any]:
    """Return the configuration of a data set with the paths that hold here.

    Args:
        node: As the run has saved it.
        data_dir: The folder of the data sets here, if it is known.
        above: The folders of the checkpoint, the nearest first: one of them is as a rule that in which
            the training was started, from which its relative paths are.

    Raises:
        GdlError: What the user has named, a folder or a file of images, is not here.
    """
    if data_dir and "data_dir" in node:
        node = node | {"data_dir": str(data_dir)}
    for key in ("root", "file"):
        own = node.get(key)
        if not isinstance(own, str):
            continue
        here = Path(own).expanduser()
        moved = Path(node.get("data_dir", "")).expanduser() / Path(own.replace("\\", "/")).name
        # a file of that name in the folder of this process may be another one, so it comes later;
        # the root of the file system holds folders of common names, and no runs
        places = [*(f / here for f in above if f != f.parent), here, moved]
        found = next((place for place in places if place.exists()), None)
        if found is None:
            raise GdlError(
                f"The run was trained on {own}, which is not here: copy or link it to {moved}, or name "
                "another folder that has it with data_dir=."
            )
        if not (here.exists() and found.samefile(here)):
            node = node | {key: str(found)}
    return node
