"""Writes the page of a run: facts, networks and sections, in one HTML file."""

import base64
import hashlib
import os
import re
from collections.abc import Collection, Sequence
from html import escape
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from gdl.errors import GdlError
from gdl.explorer.epochs import weights_of
from gdl.explorer.facts import brief_html, facts, facts_html
from gdl.explorer.graph import Graph
from gdl.explorer.programs import check, programs
from gdl.explorer.sections import SECTIONS, checkpoints
from gdl.explorer.served import most_rows
from gdl.explorer.subject import Subject
from gdl.explorer.weights import most_exact, packed
from gdl.families.base import GenerativeModel
from gdl.files import for_shell, write_atomically
from gdl.webpage import BASE_CSS, as_json, fill

__all__ = ["Page", "check_place", "page_of", "write_page"]

FOLDER = Path(__file__).parent / "page"

KEPT_THEME = FOLDER / "kept_theme.js"
"""The script of the head, which runs before the first paint."""

IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)


class Page(NamedTuple):
    """A page, and what it may do."""

    text: str
    policy: str
    """Its content security policy, which is also in the text."""


def write_page(subject: Subject, path: Path) -> Path:
    """Write the page of a run and return its path.

    Raises:
        GdlError: It cannot be written there, or the page cannot run the model.
    """
    check_place(path)
    # names of files may have bytes that are no text
    write_atomically(path, page_of(subject).text.encode(errors="replace"))
    return path


def check_place(path: Path) -> None:
    """Refuse a place where no page can be written, or where it would replace something else.

    Raises:
        GdlError: The folder is missing or may not be written, or the path is a folder, a device or a
            file that is no page.
    """
    folder, name = path.parent, for_shell(path)
    if path.is_dir():
        inside = for_shell(path / "explorer.html")
        raise GdlError(f"{name} is a folder: name a file in it, e.g. out={inside}.")
    if not folder.is_dir():
        raise GdlError(f"{folder} is not a folder, so {path.name} cannot be written there.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise GdlError(f"{folder} may not be written by you: name a file elsewhere with out=.")
    if path.exists() and not _is_page(path):
        raise GdlError(
            f"{name} is there and is no page, so it was not replaced: name another file."
        )


def _is_page(path: Path) -> bool:
    """Return whether a file is HTML, or is empty."""
    if not path.is_file():  # a pipe would be waited for
        return False
    with path.open("rb") as file:
        start = file.read(200).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return not start or start.startswith((b"<!doctype html", b"<html"))


def page_of(subject: Subject, served: Collection[str] | None = None) -> Page:
    """Return the page of a run.

    Args:
        subject: The run.
        served: Names of the programs that a server runs for the page; by default it runs them itself.

    Raises:
        GdlError: The model is of vectors of more than two dimensions.
        Inexpressible: The page cannot run the model.
    """
    model = subject.model
    if len(model.shape) == 1 and model.shape[0] > 2:
        raise GdlError(
            "The explorer shows images, and vectors of one or two dimensions; this "
            f"{type(model).__name__} is of vectors of {model.shape[0]}: draw from it with gdl sample."
        )
    known = facts(subject)
    content: dict[str, Any] = {
        **(_own_programs(subject) if served is None else _served_programs(served, model)),
        "facts": known,
        "shape": [*model.shape],
        "levels": model.levels,
        "latent_shape": [*getattr(model, "latent_shape", ())],
        "classes": subject.class_names if model.num_classes else None,
        # the class that stands for an unknown label; null where every image needs one
        "no_class": model.num_classes if model.label_dropout else None,
        "sections": {name: section(subject) for name, section in SECTIONS.items()},
    }
    shown = [name for name, section in content["sections"].items() if section is not None]
    scripts = [KEPT_THEME.read_text(), script_of(shown, is_served=served is not None)]
    rules = policy(scripts, is_served=served is not None)
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
        "script": scripts[1],
        "kept_theme": scripts[0],
        "policy": rules,
    }
    return Page(fill((FOLDER / "page.html").read_text(), parts), rules)


def _own_programs(subject: Subject) -> dict[str, Any]:
    graphs, weights = programs(subject.model)
    y = None if subject.labels is None else subject.labels[:8]
    check(subject.model, graphs, weights, subject.images[:8], y)
    most = most_exact(subject.model.shape)
    kept = [*_earlier(subject, graphs), weights.tensors]  # the chosen weights are the last
    return {
        "programs": {name: graph.plain() for name, graph in graphs.items()},
        "weights": [packed(tensors, most) for tensors in kept],
    }


def _served_programs(names: Collection[str], model: GenerativeModel) -> dict[str, Any]:
    return {"programs": dict.fromkeys(names, True), "weights": [], "rows": most_rows(model)}


def policy(scripts: Sequence[str], is_served: bool) -> str:
    """Return the content security policy of a page; one that is served may ask its own server.

    Only these scripts run, whatever a text of the run contains.
    """
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    parts = [
        "default-src 'none'",
        "img-src data: blob:",
        "style-src 'unsafe-inline'",
        f"script-src {allowed}",
        "base-uri 'none'",
        "form-action 'none'",
        *(["connect-src 'self'"] if is_served else []),
    ]
    return "; ".join(parts)


def _earlier(subject: Subject, graphs: dict[str, Graph]) -> list[list[Tensor]]:
    """Return the weights of the epochs of a page that are others than the chosen ones."""
    return [weights_of(e, graphs) for e in subject.epochs if not checkpoints.is_same(e, subject)]


def script_of(sections: Sequence[str], is_served: bool) -> str:
    """Return the script of a page: the modules of its model and of its sections, and no others."""
    model, module = ("remoteModel", "remote") if is_served else ("localModel", "model")
    openers = {name: "open" + name.title().replace("_", "") for name in sections}
    return _joined(
        'import { openPage } from "./main.js";\n'
        f'import {{ {model} }} from "./{module}.js";\n'
        + "".join(f'import {{ {f} }} from "./{name}.js";\n' for name, f in openers.items())
        + f"openPage({model}, {{{', '.join(f'{name}: {f}' for name, f in openers.items())}}});\n"
    )


def modules(name: str) -> str:
    """Return a module of page/ after all that it imports, as one script."""
    return _joined((FOLDER / f"{name}.js").read_text())


def _joined(text: str) -> str:
    """Return the text of a module after the modules of page/ that it imports, each once.

    Imports are whole lines `import { a } from "./b.js";`, exports the word in front of a declaration.
    """
    found: dict[str, str] = {}

    def own(text: str) -> str:
        for name in IMPORT.findall(text):
            if name not in found:
                found[name] = ""  # a circle ends here
                body = own((FOLDER / f"{name}.js").read_text())
                del found[name]
                found[name] = body  # behind its imports
        return re.sub(r"^export ", "", IMPORT.sub("", text), flags=re.MULTILINE)

    last = own(text)
    return "\n".join([*found.values(), last])
