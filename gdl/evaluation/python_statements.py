r"""Where a statement of Python ends, and whether Python's parser accepts it. No code is run.

>>> statement("def f(x):\n    return x\n\nprint(f(1))\n", "def ")
('def f(x):\n    return x\n', True)
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence

__all__ = ["problems", "statement"]

PARTS = re.compile(
    r"""
      \#[^\n]*
    | (?P<open_string> (?P<quotes>\"{3}|'{3}) (?: (?:[^\\]|\\.)*? (?P<closed>(?P=quotes)) )? )
    | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*'
    | \\\r?\n
    | (?P<open>[(\[{]) | (?P<close>[)\]}])
    | (?P<newline>\n)
    """,
    re.VERBOSE | re.DOTALL,
)
"""What can hide the end of a line, and the end itself; strings of one line, comments and \\ first."""

CLAUSES = {
    "if": ("elif", "else"),
    "for": ("else",),
    "while": ("else",),
    "async": ("else",),
    "try": ("except", "else", "finally"),
}
"""What goes on a compound statement without being indented, by its first word."""

PROGRAM = """
import ast, json, sys
for before, text in json.load(sys.stdin):
    try:
        ast.parse(before + text)
        found = None
    except SyntaxError as e:
        found = f"line {max(1, (e.lineno or 1) - len(before.splitlines()))}: {e.msg}"
    except (ValueError, RecursionError, MemoryError, OverflowError, SystemError) as e:
        found = f"{type(e).__name__}: {e}"
    print(json.dumps(found), flush=True)
"""
"""Runs in a process of its own: some texts make the parser take hours, or end its process."""

INDENTED = re.compile(r"(?:[^\S\n]*(?:#[^\n]*)?\n)*[ \t]+[^\s#]")
"""A text whose first line with code is indented."""


def statement(text: str, prompt: str) -> tuple[str, bool]:
    """Return the statement that a prompt begins, and whether it came to its end in the text.

    The prompt's line is its last one that is neither blank nor a comment alone; of a prompt without
    one, it is the first such line behind it. The statement ends in front of the first later line that
    is not indented deeper than the prompt's line. These lines do not end it: those that are blank or a
    comment alone, those within brackets, within a string of several lines or behind a backslash, the
    line that a decorator belongs to, and else, elif, except and finally where the statement can have
    such a part. What comes before the statement in the prompt stays.

    Without such a line the text is cut behind its last whole line, if that ends behind the prompt.

    Args:
        text: Begins with the prompt.
        prompt: The beginning.
    """
    given = len(prompt.rstrip())
    base: int | None = None
    first, stop, decorated = "", 0, False
    for start, end in _logical_lines(text):
        line = text[start:end]
        content = line.lstrip()
        if not content or content.startswith("#"):
            continue
        indent = len(line[: -len(content)].expandtabs(8))
        word = re.match(r"\w*", content)
        own = word[0] if word else ""
        if base is None or start < given:
            base, first = indent, own
        elif indent <= base:
            goes_on = decorated or own in CLAUSES.get(first, ())
            if indent < base or not goes_on:
                return text[:stop], True
        if indent == base:
            decorated = content.startswith("@")
        stop = end
    whole = text.rfind("\n") + 1
    return (text[:whole] if whole > given else text), False


def _logical_lines(text: str) -> Iterator[tuple[int, int]]:
    """Yield where lines begin and end, its new line included; brackets and strings join them."""
    start = depth = 0
    for part in PARTS.finditer(text):
        if part["open_string"] and not part["closed"]:
            break  # the rest is a string
        if part["open"]:
            depth += 1
        elif part["close"]:
            depth = max(0, depth - 1)
        elif part["newline"] and not depth:
            yield start, part.end()
            start = part.end()
    yield start, len(text)


def problems(texts: Sequence[str], seconds: float = 20) -> list[str | None]:
    """Return what Python's parser, `ast.parse`, has against each text; None where it accepts it.

    Args:
        texts: Statements; those that are indented are parsed as if they stood in a block.
        seconds: The longest time that it has for them. A text that takes longer, or that ends the
            parser's process, is not accepted, and the next ones are parsed in another process.
    """
    sources = [("if True:\n" if INDENTED.match(text) else "", text) for text in texts]
    found: list[str | None] = []
    while len(found) < len(sources):
        command = [sys.executable, "-I", "-W", "ignore", "-c", PROGRAM]
        content = json.dumps(sources[len(found) :], allow_nan=False).encode()
        why = "it ends the parser"
        try:
            answers = subprocess.run(
                command,
                input=content,
                timeout=seconds,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ).stdout
        except subprocess.TimeoutExpired as e:
            answers, why = e.stdout or b"", f"the parser takes more than {seconds:g} s"
        lines = answers.split(b"\n")[:-1]  # the last one is empty, or was cut off
        found += [json.loads(line) for line in lines]
        found += [why] if len(found) < len(sources) else []
    return found
