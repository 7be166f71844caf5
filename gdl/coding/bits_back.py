"""Coding with a VAE: Townsend et al., 2019, "Practical lossless compression with latent variables".

arXiv 1901.04866 (ICLR), BB-ANS; the full title goes on "using bits back coding". To write an image x
onto a stack of bits, latents z are popped from it with q(z | x); then x is pushed with p(x | z), and z
with p(z). On average the stack grows by -log p(x | z) - log p(z) + log q(z | x), the negative ELBO.
Only the first image needs bits to pop from.

The latents are rounded to bins of equal probability under the prior N(0, 1), 2^18 for each. The number
of a bin is coded as three digits, each with a table of q's probabilities.
"""

import math

import numpy as np
import torch
from torch import Tensor

from gdl.coding.tables import Stack, tables
from gdl.families.progress import Counter
from gdl.models import VAE

__all__ = ["batch_sizes", "largest_batch", "pop_images", "push_images"]

DIGITS, BASE = 3, 64
"""A latent is one of 64^3 = 2^18 bins."""


def largest_batch(shape: tuple[int, ...], levels: int) -> int:
    """Return how many images are coded together at most: their tables take up to 100 MB."""
    return max(1, min(64, 2**22 // (math.prod(shape[1:]) * levels)))


def batch_sizes(n: int, most: int) -> list[int]:
    """Return the sizes of the batches of n images.

    A batch pops all its latents before it pushes anything. The first batch is one image, and later
    ones are at most a quarter of what has been pushed before, so few bits are needed at the start.
    """
    sizes, done = [], 0
    while done < n:
        sizes.append(max(1, min(done // 4, most, n - done)))
        done += sizes[-1]
    return sizes


def push_images(model: VAE, stack: Stack, x: Tensor, most: int) -> None:
    """Push images (n, C, H, W) uint8, in batches of at most `most`."""
    with Counter(len(x), "coding") as counter:
        done = 0
        for size in batch_sizes(len(x), most):
            _push_batch(model, stack, x[done : done + size])
            done += size
            counter.show(done)


def pop_images(model: VAE, stack: Stack, n: int, most: int) -> Tensor:
    """Pop n images (n, C, H, W) uint8, which were pushed in batches of at most `most`."""
    found, done = [], 0
    with Counter(n, "decoding") as counter:
        for size in reversed(batch_sizes(n, most)):
            found.append(_pop_batch(model, stack, size))
            done += size
            counter.show(done)
    return torch.cat(found[::-1])


def _push_batch(model: VAE, stack: Stack, x: Tensor) -> None:
    posterior = _Posterior(model, x)
    bins = np.zeros(posterior.mean.numel(), np.int64)
    for digit in range(DIGITS):
        bins = bins * BASE + stack.pop(posterior.table(digit, bins))
    params = _params(model, bins, len(x))
    for c in reversed(range(x.shape[1])):
        stack.push(x[:, c].flatten().numpy(), _pixel_tables(model, params, x[:, :c]))
    stack.push_uniform(bins, BASE**DIGITS)


def _pop_batch(model: VAE, stack: Stack, n: int) -> Tensor:
    """Return images (n, C, H, W); each line undoes one of `_push_batch`."""
    bins = stack.pop_uniform(n * _num_latents(model), BASE**DIGITS).astype(np.int64)
    params = _params(model, bins, n)
    x = torch.zeros(n, *model.shape, dtype=torch.uint8)
    for c in range(model.shape[0]):
        symbols = stack.pop(_pixel_tables(model, params, x[:, :c]))
        x[:, c] = torch.from_numpy(symbols).view(n, *model.shape[1:])
    posterior = _Posterior(model, x)
    for digit in reversed(range(DIGITS)):
        bins, last = np.divmod(bins, BASE)
        stack.push(last, posterior.table(digit, bins))
    return x


class _Posterior:
    """q(z | x) of images x over the bins of their latents."""

    def __init__(self, model: VAE, x: Tensor) -> None:
        mean, log_std = model.posterior(x)
        self.mean, self.std = mean.double().view(-1, 1), log_std.double().exp().view(-1, 1)

    def table(self, digit: int, prefix: np.ndarray) -> np.ndarray:
        """Return the table (n M, BASE) of a digit, given the number that the digits before it form."""
        first = torch.from_numpy(prefix)[:, None] * BASE
        edges = (first + torch.arange(BASE + 1)).double() / BASE ** (digit + 1)
        t = (torch.special.ndtri(edges) - self.mean) / self.std
        below, above = torch.special.ndtr(t), torch.special.ndtr(-t)
        # the smaller of two tails, because differences of numbers near 1 are rounded
        mass = torch.where(t[:, :-1] > 0, -above.diff(), below.diff())
        return tables(mass)


def _params(model: VAE, bins: np.ndarray, n: int) -> Tensor:
    """Return the parameters of p(x | z), where z are the middles of the bins."""
    middle = (torch.from_numpy(bins).double() + 0.5) / BASE**DIGITS
    z = torch.special.ndtri(middle).view(n, *model.latent_shape)
    return model.likelihood_params(z.to(model.dtype))


def _pixel_tables(model: VAE, params: Tensor, earlier: Tensor) -> np.ndarray:
    p = model.likelihood.probabilities(params, earlier)
    return tables(p.movedim(1, -1).reshape(-1, model.levels))


def _num_latents(model: VAE) -> int:
    return math.prod(model.latent_shape)
