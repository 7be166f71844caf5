"""Histograms and ROC curves of scores of images."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gdl.plots.figures import save_figure

__all__ = ["save_scores"]


def save_scores(
    scores: Mapping[str, tuple[Tensor, Tensor]], path: Path, foreign: str, about: str = ""
) -> Path:
    """Write histograms of each score, of own and of foreign images, and the ROC curves, as one PNG.

    The ends of an axis are where 99 % of all values lie between; what is beyond is in the last bars.

    Args:
        scores: By name, scores (N,) of own images and (M,) of foreign ones; higher is more foreign.
        path: The file.
        foreign: What the foreign images are called.
        about: What the scores are of, e.g. "vae on mnist".
    """
    from matplotlib.figure import Figure  # half a second to import

    columns = min(3, len(scores) + 1)
    rows = -(-(len(scores) + 1) // columns)
    figure = Figure(figsize=(4 * columns, 3 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    curves = panels[len(scores)]
    for panel, (name, (own, other)) in zip(panels, scores.items(), strict=False):
        both = torch.cat([own, other]).double()
        finite = both[both.isfinite()]
        ends = torch.tensor([0.005, 0.995]).double()
        low, high = finite.quantile(ends).tolist() if len(finite) else (0.0, 1.0)
        bins = torch.linspace(low, high if high > low else low + 1, 60).numpy()
        for values, label in ((own, "own"), (other, foreign)):
            shown = values.double().nan_to_num(nan=high).clamp(bins[0], bins[-1])
            filled = {"histtype": "stepfilled", "density": True, "alpha": 0.55}
            panel.hist(shown.numpy(), bins, label=label, **filled)
        panel.set(title=name, yticks=[], xlabel="score, higher is more foreign")
        panel.legend(fontsize="small", loc="upper right")
        grid = both.nan_to_num(nan=torch.inf).unique().flip(0)
        above = lambda x, t=grid: (  # noqa: E731
            1 - torch.searchsorted(x.double().nan_to_num(nan=torch.inf).sort().values, t) / len(x)
        )
        fpr, tpr = (torch.cat([torch.zeros(1), above(x)]) for x in (own, other))
        area = float(torch.trapezoid(tpr, fpr))
        curves.plot(fpr.numpy(), tpr.numpy(), label=f"{name}, area {area:.3f}")
    curves.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
    curves.set(title="ROC", xlabel="own images called foreign", ylabel=f"{foreign} found")
    curves.legend(fontsize="small", loc="lower right")
    panels[0].set_ylabel("density")
    for panel in panels[len(scores) + 1 :]:
        panel.axis("off")
    sizes = [len(x) for x in next(iter(scores.values()), ())]
    if sizes:
        figure.suptitle(f"scores of {sizes[0]} own images and {sizes[1]} of {foreign}")
    return save_figure(figure, path, about)
