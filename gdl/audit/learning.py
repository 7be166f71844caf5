"""What training relies on: gradients, weights that can be saved, precision."""

import copy
import io
import math

import torch
from torch import Tensor

from gdl.audit.contract import CPU, loss_of
from gdl.audit.finding import FAILED, WARNING, Finding, at_most, skipped
from gdl.audit.subjects import rebuilt
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.noise import drawn_in, seed_noise

__all__ = [
    "a_saved_model_is_the_same",
    "gradients_are_those_of_the_loss",
    "gradients_reach_every_parameter",
    "precisions_agree",
]


def gradients_reach_every_parameter(model: GenerativeModel, x: Tensor) -> Finding:
    """The gradient of the mean loss is not zero for each parameter, in training."""
    check, what = "gradients", "parameters that the loss does not reach"
    was, reached = model.training, dict.fromkeys([n for n, _ in model.named_parameters()], False)
    model.train()
    state = copy.deepcopy(model.state_dict())
    for seed in range(3):
        model.zero_grad()
        seed_noise(CPU, "audit", seed)
        model.loss(x)["loss"].mean().backward()
        for name, p in model.named_parameters():
            reached[name] |= p.grad is not None and bool((p.grad != 0).any())
        if all(reached.values()):
            break
    model.zero_grad()
    model.load_state_dict(state)
    model.train(was)
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    missed = [n for n, found in reached.items() if not found and n not in frozen]
    reason = (
        f"{', '.join(missed[:3])}{' ...' if len(missed) > 3 else ''}: it is not "
        "used, or detach or no_grad cuts "
        "it off"
    )
    return at_most(check, what, len(missed), 0, reason)


def gradients_are_those_of_the_loss(model: GenerativeModel, x: Tensor) -> Finding:
    """The loss changes along a direction as its gradient says, for fixed noise (finite differences).

    Args:
        model: In eval mode and in float64.
        x: Images.
    """
    check, what = "derivative", "|gradient along a direction - finite difference|, relative"
    parameters = [p for p in model.parameters() if p.requires_grad]
    if model.dtype != torch.float64 or not parameters:
        return skipped(check, what, "the model cannot be computed in float64")

    def value() -> Tensor:
        seed_noise(CPU, "audit", 0)
        return model.loss(x)["loss"].mean()

    gradients = torch.autograd.grad(value(), parameters, allow_unused=True)
    worst, where = 0.0, ""
    for i, (p, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        if gradient is None:
            continue
        g = torch.Generator().manual_seed(i)
        step = torch.randn(p.shape, generator=g, dtype=torch.float64)
        step = 1e-6 * step / step.norm().clamp(min=1e-12)
        with torch.no_grad():
            p += step
            up = value()
            p -= 2 * step
            down = value()
            p += step
        slope, own = float((up - down) / 2), float((gradient * step).sum())
        scale = max(abs(slope), abs(own), 1e-2 * float(gradient.norm()) * 1e-6, 1e-9)
        if abs(slope - own) / scale > worst:
            worst, where = abs(slope - own) / scale, f"parameter {i} of shape {tuple(p.shape)}"
    reason = (
        f"the gradient of {where} is not the derivative of the loss: detach, "
        "no_grad, clamping or a sample "
        "without reparametrisation cuts off a part of it"
    )
    return at_most(check, what, worst, 0.02, reason)


def a_saved_model_is_the_same(model: GenerativeModel, x: Tensor) -> Finding:
    """A new model with the saved weights reports the same nll."""
    check, what = "save and load", "|nll after loading - nll|, relative"
    try:
        trained, other = (rebuilt(model).to(x.device) for _ in range(2))
    except TypeError as e:
        return skipped(check, what, f"the model cannot be built again: {e}")
    trained.load_state_dict(model.state_dict())
    trained.to(model.dtype).train()
    optimizer = torch.optim.SGD(trained.parameters(), 1e-4)
    for seed in range(2):  # so that averages and other states are not those of the start
        seed_noise(CPU, "audit", seed)
        optimizer.zero_grad()
        trained.loss(x)["loss"].mean().backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
    trained.eval()
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    try:
        other.load_state_dict(torch.load(file, weights_only=True))
    except (RuntimeError, GdlError) as e:
        reason = f"the weights do not load into a new model: {' '.join(str(e).split())[:150]}"
        return Finding(check, what, math.nan, 0.0, FAILED, reason)
    with torch.no_grad():
        one, two = loss_of(trained, x), loss_of(other.eval().to(trained.dtype), x)
    error = float(((one - two).abs() / (1 + one.abs())).max())
    reason = (
        "something that the nll depends on is neither parameter nor buffer, so "
        "no checkpoint has it"
    )
    return at_most(check, what, error, 1e-6, reason)


@torch.no_grad()
def precisions_agree(model: GenerativeModel, x: Tensor) -> list[Finding]:
    """Under bfloat16 autocast nll is float32 and close; in float64 it is that of float32."""
    full = loss_of(model, x)
    d = model.num_dims
    found = []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = loss_of(model, x)
    what = "|nll with networks in bfloat16 - in float32|, relative"
    if low.dtype != full.dtype:
        reason = (
            f"nll is {low.dtype} under autocast: compute likelihoods in float32, outside of it"
        )
        found.append(Finding("bfloat16", what, math.nan, 0.1, FAILED, reason))
    else:
        # per image and per dimension: a nll near 0 has no relative error
        error = float(((low - full).abs() / (full.abs() + 0.1 * d)).max())
        reason = "rounding grows too large: keep sums and likelihoods out of the autocast"
        found.append(at_most("bfloat16", what, error, 0.1, reason))
    what = "|nll in float64 - in float32|, relative"
    try:
        wide = copy.deepcopy(model).double()
        with drawn_in(torch.float32):
            double = loss_of(wide, x)
    except RuntimeError as e:
        found.append(
            skipped("float64", what, f"it cannot be computed: {' '.join(str(e).split())[:120]}")
        )
        return found
    error = float(((double - full).abs() / (full.abs() + 0.1 * d)).max())
    reason = "float32 is not enough: a difference of large numbers, or a log of a rounded one"
    # noise that is not from gdl.noise may be another in float64
    bad = FAILED if model.nll_kind in ("exact", None) else WARNING
    found.append(at_most("float64", what, error, 1e-3, reason, bad))
    return found
