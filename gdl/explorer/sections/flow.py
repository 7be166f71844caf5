"""Section flow of the page."""

from typing import Any

from gdl.explorer.subject import Subject

__all__ = ["content"]


def content(subject: Subject) -> dict[str, Any] | None:
    """Return what the section shows; None if it has nothing to show."""
    return None
