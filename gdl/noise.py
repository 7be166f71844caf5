"""Random numbers that depend on what they are for, never on what was drawn before.

Training noise is a function of (seed, stage, epoch, batch, image in the batch) and sampling noise
of (seed, sample index). So a resumed run repeats the interrupted one bit for bit, several processes
that share a batch draw the same noise as one process, image grids and loggers cannot disturb
training, and sample k does not depend on the batch size:

>>> import torch
>>> four = SampleNoise(seed=0, indices=[0, 1, 2, 3]).normal(5)
>>> last = SampleNoise(seed=0, indices=[3]).normal(5)
>>> four.shape, torch.equal(four[3:], last)
(torch.Size([4, 5]), True)
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Protocol

import torch
from torch import Tensor

from gdl.part import Part, current_part, set_part

__all__ = [
    "BatchNoise",
    "NoiseSource",
    "SampleNoise",
    "drawn_in",
    "mix_seed",
    "normal",
    "same_for_each_image",
    "seed_noise",
    "uniform",
]


def mix_seed(*parts: int | str) -> int:
    """Hash integers and strings to one seed in [0, 2^63).

    >>> mix_seed("train", 0, 3) == mix_seed("train", 0, 3), mix_seed("a", 1) == mix_seed("a", 2)
    (True, False)
    """
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_noise(device: torch.device, *parts: int | str, part: Part | None = None) -> None:
    """Seed the default random streams of the CPU and of `device` by a hash of `parts`.

    Until the next call, `normal` and `uniform` return the noise for this part of the batch.

    `torch.manual_seed` is not used because it also looks for absent accelerators and formats a stack
    trace for each, which takes half a millisecond at every step.
    """
    set_part(part)
    seed = mix_seed(*parts)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def normal(shape: Sequence[int], like: Tensor, axis: int = 0) -> Tensor:
    """Return standard normal noise for a batch, with the dtype and device of `like`.

    Args:
        shape: Shape of the noise.
        like: A tensor.
        axis: The axis of the images in the batch.
    """
    return _of_batch(torch.randn, shape, axis, like)


def uniform(shape: Sequence[int], like: Tensor, axis: int = 0) -> Tensor:
    """Return noise that is uniform on [0, 1); see `normal`."""
    return _of_batch(torch.rand, shape, axis, like)


_same = False


@contextmanager
def same_for_each_image() -> Iterator[None]:
    """Let `normal` and `uniform` give all images of a batch the same noise, within the context.

    Then a score that is drawn, e.g. a bound, is a function of the seed and the image alone: neither
    the other images of the batch nor the place in it matter. Several draws per image still differ.
    """
    global _same
    before, _same = _same, True
    try:
        yield
    finally:
        _same = before


_drawn_in: torch.dtype | None = None


@contextmanager
def drawn_in(dtype: torch.dtype) -> Iterator[None]:
    """Draw the noise of batches in this dtype, and convert it: torch draws other numbers in each.

    So a model in float64 can be compared with itself in float32.
    """
    global _drawn_in
    before, _drawn_in = _drawn_in, dtype
    try:
        yield
    finally:
        _drawn_in = before


def _of_batch(
    draw: Callable[..., Tensor], shape: Sequence[int], axis: int, like: Tensor
) -> Tensor:
    where: dict[str, Any] = {"dtype": _drawn_in or like.dtype, "device": like.device}
    if _same:
        one = draw(*shape[:axis], 1, *shape[axis + 1 :], **where)
        return one.to(like.dtype).expand(*shape)
    part = current_part()
    if part is None or shape[axis] != part.count:
        return draw(*shape, **where).to(like.dtype)
    all_of_it = [*shape[:axis], part.total, *shape[axis + 1 :]]
    return draw(*all_of_it, **where).narrow(axis, part.first, part.count).to(like.dtype)


class NoiseSource(Protocol):
    """Where random numbers come from, for each of n images: a batch of training, or samples."""

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal noise of shape (n, *shape)."""
        ...

    def uniform(self, *shape: int) -> Tensor:
        """Return noise of shape (n, *shape), uniform on [0, 1)."""
        ...


class BatchNoise:
    """Noise for the images of a batch, from the stream that `seed_noise` has seeded; see `normal`.

    Args:
        like: A tensor whose first axis are the images, and whose dtype and device the noise gets.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal noise of shape (n, *shape)."""
        return normal((len(self._like), *shape), self._like)

    def uniform(self, *shape: int) -> Tensor:
        """Return noise of shape (n, *shape), uniform on [0, 1)."""
        return uniform((len(self._like), *shape), self._like)


class SampleNoise:
    """Noise for samples: a function of the seed, the index of the sample and the number of the call.

    Two objects with the same seed give sample k the same numbers, whatever else is in the batch.
    Samples that need few numbers share a random stream, and sample k has a fixed part of it: seeding
    a stream for every sample would cost more than drawing from it.

    Args:
        seed: The seed of the whole set of samples.
        indices: The index of each sample in that set.
        device: Device of the noise. It is drawn on the CPU, so it is the same on every device.
        dtype: Floating point type of the noise.
    """

    NUMBERS = 4096
    """Numbers in a stream that several samples share. A change of this constant changes all samples."""

    def __init__(
        self,
        seed: int,
        indices: Iterable[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | str = torch.float32,
    ) -> None:
        self._seed, self._indices, self._calls = seed, list(indices), 0
        self._to: dict[str, Any] = {"device": device, "dtype": dtype}

    def __len__(self) -> int:
        return len(self._indices)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal noise of shape (n, *shape)."""
        return self._draw(torch.randn, shape).to(**self._to)

    def uniform(self, *shape: int) -> Tensor:
        """Return noise of shape (n, *shape), uniform on the open interval (0, 1)."""
        # rand may return exactly 0, whose logit is -inf
        return self._draw(torch.rand, shape).clamp(min=2.0**-25).to(**self._to)

    def gumbel(self, *shape: int) -> Tensor:
        """Return Gumbel noise (n, *shape); argmax(logits + noise) is a sample of softmax(logits)."""
        return -(-self.uniform(*shape).log()).log()

    def _draw(self, distribution: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        # the number of samples in a stream depends on the shape of a sample only
        length = math.prod(shape)
        size = max(1, self.NUMBERS // max(1, length))
        self._calls += 1
        used: dict[int, int] = {}
        for k in self._indices:
            used[k // size] = max(used.get(k // size, 0), k % size + 1)
        generator, drawn, start, count = torch.Generator(), [], {}, 0
        for stream, n in used.items():
            generator.manual_seed(mix_seed("samples", self._seed, self._calls, stream))
            numbers = distribution(_enough(n * length, size * length), generator=generator)
            drawn.append(numbers[: n * length].view(n, *shape))
            start[stream], count = count, count + n
        rows, every = [start[k // size] + k % size for k in self._indices], torch.cat(drawn)
        return every if rows == [*range(count)] else every[rows]


def _enough(used: int, total: int) -> int:
    """Return how many of a stream's `total` numbers to draw so that the first `used` do not change.

    PyTorch draws normal numbers in blocks of 16. Where the count is no multiple of 16 it draws the
    last 16 numbers again, so these differ from a longer draw.
    """
    rounded = -(-used // 16) * 16
    return rounded if rounded <= total - 16 else total
