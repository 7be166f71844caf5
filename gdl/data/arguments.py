"""Checks of the values that the command line gives to a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gdl.errors import GdlError

__all__ = [
    "checked_fraction",
    "checked_path",
    "checked_window",
    "held_out_fractions",
    "whole_number",
]


def whole_number(name: str, value: Any, smallest: int = 0, largest: int = 2**31 - 1) -> int:
    """Return a whole number.

    Args:
        name: What it is called on the command line, e.g. "data.batch_size".
        value: The value.
        smallest: The smallest allowed.
        largest: The largest allowed.

    Raises:
        GdlError: It is none, or out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
        raise GdlError(
            f"{name} must be a whole number from {smallest} to {largest}, got {value!r}."
        )
    return value


def checked_fraction(name: str, value: Any, or_one: bool = False) -> float:
    """Return a number between 0 and 1, or 1 itself if that is allowed.

    Raises:
        GdlError: It is none.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (0 < value < 1 or (or_one and value == 1)):
        allowed = "above 0 and at most 1" if or_one else "between 0 and 1"
        raise GdlError(f"{name} must be a number {allowed}, got {value!r}.")
    return value


def held_out_fractions(val: Any, test: Any) -> tuple[float, float]:
    """Return data.val_fraction and data.test_fraction, which leave something for training.

    Raises:
        GdlError: They are no such numbers.
    """
    found = (
        checked_fraction("data.val_fraction", val),
        checked_fraction("data.test_fraction", test),
    )
    if sum(found) >= 1:
        raise GdlError(
            "data.val_fraction and data.test_fraction must be together less than 1, got "
            f"{val} and {test}."
        )
    return found


def checked_window(shape: Sequence[int], length: int | None) -> None:
    """Check the shape (1, 1, L) of windows of a text, and L beside data.length.

    Raises:
        GdlError: They are no such numbers.
    """
    if len(shape) != 3 or tuple(shape[:2]) != (1, 1) or length not in (None, shape[2]):
        raise GdlError(
            f"data.shape must be [1,1,L] for windows of L symbols, got {list(shape)}: leave it "
            "out, and set data.length=L."
        )


def checked_path(name: str, value: Any) -> Path:
    """Return a path, in which ~ is the home folder.

    Raises:
        GdlError: It is none.
    """
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise GdlError(f"{name} must be the path of a file or folder, got {value!r}.")
    return Path(value).expanduser()
