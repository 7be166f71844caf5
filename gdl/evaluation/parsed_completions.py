"""The share of a model's completions of a prompt that are code, by the parser of its language."""

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

import gdl.models as models
from gdl.capabilities import Continues, Incapable, refuse
from gdl.data.alphabets import Alphabet, alphabet_of
from gdl.data.base import ImageData
from gdl.data.splits import SPLITS
from gdl.data.text_protocols import HasText
from gdl.errors import GdlError
from gdl.evaluation.host import Host
from gdl.evaluation.python_statements import problems, statement
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.families.drawing import Drawing
from gdl.families.growing import as_symbols, growing
from gdl.families.windows import continuations
from gdl.files import write_atomically
from gdl.texts import visible

__all__ = ["parses"]

AT_ONCE = 256
"""Completions that are drawn together, which bounds the memory."""


@torch.inference_mode()
def parses(
    model: GenerativeModel,
    data: ImageData,
    prompt: str = "def ",
    n: int = 200,
    length: int = 1000,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    language: Literal["python"] = "python",
    split: str = "test",
    seed: int = 0,
    limit: int | None = None,
    host: Host | None = None,
) -> dict[str, float]:
    """Return the share of completions of a prompt that are code, beside that of held-out code.

    A completion is cut where the statement that the prompt begins ends, see
    `gdl.evaluation.python_statements.statement`, and counts if `ast.parse` of the Python that runs
    accepts it. Held-out code are the places in the text of a split where a line begins with the prompt,
    each with as many symbols behind it, and cut by the same rule. Keys begin with parses-{prompt}/;
    options of the draws other than the default ones follow the prompt:

    - share: the share of the completions that are accepted;
    - ended: the share whose statement came to its end within the length;
    - completions: how many there are;
    - held_out, held_out_ended and statements: the same of held-out code, where it has such a line.

    Shares have a standard error, {key}_se, which is half of Wilson's interval of one standard
    deviation (Wilson, 1927): it is not 0 where none or all are accepted. With a host, all completions
    are written to a text file, each with what the parser says, and the held-out code that it refuses.

    Args:
        model: A model of text that draws symbol by symbol, in eval mode.
        data: A text.
        prompt: The beginning of each completion.
        n: Completions, and the most places of held-out code, which are spread over the text.
        length: Symbols after the prompt.
        temperature: See `gdl.tasks.sample`, also for top_k and top_p.
        top_k: See `temperature`.
        top_p: See `temperature`.
        language: What the code is.
        split: Which text is the held-out code.
        seed: Seed of the draws; draw k depends on (seed, k) only.
        limit: At most so many completions and places.
        host: Says where the file goes.

    Raises:
        Incapable: The data are no text, or the model does not continue one.
        GdlError: An option is out of range, or the prompt has symbols that the model does not know.
    """
    alphabet = alphabet_of(model.config)
    if alphabet is None or not isinstance(data, HasText):
        raise Incapable(
            "measure=parses asks for completions of a text, and these are other data: use a run of "
            "data=text, e.g. data.corpus=stdlib."
        )
    if language != "python":
        raise GdlError(f"measure.language={language} is not known: use python.")
    if split not in SPLITS:
        raise GdlError(f"There is no measure.split={split}: use {', '.join(SPLITS)}.")
    at_least_one("measure.n", n)
    if not prompt.strip():
        raise GdlError("measure.prompt is empty: give the beginning of a statement, as 'def '.")
    n = n if limit is None else min(n, limit)
    how = {"seed": seed, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    texts = _draws(model, alphabet, n, prompt, length, Drawing(seed, temperature, top_k, top_p))
    name = _name(prompt, temperature, top_k, top_p)
    path = None if host is None else host.table(f"{name}.txt")
    drawn = [statement(text, prompt) for text in texts()]
    real = [statement(text, prompt) for text in _places(alphabet, data, split, prompt, length, n)]
    said = problems([text for text, _ in drawn])
    said_of_real = problems([text for text, _ in real])
    if path is not None:
        about = f"{prompt!r}, {', '.join(f'{k} {v}' for k, v in how.items())}"
        _write(path, about, drawn, said, real, said_of_real)
    found = _share(f"{name}/share", [p is None for p in said])
    found |= _share(f"{name}/ended", [ended for _, ended in drawn])
    found |= {f"{name}/completions": len(drawn)}
    if real:
        found |= _share(f"{name}/held_out", [p is None for p in said_of_real])
        found |= _share(f"{name}/held_out_ended", [ended for _, ended in real])
        found |= {f"{name}/statements": len(real)}
    return found


def _draws(
    model: GenerativeModel, alphabet: Alphabet, n: int, prompt: str, length: int, how: Drawing
) -> Callable[[], list[str]]:
    """Return what draws n completions; what is wrong is told before.

    Raises:
        Incapable: The model does not continue texts.
        GdlError: See `parses`.
    """
    asked = "measure=parses asks for a model that continues its beginning"
    if not isinstance(model, Continues):
        refuse(model, Continues, asked, models)
    at_least_one("measure.length", length)
    try:
        symbols = alphabet.encode(prompt)
    except GdlError as e:
        raise GdlError(f"measure.prompt: {e}") from e
    own: Any = model
    continuations(own, 1, symbols, how)

    def draw() -> list[str]:
        found = []
        for some in (range(n)[k : k + AT_ONCE] for k in range(0, n, AT_ONCE)):
            *_, rows = growing(own, len(some), symbols, how, length, indices=some)
            found += [prompt + alphabet.decode(as_symbols(row)) for row in rows]
        return found

    return draw


def _name(prompt: str, temperature: float, top_k: int | None, top_p: float) -> str:
    """Return what keys begin with, and what the file is called.

    >>> _name("def ", 0.8, None, 0.95)
    'parses-def-temperature-0.8-top_p-0.95'
    >>> _name(chr(10) + "def ", 1, None, 1)
    'parses-def_d498'
    """
    name = re.sub(r"\W+", "_", prompt, flags=re.ASCII).strip("_")[:40] or "prompt"
    if name != prompt.strip(" "):  # prompts that differ have keys that differ
        name += f"_{hashlib.sha256(prompt.encode('utf-8', 'surrogateescape')).hexdigest()[:4]}"
    options = {"temperature": temperature, "top_k": top_k or 1, "top_p": top_p}
    chosen = [f"-{k}-{v:g}" for k, v in options.items() if v != 1 or (k == "top_k" and top_k)]
    return f"parses-{name}{''.join(chosen)}"


def _places(
    alphabet: Alphabet, data: HasText, split: str, prompt: str, length: int, n: int
) -> list[str]:
    """Return up to n texts of a split that begin with the prompt at the beginning of a line."""
    text, start = (
        t.cpu().numpy().tobytes() for t in (data.stream(split), alphabet.encode(prompt))
    )
    try:
        before = alphabet.encode("\n").numpy().tobytes()
    except GdlError:  # the text is one line
        return []
    pattern = re.compile(b"(?<=" + re.escape(before) + b")" + re.escape(start))
    places = [match.start() for match in pattern.finditer(text)]
    some = [places[k * len(places) // n] for k in range(n)] if len(places) > n else places
    rows = (text[k : k + len(start) + length] for k in some)
    return [alphabet.decode(as_symbols(row)) for row in rows]


def _share(key: str, right: Sequence[bool]) -> dict[str, float]:
    """Return a share, and half of Wilson's interval of one standard deviation as its error."""
    n, p = len(right), sum(right) / len(right)
    return {key: p, f"{key}_se": math.sqrt(p * (1 - p) / n + 1 / (4 * n * n)) / (1 + 1 / n)}


def _write(
    path: Path,
    about: str,
    drawn: Sequence[tuple[str, bool]],
    said: Sequence[str | None],
    real: Sequence[tuple[str, bool]],
    said_of_real: Sequence[str | None],
) -> None:
    """Write the statements with what the parser says; what a terminal would obey is escaped."""
    parts = [f"Completions of {about}: {said.count(None)} of {len(said)} parse.\n"]
    parts += _listed("completion", drawn, said)
    if real:
        parts += [f"Held-out code: {said_of_real.count(None)} of {len(real)} parse; the others:\n"]
        parts += _listed("held-out code", real, said_of_real, only_refused=True)
    write_atomically(path, "\n".join(visible(part) for part in parts))


def _listed(
    what: str,
    statements: Sequence[tuple[str, bool]],
    said: Sequence[str | None],
    only_refused: bool = False,
) -> list[str]:
    parts = []
    for k, ((text, ended), problem) in enumerate(zip(statements, said, strict=True), 1):
        if problem is None and only_refused:
            continue
        verdict = "parses" if problem is None else f"does not parse, {problem}"
        cut = "" if ended else ", no end within the length"
        parts.append(f"--- {what} {k} of {len(said)}: {verdict}{cut} ---\n{text}")
    return parts
