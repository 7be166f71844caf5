"""Generative deep learning: models as probability distributions over integer images.

    import gdl
    model = gdl.load("latest")            # a run directory, a checkpoint, or the newest run
    x = gdl.load_data("latest").images("test")[:8]
    model.nll(x)                          # -log p(x) in nats, (8,); model.nll_kind says of what kind
    model.sample(16)                      # images, uint8
    gdl.models.Glow(shape=(3, 32, 32), levels=256)

Nothing heavy is imported before it is used: `import gdl` alone imports neither torch nor lightning.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gdl.process import without_collection
from gdl.version import __version__

if TYPE_CHECKING:
    from gdl import (
        audit,
        capabilities,
        data,
        distributions,
        evaluation,
        families,
        flows,
        models,
        nn,
        tasks,
    )
    from gdl.api import load, load_data


__all__ = [
    "__version__",
    "audit",
    "capabilities",
    "data",
    "distributions",
    "evaluation",
    "families",
    "flows",
    "load",
    "load_data",
    "models",
    "nn",
    "tasks",
]


def __getattr__(name: str) -> Any:
    with without_collection():
        if name in ("load", "load_data"):
            return getattr(importlib.import_module("gdl.api"), name)
        if name in __all__:
            return importlib.import_module(f"gdl.{name}")
    raise AttributeError(f"module 'gdl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]
