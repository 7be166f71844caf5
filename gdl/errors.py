"""The one exception type for bad input."""

__all__ = ["GdlError"]


class GdlError(ValueError):
    """Input that gdl cannot work with; the message is a sentence that names the fix.

    The entry points print the message without a traceback and exit with code 1. Most other
    exceptions are defects of gdl, whose traceback they write to a file.
    """
