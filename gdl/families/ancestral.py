"""Ancestral sampling of several positions in one pass, with the samples of one position per pass.

Once the noise is drawn, the value of a position is a function of the values before it. So a sample is
the solution of a triangular system of equations, which a fixed-point iteration finds: guess the next T
positions, compute the parameters of all of them in one pass, and draw them. Each position whose
predecessors were guessed rightly now has its final value; the others are a better guess. A pass makes
at least one position final, and many where the image is easy to guess (Wiggers & Hoogeboom, 2020,
"Predictive sampling with forecasting autoregressive models", ICML; Song et al., 2021, "Accelerating
feedforward computation via parallel nonlinear equation solving", ICML).
"""

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gdl.distributions import Likelihood, Truncated
from gdl.families.progress import Counter
from gdl.nn.prefix import PrefixNet

__all__ = [
    "Block",
    "PositionSteps",
    "after",
    "block_size",
    "draw_in_order",
    "drawn",
    "fixed_point",
    "num_final",
    "prefix_steps",
]


class Block(NamedTuple):
    """The parameters (n, T, P) of the T positions from `start` on, given the values of those before."""

    start: int
    params: Tensor


PositionSteps = Generator[Block, Tensor, None]
"""A generator that alternates with the sampler, block by block.

It yields a block and receives the values (n, T, V) uint8 that were drawn there. Inside of the block its
parameters are right as far as the values before them were guessed rightly; the generator yields these
positions again until they are, and ends when all are."""

LARGEST = 64
"""Positions in a block at most: with longer ones, the passes get fewer only slowly."""


def block_size(final: int, n: int, device: torch.device) -> int:
    """Return how many positions of n images to try, after a pass that made `final` of them final.

    They are as many as cost little beside the calls of the pass: few on a CPU, which computes at once.
    """
    free = 64 if device.type == "cpu" else 16384
    return max(1, min(2 * final, LARGEST, free // n))


def num_final(values: Tensor, guess: Tensor) -> int:
    """Return the number of leading positions of the values (n, T, V) that are final in all images."""
    if values.shape[1] == 1:
        return 1
    agree = (values == guess)[:, :-1].flatten(2).all(-1).all(0)
    return 1 + int(agree.cumprod(0).sum())


def fixed_point(
    start: int, guess: Tensor, params: Callable[[Tensor], Tensor]
) -> Generator[Block, Tensor, tuple[Tensor, int]]:
    """Yield a block again and again, until its values (n, T, V) are final; return them.

    Args:
        start: The first position of the block.
        guess: A first guess of the values.
        params: Returns the parameters (n, T, P), given a guess of the values.

    Returns:
        The values, and the number of passes that it took.
    """
    passes = 0
    while True:
        values = yield Block(start, params(guess))
        passes += 1
        if num_final(values, guess) == values.shape[1]:
            return values, passes
        guess = values


def draw_in_order(
    steps: PositionSteps,
    likelihood: Likelihood | Truncated,
    noise: Tensor,
    given: Tensor,
    keep: Tensor,
) -> Tensor:
    """Return sequences (n, N, V) uint8, drawn block by block; known values are kept.

    Args:
        steps: See `PositionSteps`.
        likelihood: Draws the values of a position from its parameters.
        noise: The likelihood's noise (N, n, U), contiguous.
        given: Sequences (n, N, V) uint8; the steps may leave out known values at their beginning.
        keep: Boolean (n, N), the known positions.
    """
    some, every = keep.any(0).tolist(), keep.all(0).tolist()
    out = given.clone()
    start, params = next(steps)
    with Counter(len(every), "sampling") as counter:
        while True:
            block = slice(start, start + params.shape[1])
            if all(every[block]):
                values = given[:, block]
            else:
                values = drawn(likelihood, params, noise[block])
                if any(some[block]):
                    values = torch.where(keep[:, block, None], given[:, block], values)
            out[:, block] = values
            counter.show(start)
            try:
                start, params = steps.send(values)
            except StopIteration:
                return out


def drawn(likelihood: Likelihood | Truncated, params: Tensor, noise: Tensor) -> Tensor:
    """Return values (n, T, V) uint8 drawn from parameters (n, T, P) with noise (T, n, U)."""
    if params.shape[1] == 1:  # the same, by fewer calls
        image = params.reshape(len(params), params.shape[2], 1, 1)
        its_noise = noise.reshape(len(params), noise.shape[2], 1, 1)
        return likelihood.draw(image, its_noise).squeeze(-1).transpose(1, 2)
    # the positions are an image of T rows and one column
    image, its_noise = params.transpose(1, 2), noise.permute(1, 2, 0)
    return likelihood.draw(image[..., None], its_noise[..., None]).squeeze(-1).transpose(1, 2)


def after(steps: PositionSteps, prefix: Tensor) -> PositionSteps:
    """Yield the blocks of `steps` behind a known beginning (n, t, V) uint8 of the sequences.

    The steps guess zeros. A block that holds some of the beginning, of which they guessed wrongly, is
    not yielded: they get the beginning, and yield the block again.
    """
    t, sent = prefix.shape[1], 0
    start, params = next(steps)
    while True:
        stop, skip = start + params.shape[1], max(0, t - start)
        values = prefix[:, start:stop]
        if stop > t:
            if prefix[:, max(start, sent) :].any():
                rest = torch.zeros_like(prefix[:, :1]).expand(-1, stop - max(start, t), -1)
            else:
                rest = yield Block(start + skip, params[:, skip:])
            values = torch.cat([values, rest], 1)
        sent = max(sent, stop)
        try:
            start, params = steps.send(values)
        except StopIteration:
            return


def prefix_steps(
    net: PrefixNet,
    shape: Sequence[int],
    n: int,
    inputs_of: Callable[[Tensor], Tensor],
    width: int = 1,
) -> PositionSteps:
    """Yield the outputs of a stack of prefix layers as the parameters of n sequences.

    Args:
        net: Its outputs are the parameters of the positions, one position after the other.
        shape: (N, P), the positions and the parameters of each.
        n: Number of sequences.
        inputs_of: Turns values (n, T, 1) into inputs (n, T K) of the net.
        width: K, the inputs of a position.
    """
    num_positions, num_params = shape

    def inputs(values: Tensor) -> Tensor:
        return inputs_of(values).T

    def params(values: Tensor) -> Tensor:
        return net.outputs(inputs(values)).unflatten(0, (-1, num_params)).permute(2, 0, 1)

    start, size = 0, 8
    while start < num_positions:
        stop = min(start + size, num_positions)
        net.open(stop * width, slice(start * num_params, stop * num_params))
        guess = torch.zeros(n, stop - start, 1, dtype=torch.uint8, device=net.device)
        values, passes = yield from fixed_point(start, guess, params)
        net.close(inputs(values))
        # a pass costs little beside the opening of a block, so a block may take several
        start, size = stop, min(4 * -(-(stop - start) // passes), LARGEST)
