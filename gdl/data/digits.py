"""The 8x8 handwritten digits that come with scikit-learn: real data without a download."""

import gzip
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gdl.data.base import ImageData, Split, hold_out

__all__ = ["Digits"]


class Digits(ImageData):
    """1,797 real 8x8 digits with 17 levels (E. Alpaydin, C. Kaynak, UCI, 1998).

    The last 297 images are the test set.

    Args:
        num_val: Images held out from the first 1,500 for validation.
        split_seed: Seed of the random choice of these images.
        **kwargs: See `ImageData`.
    """

    class_names = tuple("0123456789")

    def __init__(self, num_val: int = 200, split_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_val, self.split_seed = num_val, split_seed

    def load(self) -> dict[str, Split]:
        """Return 1,300 training, 200 validation and 297 test images."""
        table = _table()
        x = torch.from_numpy(table[:, :64]).to(torch.uint8).view(-1, 1, 8, 8)
        y = torch.from_numpy(table[:, 64]).long()
        train, val = hold_out(x[:1500], y[:1500], self.num_val, self.split_seed)
        return {"train": train, "val": val, "test": (x[1500:], y[1500:])}


def _table() -> np.ndarray:
    """Return 64 pixels and the label of each image (1797, 65), in scikit-learn's order.

    `sklearn.datasets` takes a second to import, two where pandas is installed; its file takes none.
    """
    spec = importlib.util.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            with gzip.open(path, "rt") as file:
                return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return np.column_stack([digits.data, digits.target])
