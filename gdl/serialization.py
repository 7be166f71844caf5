"""Checkpoints as plain data, and objects from plain data, built from allowed classes only.

A file of somebody else never runs code: it is read as tensors and plain values, its configuration
names classes by a dotted path, and only public names of `ROOMS`, or of packages that the reader
trusts, are built.
"""

import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from gdl.errors import GdlError
from gdl.exported import read_export
from gdl.files import is_whole_archive
from gdl.plain import check_value, everything, is_stored

__all__ = [
    "RENAMED",
    "ROOMS",
    "add_folder",
    "build",
    "build_model",
    "describe",
    "read_checkpoint",
    "trusted",
]

ROOMS = ("gdl.corruptions", "gdl.data", "gdl.distributions", "gdl.models", "gdl.nn")
"""Packages whose public names may be built, as `gdl.models.Glow`."""

RENAMED = {
    "gdl.callbacks.AveragedWeights": "gdl.training.AveragedWeights",
    "gdl.callbacks.ImageGrids": "gdl.training.ImageGrids",
    "gdl.callbacks.ProgressLine": "gdl.training.ProgressLine",
    "gdl.data.cifar.CIFAR10": "gdl.data.CIFAR10",
    "gdl.data.digits.Digits": "gdl.data.Digits",
    "gdl.data.folder.Folder": "gdl.data.Folder",
    "gdl.data.mnist.BinarizedMNIST": "gdl.data.BinarizedMNIST",
    "gdl.data.mnist.MNIST": "gdl.data.MNIST",
    "gdl.data.olivetti.Olivetti": "gdl.data.Olivetti",
    "gdl.data.toy.Toy": "gdl.data.Toy",
    "gdl.interruption.Interruption": "gdl.training.Interruption",
    "gdl.loggers.MetricsCSV": "gdl.tracking.MetricsCSV",
    "gdl.loggers.wandb_logger": "gdl.tracking.open_wandb_logger",
    "gdl.models.autoencoder.Autoencoder": "gdl.models.Autoencoder",
    "gdl.models.fvsbn.FVSBN": "gdl.models.FVSBN",
    "gdl.models.glow.Glow": "gdl.models.Glow",
    "gdl.models.made.MADE": "gdl.models.MADE",
    "gdl.models.nade.NADE": "gdl.models.NADE",
    "gdl.models.nice.NICE": "gdl.models.NICE",
    "gdl.models.pixelcnn.PixelCNN": "gdl.models.PixelCNN",
    "gdl.models.pixelcnn_pp.PixelCNNpp": "gdl.models.PixelCNNpp",
    "gdl.models.realnvp.RealNVP": "gdl.models.RealNVP",
    "gdl.models.transformer.Transformer": "gdl.models.Transformer",
    "gdl.models.vae.VAE": "gdl.models.VAE",
    "gdl.nn.conv.ConvDecoder": "gdl.nn.ConvDecoder",
    "gdl.nn.conv.ConvEncoder": "gdl.nn.ConvEncoder",
    "gdl.nn.mlp.MLPDecoder": "gdl.nn.MLPDecoder",
    "gdl.nn.mlp.MLPEncoder": "gdl.nn.MLPEncoder",
    "gdl.schedules.cosine": "gdl.training.Cosine",
    "gdl.training.cosine": "gdl.training.Cosine",
    "gdl.schedules.warmup": "gdl.training.warmup",
}
"""Names in checkpoints and runs of before version 0.2, and what they are called now."""

TRAINING_KEYS = ("optimizer", "scheduler", "conditional")
"""Keys of a model's configuration that are not its constructor's."""

