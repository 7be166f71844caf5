"""Multi-layer perceptrons that map images to vectors and vectors to images."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from gdl.nn.linear import Linear

__all__ = ["MLPDecoder", "MLPEncoder", "activation", "perceptron"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """Return an activation by its name in `ACTIVATIONS`.

    Raises:
        ValueError: There is no such activation.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"Unknown activation {name!r}: use one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]()


class ResidualLayer(nn.Module):
    """A linear layer with a residual connection: h + act(W h + b).

    Args:
        width: Size of input and output.
        act: Name of the activation.
    """

    def __init__(self, width: int, act: str) -> None:
        super().__init__()
        self.linear, self.act = Linear(width, width), activation(act)

    def forward(self, h: Tensor) -> Tensor:
        """Return (..., width)."""
        return h + self.act(self.linear(h))


def perceptron(sizes: Sequence[int], act: str, residual: bool = False) -> list[nn.Module]:
    """Return linear layers, each followed by an activation.

    Args:
        sizes: Size of the input, then of the output of each layer.
        act: Name of the activation.
        residual: Add the input of a layer to its output where their widths agree.
    """
    layers: list[nn.Module] = []
    for i, o in pairwise(sizes):
        if residual and i == o:
            layers.append(ResidualLayer(i, act))
        else:
            layers += [Linear(i, o), activation(act)]
    return layers


class MLPEncoder(nn.Sequential):
    """Map images (B, C, H, W) to vectors (B, out_features).

    Args:
        shape: (C, H, W).
        out_features: Size of the output.
        hidden: Widths of the hidden layers, starting at the image.
        act: Name of the activation.
        residual: Add the input of a hidden layer to its output where their widths agree.
    """

    def __init__(
        self,
        shape: Sequence[int],
        out_features: int,
        hidden: Sequence[int] = (200, 200),
        act: str = "silu",
        residual: bool = False,
    ) -> None:
        sizes = [math.prod(shape), *hidden]
        super().__init__(
            nn.Flatten(-3), *perceptron(sizes, act, residual), Linear(sizes[-1], out_features)
        )


class MLPDecoder(nn.Module):
    """Map vectors (..., in_features) to maps (..., P, H, W).

    Args:
        in_features: Size of the input.
        shape: (P, H, W).
        hidden: Widths of the hidden layers, starting at the image, as in `MLPEncoder`.
        act: Name of the activation.
        residual: Add the input of a hidden layer to its output where their widths agree.
    """

    def __init__(
        self,
        in_features: int,
        shape: Sequence[int],
        hidden: Sequence[int] = (200, 200),
        act: str = "silu",
        residual: bool = False,
    ) -> None:
        super().__init__()
        sizes = [in_features, *reversed(hidden)]
        self.shape = tuple(shape)
        self.net = nn.Sequential(
            *perceptron(sizes, act, residual), Linear(sizes[-1], math.prod(shape))
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return (..., P, H, W)."""
        return self.net(z).unflatten(-1, self.shape)
