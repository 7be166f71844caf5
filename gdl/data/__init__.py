"""Data sets: integer images in memory or in a file, from which one index operation takes a batch.

Nothing is imported before it is used, so that the processes that decode images start quickly.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gdl.data.arrays import Arrays
    from gdl.data.base import ImageData, Split, hold_out
    from gdl.data.chairs import Chairs
    from gdl.data.cifar import CIFAR10
    from gdl.data.digits import Digits
    from gdl.data.dsprites import DSprites
    from gdl.data.folder import Folder
    from gdl.data.huggingface import HuggingFace
    from gdl.data.mnist import MNIST, BinarizedMNIST
    from gdl.data.olivetti import Olivetti
    from gdl.data.pairs import Pairs
    from gdl.data.shapes3d_like import Shapes3DLike
    from gdl.data.table import Table
    from gdl.data.text import Text
    from gdl.data.toy import Toy

__all__ = [
    "CIFAR10",
    "MNIST",
    "Arrays",
    "BinarizedMNIST",
    "Chairs",
    "DSprites",
    "Digits",
    "Folder",
    "HuggingFace",
    "ImageData",
    "Olivetti",
    "Pairs",
    "Shapes3DLike",
    "Split",
    "Table",
    "Text",
    "Toy",
    "hold_out",
]

_MODULES = {
    **{"CIFAR10": "cifar", "MNIST": "mnist", "Arrays": "arrays", "BinarizedMNIST": "mnist"},
    **{"Digits": "digits", "Folder": "folder", "HuggingFace": "huggingface", "ImageData": "base"},
    **{"Olivetti": "olivetti", "Split": "base", "Table": "table", "Toy": "toy"},
    **{"Chairs": "chairs", "DSprites": "dsprites", "Shapes3DLike": "shapes3d_like"},
    **{"Pairs": "pairs", "Text": "text", "hold_out": "base"},
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"gdl.data.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'gdl.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]