OWN_KEYS = ("_target_", "_partial_", "_convert_", "_recursive_")


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint of gdl, or the weights of an export, without unpickling code.

    Of an export there are the configuration and the weights only, see `gdl.exported`.

    Raises:
        GdlError: The file is damaged, or was not written by gdl.
    """
    is_export = Path(path).suffix == ".safetensors"
    content = read_export(Path(path)) if is_export else _read_archive(path, map_location)
    config = content.get("gdl_config") if isinstance(content, dict) else None
    if not config:
        raise GdlError(
            f"{path} is a checkpoint, but not one of gdl: it holds no gdl configuration; name a "
            "file that train.py wrote."
        )
    _check_content(content, path)
    return content


def _read_archive(path: str | Path, map_location: Any) -> Any:
    import torch

    if not is_whole_archive(Path(path)):
        raise GdlError(
            f"{path} cannot be read as a checkpoint: it is damaged, cut off, or of another kind; use "
            "another checkpoint of the run."
        )
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as e:  # a file of somebody else makes torch's reader raise almost anything
        # without torch's own words, which propose to run what is in the file
        raise GdlError(
            f"{path} cannot be read as a checkpoint: it holds more than tensors and plain values, so "
            "it was not loaded; use one that train.py wrote."
        ) from e


def _check_content(content: dict[str, Any], path: str | Path) -> None:
    """Refuse a checkpoint that has not the parts of one, or whose tensors are larger than its file.

    Raises:
        GdlError: It is such a checkpoint.
    """
    import torch

    config, weights = content["gdl_config"], content.get("state_dict")
    tensors = weights.values() if isinstance(weights, dict) else [None]
    parts = isinstance(config, dict) and isinstance(config.get("model"), dict)
    if not parts or not all(isinstance(t, torch.Tensor) for t in tensors):
        raise GdlError(
            f"{path} cannot be read as a checkpoint: it lacks a model or its weights; use another "
            "checkpoint of the run."
        )
    for value in everything(config, path):
        if type(value) not in (list, dict):
            check_value(value, f"The checkpoint {path}")
    for value in everything(content, path):
        if isinstance(value, torch.Tensor) and not is_stored(value):
            raise GdlError(f"{path} holds a tensor without its values, so it was not loaded.")


def trusted(trust: str | Iterable[str] = ()) -> frozenset[str]:
    """Return the packages that the reader trusts, those in the variable GDL_TRUST included.

    Args:
        trust: Names of packages; in a text they are separated by commas.
    """
    names = trust.split(",") if isinstance(trust, str) else [*trust]
    names += os.environ.get("GDL_TRUST", "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def add_folder(folder: str | Path, trust: Iterable[str] | None = None) -> None:
    """Let packages be imported that stand in, or beside, a folder of configurations of one's own.

    They come after all others on the path of imports, and hide none of these.

    Args:
        folder: For /lab/mylab or /lab/conf this is the package /lab/mylab.
        trust: Where the folder is not the reader's choice, the packages that the reader trusts; the
            folder is added only for them. None for a folder that the reader has named.
    """
    parent = Path(folder).resolve().parent
    if str(parent) in sys.path:
        return
    if trust is not None:
        if not Path(folder).is_absolute():  # gdl saves absolute paths; this one could be anywhere
            return
        there = [n for n in trust if (parent / n).is_dir() or (parent / f"{n}.py").is_file()]
        missing = [n for n in there if importlib.util.find_spec(n) is None]
        if not missing:
            return
        print(
            f"{', '.join(missing)} is imported from {parent}, the folder that the run remembers."
        )
    sys.path.append(str(parent))


def build(node: Any, trust: Iterable[str] = (), where: str | Path = "The configuration") -> Any:
    """Return the object that plain data stand for.

    {"_target_": "gdl.nn.MLPEncoder", "_partial_": True, "hidden": [8]} is that class with this
    argument filled in; without "_partial_" it is an instance.

    Args:
        node: None, bool, int, float, str, and lists and dicts of them.
        trust: Packages beside `ROOMS` whose names may be built.
        where: What the data are from, for errors.

    Raises:
        GdlError: Something is not plain, or asks for a name that is not allowed.
    """
    for _ in everything(node, where):
        pass
    return _build(node, trust, where)


def _build(node: Any, trust: Iterable[str], where: str | Path) -> Any:
    if isinstance(node, list):
        return [_build(item, trust, where) for item in node]
    if not isinstance(node, dict):
        return check_value(node, where)
    arguments = {
        str(key): _build(item, trust, where) for key, item in node.items() if key not in OWN_KEYS
    }
    if "_target_" not in node:
        return arguments
    found = _find(node["_target_"], trust, where)
    if node.get("_partial_"):
        return functools.partial(found, **arguments)
    try:
        return found(**arguments)
    except GdlError:
        raise
    except Exception as e:
        raise GdlError(
            f"{where} cannot be used: {found.__name__} does not take its values ({e})."
        ) from e


def build_model(
    node: Mapping[str, Any], trust: Iterable[str] = (), where: str | Path = "The configuration"
) -> Any:
    """Return the model of a configuration; optimizer and scheduler are training's and left out."""
    own = {key: value for key, value in node.items() if key not in TRAINING_KEYS}
    return build(own, trust, where)


def describe(value: Any) -> Any:
    """Return the plain data that `build` turns into a value again.

    Raises:
        GdlError: There are none, as for a function of one's own.
    """
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, functools.partial) and not value.args:
        return describe(value.func) | describe(value.keywords)
    if is_dataclass(value) and not isinstance(value, type):
        own = {field.name: describe(getattr(value, field.name)) for field in fields(value)}
        return describe(type(value)) | {"_partial_": False} | own
    if not callable(value):
        return check_value(value, "The arguments of this model")
    module, name = value.__module__, getattr(value, "__qualname__", "")
    room = next((r for r in ROOMS if f"{module}.".startswith(f"{r}.")), module)
    return {"_target_": f"{room}.{name}", "_partial_": True}


def _find(target: Any, trust: Iterable[str], where: str | Path) -> Any:
    """Return the class or function of a dotted name, if it is allowed."""
    target = RENAMED.get(str(target), str(target))
    package, _, name = target.rpartition(".")
    found = None
    if package in ROOMS:
        module = importlib.import_module(package)
        found = getattr(module, name, None) if name in module.__all__ else None
    elif target.partition(".")[0] in trust:
        return _import_foreign(package, name, where)
    if not callable(found):
        raise GdlError(
            f"{where} asks to call {target}, which is not a part of gdl; it was not loaded. If you "
            f"trust that package, say so: trust={target.partition('.')[0]}."
        )
    return found


def _import_foreign(package: str, name: str, where: str | Path) -> Any:
    try:
        found = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError) as e:
        raise GdlError(
            f"{where} needs {package}.{name}, which cannot be imported ({e}): add its folder to "
            "PYTHONPATH, or name it with --config-dir."
        ) from e
    own = package.partition(".")[0]
    if not callable(found) or getattr(found, "__module__", "").partition(".")[0] != own:
        # what a trusted package imports, such as subprocess.run, is not its own
        raise GdlError(f"{where} asks to call {package}.{name}, which {own} does not define.")
    return found
