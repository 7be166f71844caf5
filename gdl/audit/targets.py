"""Theorems about models of targets given their sources, see `gdl.families.targets`."""

import torch

from gdl.audit.finding import Finding, at_most
from gdl.audit.subjects import all_images, perturb, rebuilt
from gdl.capabilities import InitializesFromData
from gdl.families.autoregressive import AutoregressiveModel

__all__ = ["targets_sum_to_one"]


@torch.no_grad()
def targets_sum_to_one(model: AutoregressiveModel) -> Finding:
    """The probabilities of all targets of a source sum to 1, with those that the window cuts off."""
    made = rebuilt(model, small=True, shape=(1, 1, 6), levels=3, ends=(0, 1))
    assert isinstance(made, AutoregressiveModel)
    targets = all_images((1, 1, 4), 3)
    x = torch.cat([torch.tensor([2, 0]).to(targets).expand(len(targets), 1, 1, 2), targets], -1)
    if isinstance(made, InitializesFromData):
        made.initialize(x)
    perturb(made, 0.3)
    made = made.double().eval()
    # what stands behind an end does not count, so each target is taken once
    after = ~made.in_target(x).view(x.shape) & (torch.arange(6) > 1)
    x = x.masked_fill(after, 1).unique(dim=0)
    figure = abs(float(made.log_prob(x).logsumexp(0)))
    what = "|log of the sum of p(target | source) over all targets|, 1x1x6 of 3 levels"
    reason = (
        "a source counts, or what stands behind a target, or a symbol sees itself or later ones"
    )
    return at_most("targets", what, figure, 1e-7, reason)
