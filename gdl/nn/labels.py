"""Labels as inputs of any encoder and decoder of images."""

import torch
from torch import Tensor, nn

__all__ = ["LabelledCodes", "LabelledImages"]


class LabelledImages(nn.Module):
    """Images with a learned image of their label added: x + a_y.

    The first layer of a network turns it into a bias per class, of a perceptron any bias. All a_y
    start at zero.

    Args:
        num_rows: Number of labels.
        shape: (C, H, W) of an image.
    """

    def __init__(self, num_rows: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.zeros(num_rows, *shape))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (B, C, H, W) for images x (B, C, H, W) and labels y (B,) int64."""
        return x + self.image[y]


class LabelledCodes(nn.Module):
    """Codes with a learned code of their label appended: [z, b_y].

    The first layer of a network turns it into a bias per class. With as many numbers as classes
    it can be any bias. The codes start one-hot, and are learned: from zero they take hundreds of steps.

    Args:
        num_rows: Number of labels.
    """

    LARGEST = 64
    """Numbers in the code of a label at most, which bounds the width of the decoder's input."""

    def __init__(self, num_rows: int) -> None:
        super().__init__()
        self.size = min(num_rows, self.LARGEST)
        one_hot = torch.eye(num_rows) if num_rows == self.size else None
        start = torch.randn(num_rows, self.size) / self.size**0.5 if one_hot is None else one_hot
        self.code = nn.Parameter(start)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Return (..., B, M + size) for codes z (..., B, M) and labels y (B,) int64."""
        return torch.cat([z, self.code[y].expand(*z.shape[:-1], self.size)], -1)
