"""Writes grids of images and animations; no other file draws."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.utils import make_grid

__all__ = [
    "save_animation",
    "save_classification",
    "save_grid",
    "save_result",
    "save_scores",
    "save_sheet",
]

MIN_SIDE = 32


def _to_pixels(x: Tensor, levels: int | None) -> Tensor:
    """Map images (N, C, H, W) in [0, levels - 1] to uint8 RGB, small images enlarged.

    Without levels they are densities (N, 1, H, W) in [0, 1] and are shown in colours.
    """
    if levels is None:
        from matplotlib import colormaps  # half a second to import

        rgba = torch.from_numpy(
            colormaps["magma"](x.detach().cpu().squeeze(1).numpy(), bytes=True)
        )
        return rgba[..., :3].movedim(-1, 1)
    y = (x.detach().cpu().float() / (levels - 1) * 255).round().clamp(0, 255).to(torch.uint8)
    factor = max(1, round(MIN_SIDE / min(y.shape[-2:])))
    y = y.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    return y.expand(-1, 3, -1, -1) if y.shape[1] == 1 else y[:, :3]


def _grid(x: Tensor, levels: int | None, columns: int) -> Image.Image:
    grid = make_grid(_to_pixels(x, levels), nrow=columns, padding=2, pad_value=128)
    return Image.fromarray(grid.permute(1, 2, 0).numpy())


def save_grid(x: Tensor, path: Path, levels: int | None, columns: int | None = None) -> Path:
    """Write images as one PNG, row by row.

    Args:
        x: (N, C, H, W) with values in [0, levels - 1], integer or floating point, or densities.
        path: The file.
        levels: Number of values that a pixel can have; None for densities in [0, 1].
        columns: Images in a row; by default as many as rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _grid(x, levels, columns or round(len(x) ** 0.5)).save(path)
    return path


