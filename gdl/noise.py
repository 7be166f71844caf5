"""Random numbers that depend on what they are for, never on what was drawn before.

Training noise is a function of (seed, stage, epoch, batch, rank) and sampling noise of
(seed, sample index). So a resumed run repeats the interrupted one bit for bit, image grids and
loggers cannot disturb training, and sample k does not depend on the batch size.
"""

import math
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

__all__ = ["SampleNoise", "mix_seed", "seed_noise"]


def mix_seed(*parts: int | str) -> int:
    """Hash integers and strings to one seed in [0, 2^63)."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_noise(device: torch.device, *parts: int | str) -> None:
    """Seed the default random streams of the CPU and of `device` by a hash of `parts`.

    `torch.manual_seed` also looks for accelerators that are not there and formats a stack trace
    for each, half a millisecond at every step.
    """
    seed = mix_seed(*parts)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


class SampleNoise:
    """Random numbers of samples: a function of (seed, index of the sample, which call it is).

    Two objects with the same seed give sample k the same numbers, whatever else is in the batch.
    Samples of few numbers share a stream, of which sample k has a fixed part: seeding a stream for
    each would cost more than drawing from it.

    Args:
        seed: The seed of the whole set of samples.
        indices: The index of each sample in that set.
        device: Where the noise is put. It is drawn on the CPU, so it is the same on every device.
        dtype: Floating point type of the noise.
    """

    NUMBERS = 4096
    """Of a stream, at least, unless it has one sample only; a change changes all samples."""

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
        """Return noise of shape (n, *shape) that, added to logits, makes their maximum a draw."""
        return -(-self.uniform(*shape).log()).log()

    def _draw(self, distribution: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        # how many samples share a stream depends on nothing but the shape of a sample
        size = max(1, self.NUMBERS // max(1, math.prod(shape)))
        self._calls += 1
        streams: dict[int, int] = {}
        rows = [
            streams.setdefault(k // size, len(streams)) * size + k % size for k in self._indices
        ]
        generator = torch.Generator()
        drawn = []
        for stream in streams:
            generator.manual_seed(mix_seed("samples", self._seed, self._calls, stream))
            drawn.append(distribution((size, *shape), generator=generator))
        return torch.cat(drawn)[rows]
