"""What plain data are, and tensors that are what they look like: contents of files of others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gdl.errors import GdlError

__all__ = ["check_value", "everything", "is_stored"]


def everything(node: Any, where: str | Path) -> Iterator[Any]:
    """Yield everything in nested containers.

    Raises:
        GdlError: There is more than any run writes: a small file may name one list a billion times.
    """
    left, waiting = 300_000, [(node, 0)]
    while waiting:
        item, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > 100:
            raise GdlError(f"{where} is nested too deeply, so it was not loaded.")
        yield item
        if isinstance(item, dict):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list | tuple | set):
            waiting += [(part, depth + 1) for part in item]


def is_stored(tensor: Any) -> bool:
    """Return whether the values of a tensor are in the file: it is not sparse, expanded or empty."""
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return False
    return tensor.nbytes <= max(1_000_000, tensor.untyped_storage().nbytes())


def check_value(value: Any, where: str | Path) -> Any:
    """Return a value if it is plain.

    Raises:
        GdlError: It is not, or it is a text that would be resolved.
    """
    if value is None or type(value) in (bool, int, float):
        return value
    if type(value) is str and "${" not in value:
        return value
    raise GdlError(
        f"{where} holds {value!r:.100}, which is not plain data (None, bool, int, float, str, list, "
        "dict): it was not loaded."
    )
