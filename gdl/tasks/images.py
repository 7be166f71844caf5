"""Test images that are read only when a task looks at them."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

from torch import Tensor
from torch.utils._pytree import tree_map

from gdl.data.base import ImageData

__all__ = ["LazyImages"]


class LazyImages:
    """A tensor of images (N, C, H, W), with labels, that does not exist before it is used.

    A task that uses none, such as drawing from a model, then needs no data.

    Args:
        read: Returns the tensor.
        read_labels: Returns the labels (N,) int64, or None where the images have none.
        log_prob: Returns the log-density (N,) in nats of points (N, D) under the distribution of the
            data, or None where it is not known.
    """

    def __init__(
        self,
        read: Callable[[], Tensor],
        read_labels: Callable[[], Tensor | None] = lambda: None,
        log_prob: Callable[[Tensor], Tensor | None] = lambda x: None,
    ) -> None:
        self._read, self._read_labels, self.log_prob = read, read_labels, log_prob

    @classmethod
    def of(cls, data: ImageData, split: str) -> Self:
        """Return the images of a split, with their labels."""
        return cls(lambda: data.images(split), lambda: data.labels(split))

    @cached_property
    def images(self) -> Tensor:
        """The tensor."""
        return self._read()

    @cached_property
    def labels(self) -> Tensor | None:
        """The labels (N,) int64, -1 where unknown, or None."""
        return self._read_labels()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.images, name)

    def __getitem__(self, index: Any) -> Tensor:
        return self.images[index]

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch on the tensor itself."""
        args, kwargs = tree_map(
            lambda x: x.images if isinstance(x, cls) else x, (args, kwargs or {})
        )
        return func(*args, **kwargs)
