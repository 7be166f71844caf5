"""The weights of single epochs of a run: checkpoints/epoch_0003.ckpt holds those after three epochs."""

import re
from pathlib import Path

__all__ = ["epoch_file", "epoch_files", "epoch_of"]


def epoch_file(folder: str | Path, number: int) -> Path:
    """Return the file of the weights after so many epochs, in a folder of checkpoints."""
    return Path(folder) / f"epoch_{number:04d}.ckpt"


def epoch_of(path: str | Path) -> int | None:
    """Return after how many epochs a file has the weights; None for another checkpoint.

    >>> epoch_of("checkpoints/epoch_0003.ckpt"), epoch_of("checkpoints/best.ckpt")
    (3, None)
    """
    found = re.fullmatch(r"epoch_(\d{4,9})\.ckpt", Path(path).name)
    return None if found is None else int(found[1])


def epoch_files(folder: str | Path) -> dict[int, Path]:
    """Return the files of a folder of checkpoints by the number of epochs, in their order."""
    found = {epoch_of(path): path for path in Path(folder).glob("epoch_*.ckpt")}
    return dict(sorted((n, path) for n, path in found.items() if n is not None))
