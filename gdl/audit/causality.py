"""Theorems about autoregressive models: who depends on whom, and samplers that agree."""

import copy

import torch
from torch import Tensor

from gdl.audit.finding import FAILED, WARNING, Finding, skipped
from gdl.audit.subjects import perturb
from gdl.families.autoregressive import AutoregressiveModel

__all__ = ["depends_on_earlier_only", "fast_sampler_is_the_naive_one", "influence"]


@torch.no_grad()
def influence(model: AutoregressiveModel, s: Tensor) -> Tensor:
    """Return whether position i has an influence on the parameters of position j, [i, j] (N, N).

    It is the pattern of the Jacobian, found by changing one position of sequences s (B, N, V) at a
    time, because positions are integers.
    """
    assert model.levels is not None
    before, n = model.params(s), s.shape[1]
    changed = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        t = s.clone()
        t[:, i] = (t[:, i] + 1) % model.levels
        changed[i] = (model.params(t) != before).flatten(2).any(-1).any(0).cpu()
    return changed


def depends_on_earlier_only(model: AutoregressiveModel, rows: int = 30, tries: int = 0) -> Finding:
    """The parameters of position i depend on positions before i, and on no other (Jacobian).

    A position that ignores some of the earlier ones is a warning, one that ignores all a failure.

    Args:
        model: Its weights are not zero.
        rows: Random images.
        tries: Copies with other random weights, which show what one draw of them hides.
    """
    check, what = "causality", "positions that see themselves or later ones"
    assert model.levels is not None
    g = torch.Generator().manual_seed(0)
    n, own = model.num_positions, len(model.orders)
    s = torch.randint(model.levels, (rows, n, model.values), generator=g, dtype=torch.uint8)
    ignored, blind = 0, 0
    copies = [model] + [copy.deepcopy(model) for _ in range(tries)]
    for seed, other in enumerate(copies[1:]):
        perturb(other, 1.0, seed)
    for member in range(own):
        found = torch.zeros(n, n, dtype=torch.bool)
        for each in copies:
            each.member = member
            found |= influence(each, s.to(model.device))
            each.member = 0
        wrong = found.tril().nonzero()
        if len(wrong):
            i, j = wrong[0].tolist()
            which = "itself" if i == j else f"position {i}, which is later"
            reason = (
                f"position {j} sees {which}: look at the mask of the first layer (its "
                "diagonal), at shifts "
                "and at the order of the channels"
            )
            return Finding(check, what, len(wrong), 0, FAILED, reason)
        earlier = torch.ones(n, n, dtype=torch.bool).triu(1)
        ignored += int((~found & earlier).sum())
        blind += int((~found.any(0))[1:].sum())
    if blind:
        reason = (
            f"{blind} of {n * own} positions see none of the earlier ones: a mask "
            "or a shift is wrong"
        )
        return Finding(check, what, 0, 0, FAILED, reason)
    if ignored:
        reason = (
            f"{ignored} of {own * n * (n - 1) // 2} pairs of an earlier and a later position have no "
            "influence: a blind spot, or a receptive field smaller than the image"
        )
        return Finding(check, what, 0, 0, WARNING, reason)
    return Finding(check, what, 0, 0)


@torch.no_grad()
def fast_sampler_is_the_naive_one(model: AutoregressiveModel, n: int = 50) -> Finding:
    """`steps` draws the images that one whole pass per position draws."""
    check, what = "fast sampler", f"pixels of {n} samples that differ from those of whole passes"
    try:
        fast, naive = model.sample(n, seed=3), model.sample(n, seed=3, naive=True)
    except TypeError:
        return skipped(check, what, "its sample has no naive=True")
    count = int((fast != naive).sum())
    reason = "steps(n) yields other parameters than params(s): its state is wrong somewhere"
    verdict = FAILED if count > 0.002 * fast.numel() else "passed"
    return Finding(check, what, count, 0.002 * fast.numel(), verdict, reason if count else "")
