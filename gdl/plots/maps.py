"""Maps: images as points in the plane, coloured by class."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # half a second to import

__all__ = ["draw_maps"]

UNKNOWN = "#b8b8b8"
"""The colour of points whose class is not known."""

MOST_NAMED = 40
"""With more classes there is no legend, whose colours nobody could tell apart."""

ACROSS = 20
"""Thumbnails that fit beside each other into a map."""

PIXELS = 48
"""The longer side of a thumbnail, before the figure is written."""


def draw_maps(
    maps: Mapping[str, Tensor],
    y: Tensor | None,
    class_names: Sequence[str],
    thumbnails: Tensor | None = None,
    title: str = "",
) -> "Figure":
    """Return maps side by side, with one legend.

    A map whose points would else be pressed together by a few that are far away shows where 98 % of
    them lie in each direction.

    Args:
        maps: Points (N, 2) by the title of their map.
        y: Classes (N,), -1 where unknown; None for points of one colour.
        class_names: Name of each class.
        thumbnails: Images (N, C, H, W) in [0, 1], drawn at points that are far enough from each other.
        title: One line above all.
    """
    from matplotlib.figure import Figure

    columns = 2 if len(maps) == 4 else min(3, len(maps))
    rows = -(-len(maps) // columns)
    figure = Figure(figsize=(5.6 * columns + 1.4, 5.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    colours = _colours(len(class_names))
    of_point = None if y is None else [colours[k] if k >= 0 else UNKNOWN for k in y.tolist()]
    for axes, (name, points) in zip(panels, maps.items(), strict=False):
        _draw_map(axes, points, of_point or colours[0], thumbnails)
        axes.set_title(name, fontsize=11)
    for axes in panels[len(maps) :]:
        axes.axis("off")
    if y is not None and len(class_names) <= MOST_NAMED:
        _draw_legend(figure, y, class_names, colours)
    figure.suptitle(title)
    return figure


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    for name, most in (("tab10", 10), ("tab20", 20)):
        if count <= most:
            return [colormaps[name](k) for k in range(max(1, count))]
    return [colormaps["gist_rainbow"](k / (count - 1)) for k in range(count)]


def _draw_map(axes: Any, points: Tensor, colours: Any, thumbnails: Tensor | None) -> None:
    low, high = _limits(points)
    # a dot for each of a few points, dust for many
    size = min(30.0, max(3.0, 25_000 / len(points)))
    faint = 0.7 if thumbnails is None else 0.25
    x, y = points.T.numpy()
    axes.scatter(x, y, s=size, color=colours, alpha=faint, linewidths=0)
    (left, bottom), (right, top) = low.tolist(), high.tolist()
    if thumbnails is not None:
        sheet = _sheet((points - low) / (high - low), thumbnails, colours).numpy()
        axes.imshow(sheet, extent=(left, right, bottom, top), aspect="auto", zorder=2)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_box_aspect(1)
    axes.tick_params(labelsize=8)


def _limits(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and the upper ends (2,) of the axes."""
    low, high = points.quantile(torch.tensor([0.01, 0.99]).to(points), dim=0)
    if not bool((points.amax(0) - points.amin(0) > 2 * (high - low)).any()):
        low, high = points.amin(0), points.amax(0)
    margin = (0.04 * (high - low)).clamp(min=1e-6)
    return low - margin, high + margin


def _sheet(places: Tensor, images: Tensor, colours: Any) -> Tensor:
    """Return a picture (S, S, 4) in [0, 1] of thumbnails, transparent elsewhere.

    Args:
        places: Points (N, 2) in the unit square.
        images: (N, C, H, W) in [0, 1].
        colours: The colour of all points, or one for each, which frames its thumbnail.
    """
    from matplotlib.colors import to_rgba

    chosen = _apart(places, 1 / ACROSS)
    side = ACROSS * PIXELS
    height, width = images.shape[-2:]
    h, w = (max(2, round(PIXELS * n / max(height, width)) - 4) for n in (height, width))
    small = F.interpolate(images[chosen].float(), (h, w), mode="nearest")
    # two channels are no colour: the first is shown as grey
    small = small[:, : 3 if small.shape[1] >= 3 else 1]
    small = small.expand(-1, 3, -1, -1).movedim(1, -1)
    sheet = torch.zeros(side, side, 4)
    for k, image in zip(chosen.tolist(), small, strict=True):
        across, up = places[k].tolist()
        left, top = round(across * side - w / 2), round((1 - up) * side - h / 2)
        left, top = min(max(left, 2), side - w - 2), min(max(top, 2), side - h - 2)
        frame = to_rgba(colours[k] if isinstance(colours, list) else colours)
        sheet[top - 2 : top + h + 2, left - 2 : left + w + 2] = torch.tensor(frame)
        sheet[top : top + h, left : left + w, :3] = image
    return sheet


def _apart(places: Tensor, distance: float) -> Tensor:
    """Return the indices of points (N, 2) in the unit square, no two of which are close.

    Those that come first are taken; two are close if they differ by less in both coordinates.
    """
    # a square at the edge is pushed inside
    inside = places.clamp(distance / 2, 1 - distance / 2)
    free = ((places >= 0) & (places <= 1)).all(1)
    chosen: list[int] = []
    for k in range(len(places)):
        if free[k]:
            chosen.append(k)
            free &= ((inside - inside[k]).abs() >= distance).any(1)
    return torch.tensor(chosen, dtype=torch.long)


def _draw_legend(figure: Any, y: Tensor, names: Sequence[str], colours: Sequence[Any]) -> None:
    from matplotlib.lines import Line2D

    dot = {"marker": "o", "linestyle": "", "markersize": 6}
    seen = y.unique().tolist()
    lines = [Line2D([], [], color=colours[k], label=names[k], **dot) for k in seen if k >= 0]
    if -1 in seen:
        lines.append(Line2D([], [], color=UNKNOWN, label="unknown", **dot))
    columns = 1 + (len(lines) > 20)
    figure.legend(handles=lines, loc="outside right upper", ncols=columns, fontsize=9)
