"""The keys of a measure, and of other data, as people write them on the line of gdl evaluate."""

import re
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from gdl.commands.conf import CONF
from gdl.commands.quoting import quoted, unquoted
from gdl.errors import GdlError

__all__ = ["with_measure_keys"]


def with_measure_keys(args: Sequence[str], command: str) -> list[str]:
    """Return the arguments of gdl evaluate with the key of a measure as `measure.` has it.

    With measure=ood, ood.k=5 is measure.k=5; an option that one score alone has, as ood.n=5, is
    the score's. data=[a,b], also as ood.data= and measure.data=, and data.KEY=VALUE become one key:
    other_data=[[a,...],[b,...]], each name with the overrides of its keys.

    Raises:
        GdlError: A key is of a measure, or of data, that is not chosen.
    """
    if command != "evaluate":
        return list(args)
    names = {path.stem for path in (CONF / "measure").glob("*.yaml")}
    chosen = [_value(arg) for arg in args if _key(arg) == "measure"]
    added = {_key(arg).partition("@measure.")[2] for arg in args if "@measure." in arg}
    measure = chosen[-1] if chosen else "default"
    out, sets, options = [], [], []
    for arg in args:
        sign = arg[: len(arg) - len(arg.lstrip("+~"))]
        first, dot, rest = arg[len(sign) :].partition(".")
        if dot and not arg.startswith("-") and first in names - {"default"}:
            if measure != first and first not in added:
                raise GdlError(f"{arg} is of measure={first}: add measure={first}.")
            inner = "measure" if measure == first else f"measure.{first}"
            arg = f"{sign}{inner}.{_of_score(first, rest)}"
        elif dot and first == "measure" and measure in names:
            arg = f"{sign}measure.{_of_score(measure, rest)}"
        key, equals, value = arg.lstrip("+").partition("=")
        of_data = re.fullmatch(r"measure\.((\w+)\.)?data(\..+)?", key)
        if of_data and _has_scores(of_data[2] or measure):
            key = f"data{of_data[3] or ''}"
        if key == "data" and equals:
            sets = _listed(value)
        elif key.startswith("data.") and equals:
            options.append((key.removeprefix("data."), value))
        else:
            out.append(arg)
    return [*out, *_other_data(sets, options)]


def _key(arg: str) -> str:
    return arg.lstrip("+~").partition("=")[0]


def _value(arg: str) -> str:
    return unquoted(arg.partition("=")[2])


def _of_score(measure: str, rest: str) -> str:
    """Return the key of an option of a score below its measure; another key as it is."""
    key = rest.partition("=")[0]
    if not _has_scores(measure) or key in OmegaConf.load(CONF / "measure" / f"{measure}.yaml"):
        return rest
    scores: Any = OmegaConf.load(CONF / "score" / "default.yaml")
    owners = [name for name, options in scores.items() if key in options]
    return f"scores.{owners[0]}.{rest}" if len(owners) == 1 else rest


def _has_scores(measure: str) -> bool:
    """Return whether a measure scores images, those of other data too."""
    path = CONF / "measure" / f"{measure}.yaml"
    node: Any = OmegaConf.load(path) if path.is_file() else {}
    return any("/score@scores" in entry for entry in node.get("defaults", []))


def _listed(value: str) -> list[str]:
    """Return the names in a value: a, a,b or [a,b]."""
    inner = value.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    return [unquoted(name.strip()) for name in inner.split(",") if name.strip()]


def _other_data(sets: Sequence[str], options: Sequence[tuple[str, str]]) -> list[str]:
    """Return the one override of all other data and their options."""
    if not sets and not options:
        return []
    found: dict[str, list[str]] = {name: [] for name in sets}
    for key, value in options:
        name, dot, rest = key.partition(".")
        if dot and name in found:
            found[name].append(f"{rest}={value}")
        elif len(found) == 1:
            found[next(iter(found))].append(f"{key}={value}")
        elif not found:
            raise GdlError(f"data.{key}={value} is an option of other data: name them with data=.")
        else:
            raise GdlError(
                f"data.{key}={value}: say of which data, as data.{next(iter(found))}.{key}=..."
            )
    texts = [f"[{','.join(map(quoted, [name, *own]))}]" for name, own in found.items()]
    return [f"other_data=[{','.join(texts)}]"]
