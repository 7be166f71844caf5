"""What data of texts can do; models and commands ask for these protocols."""

from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["HasAlphabet", "HasText", "TakesAlphabet"]


@runtime_checkable
class TakesAlphabet(Protocol):
    """Data that can number their symbols as others do; asking for it reads nothing."""

    def read_with(self, characters: str | None) -> None:
        """Number the symbols as an alphabet does, None for bytes, before they are read."""
        ...


@runtime_checkable
class HasAlphabet(Protocol):
    """Data whose images hold text; a symbol is a pixel."""

    @property
    def characters(self) -> str | None:
        """The alphabet in the order of its numbers, None for bytes; models keep it."""
        ...

    def encode(self, text: str) -> Tensor:
        """Return the symbols (T,) uint8 of a text; a GdlError names characters outside the alphabet."""
        ...

    def decode(self, x: Tensor) -> str:
        """Return the text of symbols of any shape; what is no character becomes U+FFFD."""
        ...


@runtime_checkable
class HasText(HasAlphabet, Protocol):
    """Data whose images are windows of one text."""

    def stream(self, split: str) -> Tensor:
        """Return the whole text (T,) uint8 of a split."""
        ...
