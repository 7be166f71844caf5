"""Checks of the options of corruptions."""

from collections.abc import Sequence
from typing import Any

from gdl.errors import GdlError

__all__ = ["check_choice", "check_fraction", "check_number", "check_whole"]


def check_number(key: str, value: Any, low: float = 0.0) -> None:
    """Refuse what is no number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < 1e9:
        raise GdlError(f"{key}={value} does not fit: give a number of at least {low:g}.")


def check_fraction(key: str, value: Any) -> None:
    """Refuse what is no number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise GdlError(f"{key}={value} does not fit: give a number from 0 to 1.")


def check_whole(key: str, value: Any, low: int) -> None:
    """Refuse what is no whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise GdlError(f"{key}={value} does not fit: give a whole number of at least {low}.")


def check_choice(key: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise GdlError(f"{key}={value} does not exist: use {' or '.join(choices)}.")
