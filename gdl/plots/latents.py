"""Diagrams of what latents carry."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # half a second to import

__all__ = ["latents_figure"]

NAMED = 40
"""Most bars that are named."""

ACTIVE, MISMATCH, INACTIVE = "#3b86c8", "#e0803a", "#b5bac1"


def latents_figure(
    kl: Tensor,
    of_marginals: Tensor,
    active: Tensor,
    marginals: Sequence[tuple[int, Tensor, Tensor]],
    title: str,
) -> "Figure":
    """Return two diagrams: the KL of each latent as sorted bars, and marginals against the prior.

    The orange part of a bar is KL(q(z_j), N(0, 1)) of the marginal, the rest tells images apart.

    Args:
        kl: Mean KL(q(z_j | x), N(0, 1)) in nats (M,).
        of_marginals: The part of it that is the marginal's (M,).
        active: Which latents are active (M,).
        marginals: Number of a latent, and its marginal density on a grid, z and density (G,).
        title: Above both.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    figure.suptitle(title, fontsize=11)
    _draw_bars(left, kl, of_marginals, active)
    for j, z, density in marginals:
        shown = f"latent {j}: {float(of_marginals[j]):.2g} nats"
        right.plot(z.numpy(), density.numpy(), lw=1.6, label=shown)
    z = torch.linspace(-4, 4, 200)
    normal = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    right.plot(z.numpy(), normal.numpy(), color="black", ls="--", lw=1.4, label="prior N(0, 1)")
    ends = [_ends(z, density) for _, z, density in marginals]
    right.set_xlim(min(-3.5, *(low for low, _ in ends)), max(3.5, *(high for _, high in ends)))
    # one spike, as of few images, must not hide the others
    tops = sorted(float(density.max()) for _, _, density in marginals)
    right.set_ylim(0, max(0.6, min(1.1 * tops[-1], 3 * tops[len(tops) // 2])))
    right.set(title="aggregate posterior: KL(q(z_j), N(0, 1))", xlabel="value of the latent")
    right.set(ylabel="density over the test images")
    right.legend(fontsize=8)
    right.grid(alpha=0.3)
    return figure


def _ends(z: Tensor, density: Tensor) -> tuple[float, float]:
    """Return between which values 99.8 % of the mass are."""
    share = density.cumsum(0) / density.sum()
    at = torch.searchsorted(share, torch.tensor([0.001, 0.999], dtype=share.dtype))
    low, high = z[at.clamp(max=len(z) - 1)].tolist()
    return low, high


def _draw_bars(axes: Any, kl: Tensor, of_marginals: Tensor, active: Tensor) -> None:
    order, places = kl.argsort(descending=True), range(len(kl))
    on, total, mismatch = active[order], kl[order], of_marginals[order]
    told = (total - mismatch).clamp(min=0)
    chosen: Mapping[str, Tensor] = {ACTIVE: on, INACTIVE: ~on}
    names = {ACTIVE: f"active ({int(on.sum())})", INACTIVE: f"not active ({int((~on).sum())})"}
    width = 0.85 if len(kl) <= 3 * NAMED else 1.0
    for colour, which in chosen.items():
        if bool(which.any()):
            heights = torch.where(which, told, 0).numpy()
            axes.bar(places, heights, width, color=colour, label=names[colour])
    axes.bar(
        places, mismatch.numpy(), width, told.numpy(), color=MISMATCH,
        label="of it KL(q(z_j), N(0, 1))",
    )  # fmt: skip
    if len(kl) <= NAMED:
        axes.set_xticks(places, [str(j) for j in order.tolist()], fontsize=8)
    axes.set(title="KL(q(z_j | x), N(0, 1)), mean over the test images", ylabel="nats")
    axes.set_xlabel("latent, by its number" if len(kl) <= NAMED else "latents, sorted")
    axes.legend(fontsize=8)
    axes.grid(axis="y", alpha=0.3)
