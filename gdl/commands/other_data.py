"""data= of gdl evaluate: other data than the run's, opened as gdl train would open them."""

import difflib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import OmegaConf

from gdl.commands.conf import CONF
from gdl.commands.quoting import quoted, unquoted
from gdl.commands.values import check_values
from gdl.data.base import ImageData
from gdl.data.text_protocols import HasAlphabet, HasText, TakesAlphabet
from gdl.errors import GdlError

__all__ = ["open_data"]


def open_data(
    name: str,
    options: Sequence[str],
    run_data: ImageData,
    folders: Sequence[Path] = (),
    made: Sequence[str] = (),
) -> ImageData:
    """Return a data set by the name of its file in conf/data/.

    One that scales its images gets the shape of the run's, unless an option says another; a text gets
    the length of the run's windows, and its alphabet if it is a text, too.

    Args:
        name: Of the file.
        options: Overrides of its keys without the group, as "root=FOLDER".
        run_data: What the run was trained on, which has a shape and a folder of the data sets.
        folders: Further folders of configurations.
        made: Names of data that have no file, for the sentence.

    Raises:
        GdlError: There is no such data set or key, a value does not fit, or the data cannot be had.
    """
    files = {f.stem: f for folder in [*folders, CONF] for f in folder.glob("data/*.yaml")}
    if name not in files:
        _refuse_name(name, [*sorted(files), *made])
    node: Any = OmegaConf.load(files[name])
    own = [f"data.{option}" for option in options]
    given = {key.partition("=")[0] for key in own}
    scales = "size" in node and "channels" in node and len(run_data.shape) == 3
    if scales and not given & {"data.size", "data.channels", "data.shape"}:
        own.append(f"data.shape={list(run_data.shape)}")
    text = "alphabet" in node and isinstance(run_data, HasText)
    if text and not given & {"data.length", "data.shape"}:
        own.append(f"data.length={run_data.shape[2]}")
    where = [f"data_dir={quoted(run_data.data_dir)}"]
    if folders:
        where.append(f"hydra.searchpath=[{','.join(f'file://{f}' for f in folders)}]")
    # a command has initialised Hydra with the same folders
    ready = GlobalHydra.instance().is_initialized()
    own_hydra = hydra.initialize_config_dir(str(CONF), version_base="1.3") if not ready else None
    with own_hydra or nullcontext():
        keys = hydra.compose("train", [f"data={name}", *where]).data
        for key in given:
            _check_key(key.removeprefix("data."), [*map(str, keys)], name)
        cfg = hydra.compose("train", [f"data={name}", *where, *own])
    for key in cfg.data:
        if OmegaConf.is_missing(cfg.data, key):
            raise GdlError(f"data.{key} has no value: set it, as data={name} data.{key}=...")
    plain = OmegaConf.to_container(cfg.data, resolve=True)
    check_values(OmegaConf.create({"data": plain}), "train")
    data = instantiate(cfg.data, _convert_="all")
    if not isinstance(data, ImageData):
        raise GdlError(f"data={name} is no data set of gdl: choose another.")
    if isinstance(data, TakesAlphabet) and isinstance(run_data, HasAlphabet):
        data.read_with(run_data.characters)
    data.prepare_data()
    data.setup()
    return data


def _refuse_name(name: str, names: Sequence[str]) -> None:
    if Path(unquoted(name)).expanduser().exists():
        key = "root" if Path(unquoted(name)).expanduser().is_dir() else "file"
        kind = "folder" if key == "root" else "arrays"
        raise GdlError(
            f"data={name} is a path and no name of data: use data={kind} data.{key}={name}."
        )
    near = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f": did you mean {near[0]}?" if near else ""
    raise GdlError(f"data={name} does not exist{hint}; the choices are {', '.join(names)}.")


def _check_key(key: str, keys: Sequence[str], name: str) -> None:
    known = [k for k in keys if not k.startswith("_")]
    if key.partition(".")[0] in known:
        return
    near = difflib.get_close_matches(key, known, 1, 0.6)
    hint = f"did you mean data.{near[0]}?" if near else f"it has {', '.join(known)}."
    raise GdlError(f"data={name} has no key {key!r}: {hint}")
