"""Diagrams of numbers against a setting that was swept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # half a second to import

__all__ = ["Interval", "SweepLine", "sweep_figure"]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds.

    Args:
        mean: The mean.
        half: Half the length of its 95 % interval; None for one run.
        n: Number of runs.
    """

    mean: float
    half: float | None
    n: int


@dataclass(frozen=True)
class SweepLine:
    """Runs that differ only in a setting and in the seed.

    Args:
        model: Name of the model.
        differs: The other settings that differ from those of other lines, as one text.
        points: Value of the setting, and numbers by their key.
    """

    model: str
    differs: str
    points: Sequence[tuple[Any, Mapping[str, Interval | None]]]

    @property
    def label(self) -> str:
        """A name for legends."""
        return f"{self.model} {self.differs}".strip()


def sweep_figure(
    lines: Sequence[SweepLine],
    key: str,
    names: Mapping[str, str],
    plane: tuple[str, str] | None,
    title: str,
) -> "Figure":
    """Return a diagram for each number, with 95 % intervals, and one of rate and distortion.

    Args:
        lines: The runs.
        key: The setting, on the horizontal axis.
        names: Titles of the diagrams by the key of the number.
        plane: Keys of rate and distortion in nats, None without this diagram.
        title: Above all.
    """
    from matplotlib.figure import Figure

    count = len(names) + (plane is not None)
    columns = min(3, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.8 * columns, 3.9 * rows + 0.5), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flatten())
    seeds = {i.n for line in lines for _, found in line.points for i in found.values() if i}
    over = " to ".join(str(n) for n in sorted({min(seeds), max(seeds)})) if seeds else "0"
    figure.suptitle(f"{title}; mean and 95 % interval over seeds (n = {over})", fontsize=11)
    places = _places([x for line in lines for x, _ in line.points])
    used = panels[:count]
    if plane is not None:
        _draw_plane(used.pop(0), lines, key, *plane)
    for axes, (number, name) in zip(used, names.items(), strict=True):
        for line in lines:
            known = [(places[_text(x)], i) for x, found in line.points if (i := found.get(number))]
            _errorbar(axes, [x for x, _ in known], [i for _, i in known], label=line.label)
        axes.set(title=name, xlabel=key)
        _scale(axes, places)
    for axes in panels[:count]:
        axes.grid(alpha=0.3)
        if len(lines) > 1:
            axes.legend(fontsize=8)
    for axes in panels[count:]:
        axes.axis("off")
    return figure


def _places(values: Sequence[Any]) -> dict[str, float]:
    """Return where each value stands on an axis: numbers at their place, others side by side."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return {f"{v:g}": float(v) for v in sorted(values)}
    return {text: float(i) for i, text in enumerate(dict.fromkeys(map(_text, values)), 1)}


def _text(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if is_number else str(value)


def _scale(axes: Any, places: Mapping[str, float]) -> None:
    numbers = list(places.values())
    if min(numbers) > 0 and max(numbers) >= 8 * min(numbers):
        axes.set_xscale("log", base=2)
    if len(numbers) <= 12:
        axes.set_xticks(numbers, list(places))
        axes.minorticks_off()


def _errorbar(axes: Any, at: Sequence[float], found: Sequence[Interval], **style: Any) -> None:
    halves = [i.half or 0.0 for i in found]
    axes.errorbar(at, [i.mean for i in found], halves, marker="o", capsize=4, lw=1.5, **style)


def _draw_plane(
    axes: Any, lines: Sequence[SweepLine], key: str, rate: str, distortion: str
) -> None:
    """Draw rate and distortion; on a dashed line their sum, the negative ELBO, is constant."""
    for line in lines:
        known = [(x, r, d) for x, f in line.points if (r := f[rate]) and (d := f[distortion])]
        xs, ys = [r.mean for _, r, _ in known], [d.mean for *_, d in known]
        wide, tall = [r.half or 0.0 for _, r, _ in known], [d.half or 0.0 for *_, d in known]
        axes.errorbar(xs, ys, tall, wide, marker="o", capsize=3, lw=1.2, label=line.label)
        for x, r, d in known:
            offset, name = (6, 6), f"{key.rpartition('.')[2]}={_text(x)}"
            axes.annotate(name, (r.mean, d.mean), offset, textcoords="offset points", fontsize=8)
    from matplotlib.ticker import MaxNLocator

    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for total in MaxNLocator(6).tick_values(left + low, right + high):
        start, end = max(left, total - high), min(right, total - low)
        if start < end:
            ends = ([start, end], [total - start, total - end])
            axes.plot(*ends, color="grey", lw=0.7, ls="--", zorder=0)
            middle = (start + end) / 2
            axes.annotate(
                f"ELBO {-total:g}", (middle, total - middle), (2, 2), fontsize=7, color="grey",
                textcoords="offset points",
            )  # fmt: skip
    axes.set(xlim=(left, right), ylim=(low, high), title="rate and distortion")
    axes.set(xlabel="rate KL(q(z | x), p(z)), nats", ylabel="distortion E[-log p(x | z)], nats")
