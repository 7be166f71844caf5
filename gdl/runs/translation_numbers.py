"""The numbers of measure=translation in metrics.json: their keys, names and digits.

Keys are translation/{method}/{number}, or translation-{split}/... of another split than "test". The
methods "model" and "model-{temperature}" are the run's own, the others are baselines.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "ABOUT",
    "PREFIX",
    "columns_of",
    "is_baseline",
    "method_name",
    "own_numbers",
    "row",
    "translated",
]

PREFIX = "translation"

SCORES = {
    "exact": ("exact match, %", 2),
    "chrf": ("chrF", 2),
    "bleu-13a": ("BLEU, 13a", 2),
    "bleu-char": ("BLEU, char", 2),
}
"""What is told of every method: its name in a table, and digits."""

OWN = {
    "nats_per_pair": ("nats per pair", 4),
    "bits_per_symbol": ("bits per target symbol", 4),
    "cut": ("without an end", 0),
}
"""What is told of the model only."""

BASELINES = {"copying": "copying the source", "nearest": "nearest training pair"}

ABOUT = "of 100, higher is better, but for nats and bits; ± is the standard error over the test sources"

Methods = dict[str, dict[str, float]]
"""Numbers by method."""


def translated(metrics: Mapping[str, Any]) -> dict[str, Methods]:
    """Return the finite numbers by split and method, in the order of the keys.

    >>> translated({"translation/copying/exact": 2.5, "translation/pairs": 9, "test/nll": 3.0})
    {'test': {'copying': {'exact': 2.5}}}
    """
    found: dict[str, Methods] = {}
    for key, value in metrics.items():
        first, *rest = key.split("/")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not key.startswith(PREFIX) or len(rest) != 2 or not number or not math.isfinite(value):
            continue
        split = first.removeprefix(PREFIX)[1:] or "test"
        found.setdefault(split, {}).setdefault(rest[0], {})[rest[1]] = value
    return found


def is_baseline(method: str) -> bool:
    """Return whether a method is none of the model's own."""
    return method in BASELINES


def method_name(method: str, model: str = "model") -> str:
    """Return what a method is called in a table.

    >>> method_name("model-0.7"), method_name("copying")
    ('model, drawn at temperature 0.7', 'copying the source')
    """
    own, _, temperature = method.partition("-")
    if own != "model":
        return BASELINES.get(method, method)
    return f"{model}, drawn at temperature {temperature}" if temperature else model


def columns_of(methods: Iterable[Mapping[str, float]], own: bool = True) -> dict[str, str]:
    """Return the keys and the names of the numbers that some methods have.

    Args:
        methods: Their numbers.
        own: Whether those belong to them that only the model has.
    """
    keys = {key for numbers in methods for key in numbers}
    known = SCORES | OWN if own else SCORES
    return {key: name for key, (name, _) in known.items() if key in keys}


def own_numbers(methods: Methods) -> list[str]:
    """Return what is told of the model only, each number with its name."""
    found = []
    for method, numbers in methods.items():
        of = "" if method == "model" else f" ({method_name(method)})"
        known = ((key, name) for key, (name, _) in OWN.items() if key in numbers)
        found += [f"{_cell(numbers, key)} {name}{of}" for key, name in known]
    return found


def row(numbers: Mapping[str, float], columns: Iterable[str]) -> list[str]:
    """Return the numbers of a method as cells."""
    return [_cell(numbers, key) for key in columns]


def _cell(numbers: Mapping[str, float], key: str) -> str:
    if key not in numbers:
        return "-"
    digits, error = (SCORES | OWN)[key][1], numbers.get(f"{key}_se")
    return f"{numbers[key]:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")
