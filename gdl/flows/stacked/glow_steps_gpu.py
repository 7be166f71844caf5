"""Glow's steps on a GPU: matrix products with windows, compiled, their launches recorded.

A convolution from or to six channels leaves the tensor cores idle, and a step is some hundred small
kernels, whose launches cost several times their arithmetic. On an H100 a training step of the paper's
model with 256 images took 165 ms with compiled convolutions, 86 ms in this form, and 44 ms replayed.
"""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.flows.coupling import clipped, move, sigmoid_scale

__all__ = ["CompiledSteps", "run_steps", "step"]

Run = Callable[..., tuple[Tensor, Tensor]]
"""(x (B, C, H, W), *stacks) -> z (B, C, H, W) and the couplings' log-determinant (B,)."""


@torch.library.custom_op("gdl::linear_relu", mutates_args=())
def linear_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return max(0, x W' + b) in one kernel of cuBLAS; the compiler would add b and cut in another."""
    return torch._addmm_activation(bias, x, weight.t())


@linear_relu.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty(len(x), len(weight))


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2], output)


def _linear_relu_backward(ctx: Any, g: Tensor) -> tuple[Tensor, ...]:
    x, weight, out = ctx.saved_tensors
    g = torch.where(out > 0, g, 0)
    return g @ weight, g.t() @ x, g.sum(0)


linear_relu.register_autograd(_linear_relu_backward, setup_context=_keep)


def _shifted(x: Tensor, rows: int, columns: int) -> Tensor:
    """Return images (B, H, W, C) moved down and to the right; zeros move in."""
    return F.pad(x, (0, 0, columns, -columns, rows, -rows))


def step(x: Tensor, weight: Tensor, bias: Tensor, *net: Tensor) -> tuple[Tensor, Tensor]:
    """Return one step of x (B, H, W, C), and the log-determinant (B,) of its coupling.

    Args:
        x: Images, channels last.
        weight: (C, C), of the linear map.
        bias: (C,).
        *net: w1, b1, w2, b2, w3, b3 as `run_steps` prepares them.
    """
    w1, b1, w2, b2, w3, b3 = net
    stays, moved = F.linear(x, weight, bias).chunk(2, -1)
    inside = clipped(stays).to(w1.dtype)
    windows = [_shifted(inside, 1 - i, 1 - j) for i in range(3) for j in range(3)]
    room = w1.shape[1] - 9 * stays.shape[-1]
    h = torch.cat([*windows, inside.new_zeros(*inside.shape[:-1], room)], -1).flatten(0, 2)
    h = linear_relu(linear_relu(h, w1, b1), w2, b2) @ w3.t()
    # what each pixel gives to its neighbours, see `gdl.flows.stacked.glow_steps_cpu.FusedSteps`
    given = h[:, : 9 * len(b3)].view(*x.shape[:-1], 3, 3, len(b3)).to(x.dtype)
    parts = [_shifted(given[..., i, j, :], i - 1, j - 1) for i in range(3) for j in range(3)]
    out = torch.stack(parts).sum(0) + b3
    if len(b3) == stays.shape[-1]:
        return torch.cat([stays, move(moved, out, None)], -1), x.new_zeros(len(x))
    shift, raw = out.chunk(2, -1)
    scale, log_scale = sigmoid_scale(raw)
    return torch.cat([stays, move(moved, shift, scale)], -1), log_scale.flatten(1).sum(1)


def run_steps(
    step: Run, dtype: torch.dtype, x: Tensor, weight: Tensor, bias: Tensor, *net: Tensor
) -> tuple[Tensor, Tensor]:
    """Return K steps of x (B, C, H, W), and the log-determinant (B,) of their couplings.

    Args:
        step: `step`, or that compiled.
        dtype: Precision of the networks.
        x: Images.
        weight: (K, C, C), of the linear maps.
        bias: (K, C).
        *net: The networks, as in `gdl.flows.stacked.glow_steps_cpu.FusedSteps`.
    """
    w1, b1, w2, b2, w3, b3 = net
    # to multiples of 8, the sizes that tensor cores read in one piece
    w1 = F.pad(w1, (0, -w1.shape[2] % 8))
    w3 = F.pad(w3, (0, 0, 0, -w3.shape[1] % 8))
    stacks = (weight, bias, *(t.to(dtype) for t in (w1, b1, w2, b2, w3)), b3)
    x = x.permute(0, 2, 3, 1).contiguous()
    if not x.requires_grad:
        x = x.detach().requires_grad_()  # else the first step would be compiled apart
    log_dets = []
    for parameters in zip(*(t.unbind() for t in stacks), strict=True):
        x, log_det = step(x, *parameters)
        log_dets.append(log_det)
    return x.permute(0, 3, 1, 2), torch.stack(log_dets).sum(0)


class CompiledSteps:
    """`run_steps` with the step compiled, and on one GPU with both passes as CUDA graphs.

    A batch is compiled or replayed only if it has the size of the batch before it: an epoch's last,
    smaller batch is not worth a compilation. A replay overwrites what the replay before it kept for
    its backward pass, so a second call before the backward pass is no replay either.
    """

    def __init__(self) -> None:
        # a graph for each level's size: one for all sizes would be slower
        self._step = torch.compile(step, dynamic=False)
        self._size: torch.Size | None = None
        self._graphs: dict[Hashable, Run] = {}
        self._backward_is_due = False

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledSteps":
        return CompiledSteps()  # a CUDA graph is of the addresses that were recorded

    def __call__(
        self, otherwise: Run, x: Tensor, weight: Tensor, bias: Tensor, *net: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what `run_steps` does, or `otherwise`, the same in plain operations."""
        stacks = (weight, bias, *net)
        size, self._size = self._size, x.shape
        if x.shape != size or self._backward_is_due:
            return otherwise(x, *stacks)
        device = x.device.type
        mixed = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if mixed else x.dtype
        with torch.autocast(device, enabled=False):
            if device != "cuda" or torch.distributed.is_initialized():
                return run_steps(self._step, dtype, x, *stacks)
            return self._replay(dtype, x, *stacks)

    def _replay(self, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        key = (dtype, *((t.shape, t.dtype, t.device, t.requires_grad) for t in tensors))
        if key not in self._graphs:
            inputs = tuple(t.detach().clone().requires_grad_(t.requires_grad) for t in tensors)
            run = functools.partial(run_steps, self._step, dtype)
            self._graphs[key] = torch.cuda.make_graphed_callables(run, inputs)  # pyright: ignore
        # the gradients are overwritten by the next replay, so they must not become a parameter's own
        z, log_det = self._graphs[key](*(t * 1 if t.is_leaf else t for t in tensors))
        self._backward_is_due = True
        z.register_hook(self._note_backward)
        return z, log_det

    def _note_backward(self, _: Tensor) -> None:
        self._backward_is_due = False
