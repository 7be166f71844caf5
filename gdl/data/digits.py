"""The 8x8 handwritten digits that come with scikit-learn: real data without a download."""

from typing import Any

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

    def __init__(self, num_val: int = 200, split_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_val, self.split_seed = num_val, split_seed

    def load(self) -> dict[str, Split]:
        """Return 1,300 training, 200 validation and 297 test images."""
        from sklearn.datasets import load_digits  # scikit-learn takes a second to import

        digits: Any = load_digits()
        x = torch.from_numpy(digits.images).to(torch.uint8)[:, None]
        y = torch.from_numpy(digits.target).long()
        train, val = hold_out(x[:1500], y[:1500], self.num_val, self.split_seed)
        return {"train": train, "val": val, "test": (x[1500:], y[1500:])}
