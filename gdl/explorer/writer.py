"""Writes the page of a run: facts, networks and sections, in one HTML file."""

import base64
import hashlib
import re
from html import escape
from math import prod
from pathlib import Path
from typing import Any

from gdl.errors import GdlError
from gdl.explorer.facts import brief_html, facts, facts_html
from gdl.explorer.programs import check, programs
from gdl.explorer.sections import SECTIONS
from gdl.explorer.subject import Subject
from gdl.explorer.weights import packed
from gdl.files import write_atomically
from gdl.webpage import BASE_CSS, as_json, fill

__all__ = ["page_of", "write_page"]

FOLDER = Path(__file__).parent / "page"

IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)


def write_page(subject: Subject, path: Path) -> Path:
    """Write the page of a run and return its path.

    Raises:
        GdlError: The folder does not exist, or the page cannot run the model.
    """
    if not path.parent.is_dir():
        raise GdlError(f"{path.parent} is not a folder, so {path.name} cannot be written there.")
    # names of files may have bytes that are no text
    write_atomically(path, page_of(subject).encode(errors="replace"))
    return path


def page_of(subject: Subject) -> str:
    """Return the page of a run as text.

    Raises:
        Inexpressible: The page cannot run the model.
    """
    model = subject.model
    graphs, weights = programs(model)
    y = None if subject.labels is None else subject.labels[:8]
    check(model, graphs, weights, subject.images[:8], y)
    known = facts(subject)
    content: dict[str, Any] = {
        "facts": known,
        "shape": [*model.shape],
        "levels": model.levels,
        "latent_shape": [*getattr(model, "latent_shape", ())],
        "classes": subject.class_names if model.num_classes else None,
        # the class that stands for an unknown label; null where every image needs one
        "no_class": model.num_classes if model.label_dropout else None,
        "programs": {name: graph.plain() for name, graph in graphs.items()},
        "weights": [packed(weights.tensors)],  # one for each checkpoint
        "sections": {name: section(subject) for name, section in SECTIONS.items()},
    }
    shown = [name for name, section in content["sections"].items() if section is not None]
    script = modules("main")
    size = model.shape[1:] if len(model.shape) == 3 else (1, 1)  # vectors are shown as numbers
    parts = {
        "title": escape(known["title"]),
        "brief": brief_html(known),
        "facts": facts_html(known),
        "hidden": "" if len(model.shape) == 3 else " hidden",
        "latents": str(prod(content["latent_shape"])),
        "height": str(size[0]),
        "width": str(size[1]),
        "sections": "".join((FOLDER / f"{name}.html").read_text() for name in shown),
        "css": "".join(p.read_text() for p in (BASE_CSS, FOLDER / "page.css"))
        + "".join((FOLDER / f"{name}.css").read_text() for name in shown),
        "content": as_json(content),
        "script": script,
        # only this script runs, whatever a text of the run contains
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return fill((FOLDER / "page.html").read_text(), parts)


def modules(name: str) -> str:
    """Return a module of page/ after all that it imports, each once, as one script.

    Imports are whole lines `import { a } from "./b.js";`, exports the word in front of a declaration.
    """
    found: dict[str, str] = {}

    def add(name: str) -> None:
        if name in found:
            return
        text = (FOLDER / f"{name}.js").read_text()
        found[name] = ""  # a circle ends here
        for other in IMPORT.findall(text):
            add(other)
        own = found.pop(name)  # behind its imports
        found[name] = own + re.sub(r"^export ", "", IMPORT.sub("", text), flags=re.MULTILINE)

    add(name)
    return "\n".join(found.values())
