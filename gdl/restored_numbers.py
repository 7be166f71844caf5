"""The numbers of restored images in metrics.json: their keys, their tables and what they say.

Keys are restoration-{corruption}/{method}/{number}, where the method "model" is the run's own and all
others but its draws are baselines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = [
    "BITS",
    "NUMBERS",
    "PREFIX",
    "baselines_of",
    "best_baseline",
    "bits_told",
    "cells",
    "name_of",
    "restored",
    "verdict",
]

PREFIX = "restoration-"

NUMBERS = {
    "psnr": ("PSNR, dB", 2),
    "ssim": ("SSIM", 3),
    "hole_psnr": ("PSNR in holes, dB", 2),
    "hole_ssim": ("SSIM in holes", 3),
    "consistency_error": ("consistency error", 4),
    "colourfulness": ("colourfulness", 1),
}
"""What is told of every method: its name in a table, and digits."""

BITS = "bits-"
"""What keys begin with of bits per unknown value, given what is known; how they are found follows."""

NAMES = {
    "gaussian": "Gaussian filter",
    "median": "median filter",
    "total_variation": "total variation",
    "mean_fill": "training mean",
    "harmonic_fill": "harmonic fill",
    "grey_copy": "grey copy",
    "mean_colour": "mean colour",
    "pca": "PCA posterior mean",
    "draw": "model, one draw",
    "original": "originals",
}
"""Names of methods where they are not their key."""

OWN = ("model", "draw", "best_of_", "original")
"""What the keys of the methods that are no baselines begin with."""

Methods = dict[str, dict[str, float]]
"""Numbers by method."""


def restored(metrics: Mapping[str, Any]) -> dict[str, Methods]:
    """Return the finite numbers by corruption and method, in the order of the keys.

    >>> restored({"restoration-noise/pca/psnr": 20.5, "test/nll": 3.0})
    {'noise': {'pca': {'psnr': 20.5}}}
    """
    found: dict[str, Methods] = {}
    for key, value in metrics.items():
        parts = key.removeprefix(PREFIX).split("/")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key.startswith(PREFIX) and len(parts) == 3 and number and math.isfinite(value):
            found.setdefault(parts[0], {}).setdefault(parts[1], {})[parts[2]] = value
    return found


def name_of(method: str, numbers: Mapping[str, float] | None = None) -> str:
    """Return what a method is called in a table, with the settings that validation images chose.

    >>> name_of("gaussian", {"psnr": 20.0, "psnr_se": 0.1, "width": 0.8}), name_of("best_of_8")
    ('Gaussian filter (width 0.8)', 'model, best of 8 draws')
    """
    name = NAMES.get(method, method.replace("_", " "))
    if method.startswith("best_of_"):
        name = f"model, best of {method.removeprefix('best_of_')} draws"
    if method.startswith(OWN) or numbers is None:
        return name
    chosen = {k: v for k, v in numbers.items() if k not in NUMBERS and not k.endswith("_se")}
    settings = ", ".join(f"{k} {v:g}" for k, v in chosen.items())
    return f"{name} ({settings})" if settings else name


def baselines_of(methods: Methods) -> Methods:
    """Return the methods that are baselines."""
    return {name: numbers for name, numbers in methods.items() if not name.startswith(OWN)}


def best_baseline(methods: Methods) -> str | None:
    """Return the baseline with the highest PSNR; None if there are none."""
    known = {name: n["psnr"] for name, n in baselines_of(methods).items() if "psnr" in n}
    return max(known, key=lambda name: known[name], default=None)


def bits_told(methods: Methods) -> list[str]:
    """Return a sentence for each kind of bits per unknown value that the model has."""
    own = methods.get("model", {})
    return [
        f"{_cell(own, key)} {_title(key)}"
        for key in own
        if key.startswith(BITS) and not key.endswith("_se")
    ]


def cells(methods: Methods, bits: bool = True) -> tuple[list[str], dict[str, list[str]]]:
    """Return the columns of a table, and a row of cells for each method, the highest PSNR first.

    Args:
        methods: Numbers by method.
        bits: Whether bits per unknown value have columns.
    """
    keys = {key for numbers in methods.values() for key in numbers}
    columns = [key for key in NUMBERS if key in keys]
    if bits:
        columns += sorted(k for k in keys if k.startswith(BITS) and not k.endswith("_se"))
    order = sorted(methods, key=lambda name: -methods[name].get("psnr", -math.inf))
    rows = {name: [_cell(methods[name], key) for key in columns] for name in order}
    names = [_title(key) for key in columns]
    return names, rows


def _title(key: str) -> str:
    kind = key.removeprefix(BITS)
    return NUMBERS[key][0] if key in NUMBERS else f"bits per unknown value, {kind}"


def _cell(numbers: Mapping[str, float], key: str) -> str:
    if key not in numbers:
        return "-"
    digits, error = NUMBERS.get(key, ("", 3))[1], numbers.get(f"{key}_se")
    return f"{numbers[key]:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")


def verdict(methods: Methods) -> tuple[bool, str] | None:
    """Return whether the model beats all baselines, and a sentence; None without both."""
    best, own = best_baseline(methods), methods.get("model", {}).get("psnr")
    if best is None or own is None:
        return None
    gain = own - methods[best]["psnr"]
    error = methods["model"].get("gain_se")
    # of the same images, so it is smaller than the errors of both
    by = f"{abs(gain):.2f}" + ("" if error is None else f" ± {error:.2f}") + " dB"
    if gain > 0:
        return True, f"The model beats all baselines, the best of them, {name_of(best)}, by {by}."
    return False, (
        f"The model does not beat all baselines: {name_of(best)} is better by {by}. Train it longer, "
        "or on this very corruption."
    )
