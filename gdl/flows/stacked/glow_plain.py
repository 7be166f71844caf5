"""One of the K steps in `GlowSteps` as a plain `GlowStep`."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gdl.flows.glow import GlowStep
from gdl.flows.stacked.plain import lend

__all__ = ["plain_step"]


def plain_step(stacks: Mapping[str, Tensor], k: int) -> GlowStep:
    """Return the k-th step, which computes with views or functions of the stacks.

    Args:
        stacks: All parameters and buffers of a `GlowSteps`, by name.
        k: From 0 to K - 1.
    """
    ready = stacks["initialized"]
    own = {name: stack[k] for name, stack in stacks.items() if stack is not ready}
    channels, width, norm = len(own["norm_bias"]), len(own["b1"]), "log_gain1" in own
    with torch.device("meta"):
        step = GlowStep(channels, width, len(own["b3"]) == channels, norm)
    # contiguous, because torch cannot differentiate some convolutions with other weights
    w1 = own["w1"].unflatten(1, (3, 3, -1)).permute(0, 3, 1, 2).contiguous()
    # the stack has what a pixel gives to its neighbours, a convolution what it takes from them
    w3 = own["w3"].unflatten(0, (3, 3, -1)).flip(0, 1).permute(2, 3, 0, 1).contiguous()
    state = {
        "steps.0.bias": own["norm_bias"],
        "steps.0.log_scale": own["norm_log_scale"],
        "steps.0.initialized": ready.clone(),
        "steps.1.packed": own["packed"],
        "steps.1.permutation": own["permutation"],
        "steps.1.sign": own["sign"],
        "steps.2.net.conv1.weight": w1,
        "steps.2.net.conv2.weight": own["w2"][:, :, None, None],
        "steps.2.net.last.conv.weight": w3,
        "steps.2.net.last.conv.bias": own["b3"],
        "steps.2.net.last.log_gain": own["log_gain3"],
    }
    for i in (1, 2):
        bias = own[f"b{i}"]
        if not norm:
            state[f"steps.2.net.conv{i}.bias"] = bias
            continue
        # the stack has the bias behind the scale, an ActNorm before it
        log_scale = 3 * own[f"log_gain{i}"]
        state[f"steps.2.net.norm{i}.bias"] = bias * (-log_scale).exp()
        state[f"steps.2.net.norm{i}.log_scale"] = log_scale
        state[f"steps.2.net.norm{i}.initialized"] = ready.clone()
    lend(step, state)
    return step
