"""The numbers of texts in metrics.json, and what they are called where they are printed."""

__all__ = ["STREAM", "STREAM_CODES", "TEXTS", "name_of_text"]

STREAM = "stream-"
"""What keys begin with that hold bits per byte of a whole text; the stride follows."""

STREAM_CODES = f"{STREAM}codes"
"""What keys begin with that hold the same of general compressors; the name of one follows."""

STREAMED = {
    "bits_per_byte": "bits per byte of the whole text",
    "bits_per_character": "bits per character",
    "nats_per_character": "nats per character",
    "bytes": "bytes of the text",
}
"""What the keys of numbers of a whole text end with, and their names."""

WINDOWS = "windows-"
"""What keys begin with that hold the nll of windows of a text for each symbol; their length follows."""

PARSES = "parses-"
"""What keys begin with that hold shares of code that parses; the prompt follows."""

PARSED = {
    "share": "completions that parse",
    "ended": "completions that end",
    "completions": "completions",
    "held_out": "held-out code that parses",
    "held_out_ended": "held-out code that ends",
    "statements": "held-out statements",
}
"""What the keys of shares of code end with, and their names."""

TEXTS = (STREAM, WINDOWS, PARSES)
"""What keys of metrics.json begin with that hold numbers of texts."""


def name_of_text(kind: str, rest: str) -> str | None:
    """Return what a number of a text is called, None if it is not printed.

    Args:
        kind: What stands in its key before the first slash; it begins with one of `TEXTS`.
        rest: What stands behind it.

    >>> name_of_text("stream-128", "bits_per_byte"), name_of_text("stream-codes-val", "xz")
    ('stream-128: bits per byte of the whole text', 'xz (val): bits per byte')
    """
    if kind.startswith(STREAM_CODES):
        split = kind.removeprefix(STREAM_CODES)[1:]
        return f"{rest} ({split}): bits per byte" if split else f"{rest}: bits per byte"
    if kind.startswith(WINDOWS):
        told = "nats per symbol, with nothing before a window"
        return f"{kind}: {told}" if rest == "nats_per_symbol" else None
    names = STREAMED if kind.startswith(STREAM) else PARSED
    return f"{kind}: {names[rest]}" if rest in names else None
