"""What pages of gdl share: a template filled in one pass, data as JSON, and the look.

A page is one file that needs neither a server nor a network. Texts of a run, which may be a stranger's,
are data in it: they are escaped, and no part of the page is looked up in them.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["BASE_CSS", "as_json", "fill"]

BASE_CSS = Path(__file__).parent / "base.css"
"""Colours, light and dark, and the look of headings, notes and what has the focus."""


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with each {{name}} replaced, in one pass: text of a part is not looked at."""
    return re.sub(r"{{(\w+)}}", lambda m: parts[m[1]], template)


def as_json(content: Any) -> str:
    """Return strict JSON for a script element, which no text in it can end."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
