"""Which latents know which factors, as tables of colours."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # half a second to import

__all__ = ["latents_and_factors"]

MOST_ROWS = 40
"""Latents that are shown, those that know most."""


def latents_and_factors(
    information: Tensor, importance: Tensor, factors: Sequence[str], title: str
) -> "Figure":
    """Draw mutual information and importance of each latent and factor, side by side.

    Below each factor stand its best two latents, z0 the first of all, with their numbers.

    Args:
        information: I(z; v) / H(v) (L, F).
        importance: The importances (L, F) of DCI; the columns sum to 1.
        factors: Names of the factors.
        title: One line above.
    """
    from matplotlib.figure import Figure  # half a second to import

    most = information.max(1).values.topk(min(MOST_ROWS, len(information))).indices
    rows = most.sort().values
    width, height = 3 + 1.25 * len(factors), 2.6 + 0.32 * len(rows)
    figure = Figure(figsize=(max(8.0, 2 * width), height), layout="constrained")
    left, right = figure.subplots(1, 2)
    hidden = len(information) - len(rows)
    note = f" ({hidden} latents that know less are not shown)" if hidden else ""
    figure.suptitle(f"{title}{note}")
    _draw(left, information, rows, factors, "mutual information / entropy of the factor")
    _draw(right, importance, rows, factors, "importance (DCI)")
    return figure


def _draw(axes: Any, values: Tensor, rows: Tensor, factors: Sequence[str], title: str) -> None:
    shown = values[rows]
    image = axes.imshow(shown.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.figure.colorbar(image, ax=axes)
    axes.set(title=title, xlabel="factor, and its best two latents", ylabel="latent")
    labels = [f"{n}\n{_best_two(values[:, k])}" for k, n in enumerate(factors)]
    axes.set_xticks(range(len(factors)), labels, fontsize=8)
    axes.set_yticks(range(len(rows)), [f"z{j}" for j in rows.tolist()], fontsize=8)
    for i, row in enumerate(shown.tolist()):
        for k, value in enumerate(row):
            colour = "white" if value > 0.5 else "black"
            axes.text(k, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)


def _best_two(column: Tensor) -> str:
    """Return the best two latents of a factor with their numbers, one a line."""
    best = column.topk(min(2, len(column)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return "\n".join(f"z{j} {value:.2f}" for j, value in pairs)