def save_animation(
    frames: Sequence[Tensor], path: Path, levels: int | None, columns: int, seconds: float = 4.0
) -> Path:
    """Write a GIF that runs forwards and backwards; a frame is a grid of images as in `save_grid`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [_grid(frame, levels, columns) for frame in frames]
    pictures += pictures[-2:0:-1]
    duration = max(20, int(1000 * seconds / len(pictures)))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, loop=0)
    return path


def save_result(images: Tensor, folder: Path, name: str, levels: int | None) -> list[Path]:
    """Write the result of a task, images (rows, columns, C, H, W), as a PNG.

    If the name starts with "moving_", the columns also become the frames of a GIF. If it starts with
    "film_", only the GIF is written.

    Args:
        images: (rows, columns, C, H, W) with values as in `save_grid`.
        folder: Folder of the files.
        name: Name of the result; its prefix is not part of the name of the file.
        levels: See `save_grid`.

    Returns:
        The files.
    """
    rows, columns = images.shape[:2]
    kind, _, rest = name.partition("_")
    stem = rest if kind in ("moving", "film") else name
    written = []
    if kind != "film":
        written.append(save_grid(images.flatten(0, 1), folder / f"{stem}.png", levels, columns))
    if kind in ("moving", "film"):
        side = round(rows**0.5)
        written.append(save_animation(images.unbind(1), folder / f"{stem}.gif", levels, side))
    return written


def save_scores(scores: Mapping[str, tuple[Tensor, Tensor]], path: Path, foreign: str) -> Path:
    """Write histograms of each score, of own and of foreign images, and the ROC curves, as one PNG.

    The ends of an axis are where 99 % of all values lie between; what is beyond is in the last bars.

    Args:
        scores: By name, scores (N,) of own images and (M,) of foreign ones; higher is more foreign.
        path: The file.
        foreign: What the foreign images are called.
    """
    from matplotlib.figure import Figure  # half a second to import

    columns = min(3, len(scores) + 1)
    rows = -(-(len(scores) + 1) // columns)
    figure = Figure(figsize=(4 * columns, 3 * rows), layout="constrained")
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
        panel.set(title=name, yticks=[])
        panel.legend(fontsize="small", loc="upper right")
        grid = both.nan_to_num(nan=torch.inf).unique().flip(0)
        above = lambda x, t=grid: (  # noqa: E731
            1 - torch.searchsorted(x.double().nan_to_num(nan=torch.inf).sort().values, t) / len(x)
        )
        fpr, tpr = (torch.cat([torch.zeros(1), above(x)]) for x in (own, other))
        curves.plot(fpr.numpy(), tpr.numpy(), label=name)
    curves.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
    curves.set(title="ROC", xlabel="own images called foreign", ylabel=f"{foreign} found")
    curves.legend(fontsize="small", loc="lower right")
    for panel in panels[len(scores) + 1 :]:
        panel.axis("off")
    figure.savefig(path, dpi=100)
    return path


def save_sheet(x: Tensor, labels: Sequence[str], path: Path, levels: int | None) -> Path:
    """Write a contact sheet, images (N, C, H, W) in rows with a short label below each, as one PNG."""
    pixels = _to_pixels(x, levels)
    height, width = pixels.shape[-2:]
    cell_w, cell_h = max(width, 44) + 6, height + 16
    columns = max(1, round((len(x) * cell_h / cell_w) ** 0.5))
    rows = -(-len(x) // columns)
    sheet = Image.new("RGB", (columns * cell_w, rows * cell_h), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        left, top = i % columns * cell_w, i // columns * cell_h
        image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
        sheet.paste(image, (left + (cell_w - width) // 2, top + 2))
        draw.text((left + cell_w // 2, top + height + 3), label, fill="black", anchor="ma")
    sheet.save(path)
    return path


def save_classification(
    path: Path,
    curves: Mapping[str, Sequence[tuple[float, float, float]]],
    reliabilities: Mapping[str, tuple[Tensor, Tensor]],
    confusion: Tensor,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Write three diagrams of classifiers side by side as a PNG.

    The first shows accuracies against the number of training labels, the second the accuracy in bins
    of the confidence, the third which classes the first classifier takes for which.

    Args:
        path: The file.
        curves: Labels per class, accuracy and its standard error, by the name of the classifier. The
            first classifier is drawn thickest.
        reliabilities: Mean confidence and accuracy of each bin, by the name of the classifier.
        confusion: Numbers of images (K, K), rows are the true classes.
        class_names: Names of the classes, by default their numbers.
    """
    from matplotlib.figure import Figure  # half a second to import

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    style = lambda i, name: {"label": name, "marker": "o", "lw": 1.5 + 1.5 * (i == 0)}  # noqa: E731
    for i, (name, curve) in enumerate(curves.items()):
        left.errorbar(*zip(*sorted(curve), strict=True), capsize=3, **style(i, name))
    left.set(title="generative and discriminative", xscale="log")
    left.set(xlabel="training labels per class", ylabel="accuracy on the test images")
    middle.plot([0, 1], [0, 1], color="grey", lw=1, ls="--")
    for i, (name, (confidence, accuracy)) in enumerate(reliabilities.items()):
        middle.plot(confidence.numpy(), accuracy.numpy(), **style(i, name))
    middle.set(title="reliability: calibrated on the dashed line", xlim=(0, 1.02), ylim=(0, 1.02))
    middle.set(xlabel="confidence", ylabel="accuracy")
    for axes in (left, middle):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    _draw_confusion(right, confusion, class_names or [str(c) for c in range(len(confusion))])
    right.set_title(f"images by class: {next(iter(curves))}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _draw_confusion(axes: Any, confusion: Tensor, names: Sequence[str]) -> None:
    share = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(confusion) > 20:
        return  # no room for numbers
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(names)), names)
    for row, column in torch.cartesian_prod(*[torch.arange(len(confusion))] * 2).tolist():
        colour = "white" if share[row, column] > 0.5 else "black"
        text = str(int(confusion[row, column]))
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
