"""A text that is shown while it is drawn."""

import codecs
from collections.abc import Callable

from gdl.data.alphabets import Alphabet
from gdl.families.growing import as_symbols, ended, without_stop

__all__ = ["LiveText"]


class LiveText:
    """Shows the symbols of a text as they come, up to the stop.

    What may be the beginning of the stop, or of a character of several bytes, waits for what follows.

    Args:
        alphabet: The symbols.
        end: The stop, a symbol in each byte; empty for none.
        show: Called with the next characters.
    """

    def __init__(self, alphabet: Alphabet, end: bytes, show: Callable[[str], None]) -> None:
        self._alphabet, self._end, self._shown, self._show = alphabet, end, 0, show
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def show(self, row: bytearray) -> None:
        """Show what is certain of the symbols drawn so far."""
        waits = len(self._end) if ended(row, self._end) else _beginning(row, self._end)
        self._up_to(row, len(row) - waits)

    def close(self, row: bytearray) -> None:
        """Show the rest of the symbols."""
        self._up_to(row, len(without_stop(row, self._end)))
        self._show(self._decoder.decode(b"", final=True))

    def _up_to(self, row: bytearray, stop: int) -> None:
        content = self._alphabet.content(as_symbols(row[self._shown : stop]))
        self._shown = max(self._shown, stop)
        self._show(self._decoder.decode(content))


def _beginning(own: bytearray, end: bytes) -> int:
    """Return the length of the longest beginning of `end` with which `own` ends."""
    return next((k for k in range(len(end) - 1, 0, -1) if own.endswith(end[:k])), 0)
