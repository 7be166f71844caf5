"""Writes the README's table of models from docstrings, recipes and records; `--check` only compares.

    python docs/make_tables.py            # rewrites the lines between the two markers of README.md
    python docs/make_tables.py --check    # exits with 1 if they are out of date

A row is a file of gdl/models/. Its docstring starts with a line `Name: authors, year, "title".` and a
second paragraph that starts with the arXiv number or the venue. Its recipes are the files of
conf/experiment/ that train it, of which those in a folder are counted; its results are the records in
results/ of these recipes, and of any command where no recipe has a record; the first data set is shown,
RESULTS.md has all. A recipe without a record is marked as not yet run.
"""

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gdl.errors import GdlError
from gdl.restored_numbers import PREFIX
from gdl.runs.metrics import BOUNDS, data_name

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- models:begin -->", "<!-- models:end -->"
COLUMNS = ("model", "paper", "year", "file", "recipe", "result")


class Paper(NamedTuple):
    """The paper that a model file names in its docstring."""

    name: str
    authors: str
    year: str
    title: str
    source: str
    """A link to arXiv, or the venue."""


def paper(docstring: str, file: str) -> Paper:
    """Return the paper that the docstring of a model file starts with.

    Raises:
        GdlError: The docstring has another form.
    """
    first, _, rest = docstring.partition("\n\n")
    found = re.fullmatch(r'([^:]+): (.+), (\d{4}), "(.+)"\.', " ".join(first.split()))
    if not found or not rest:
        raise GdlError(
            f"{file}: the docstring must start with a line 'Name: authors, year, \"title\".' and a "
            "paragraph that starts with 'arXiv NUMBER' or the venue."
        )
    name, authors, year, title = found.groups()
    arxiv = re.match(r"arXiv (\d{4}\.\d{4,5})", rest)
    venue = re.split(r"[.;:(]", rest, maxsplit=1)[0].strip()
    source = f"[arXiv {arxiv[1]}](https://arxiv.org/abs/{arxiv[1]})" if arxiv else venue
    return Paper(name, authors, year, title, source)


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the content of a configuration file."""
    return yaml.safe_load(file.read_text()) or {}


def model_class(name: str, conf: Path) -> str:
    """Return the name of the class that conf/model/NAME.yaml, or the file it extends, builds."""
    node = read_yaml(conf / "model" / f"{name}.yaml")
    if "_target_" in node:
        return node["_target_"].rpartition(".")[2]
    return model_class(next(d for d in node["defaults"] if d != "_self_"), conf)


def model_of(recipe: str, conf: Path) -> str:
    """Return the model that conf/experiment/RECIPE.yaml, or the recipe it extends, trains."""
    defaults = read_yaml(conf / "experiment" / f"{recipe}.yaml")["defaults"]
    for entry in defaults:
        if isinstance(entry, dict) and "override /model" in entry:
            return entry["override /model"]
    return model_of(next(d for d in defaults if d != "_self_"), conf)


def best(metrics: dict[str, Any]) -> tuple[float, str]:
    """Return the tightest result of a record, as a number and as text with unit, data and kind."""
    data = data_name(metrics)
    of_restored = [k for k in metrics if k.startswith(PREFIX) and k.endswith("/model/psnr")]
    if of_restored and metrics.get("kind") is None:
        corruption = of_restored[0].removeprefix(PREFIX).partition("/")[0]
        decibels = metrics[of_restored[0]]
        return -decibels, f"PSNR {decibels:.2f} dB, {data}, {corruption}"
    if metrics.get("kind") is None:
        return metrics["test/mse"], f"mse {metrics['test/mse']:.4f}, {data}"
    # the literature gives nats for binary images
    bits = "test/bpd" in metrics and "binarized" not in data
    key, unit, digits = ("bpd", "bits/dim", 3) if bits else ("nll", "nats", 2)
    kinds = {"test": str(metrics["kind"])}
    kinds |= {k: k for name in metrics if (k := name.partition("/")[0]).startswith(BOUNDS)}
    value, kind = min(
        (metrics[f"{prefix}/{key}"], kind)
        for prefix, kind in kinds.items()
        if f"{prefix}/{key}" in metrics
    )
    return value, f"{value:.{digits}f} {unit}, {data}, {kind}"


def recipe_names(conf: Path) -> list[str]:
    """Return the names of the recipes in conf/experiment/ and its folders, as "restoration/x"."""
    folder = conf / "experiment"
    return sorted(str(f.relative_to(folder).with_suffix("")) for f in folder.rglob("*.yaml"))


def listed(recipes: list[str], records: list[dict[str, Any]]) -> list[str]:
    """Return recipes as the table has them: of a folder, how many of them have a record."""
    texts = [
        f"`{n}`{'' if is_run(n, records) else ' (not yet run)'}" for n in recipes if "/" not in n
    ]
    folders = sorted({n.partition("/")[0] for n in recipes if "/" in n})
    for folder in folders:
        inside = [n for n in recipes if n.startswith(f"{folder}/")]
        done = sum(is_run(n, records) for n in inside)
        left = f", {len(inside) - done} not yet run" if done < len(inside) else ""
        word = "recipe" if len(inside) == 1 else "recipes"
        texts.append(f"`{folder}/` ({len(inside)} {word}{left})")
    return texts


def is_run(recipe: str, records: list[dict[str, Any]]) -> bool:
    """Return whether a record is one of the recipe."""
    return any(f"experiment={recipe}" in r["command"].split() for r in records)


def results(recipes: list[str], models: set[str], records: list[dict[str, Any]]) -> list[str]:
    """Return the best result on each data set: of the recipes, or of any command if these have none.

    The many densities of toy1d and toy2d are left to RESULTS.md, and so are conditional models and the
    short runs that are asked about foreign images.
    """
    runs = [r for r in records if r["metrics"]["model"] in models and not _is_aside(r)]
    named = [r for r in runs if {f"experiment={n}" for n in recipes} & set(r["command"].split())]
    found: dict[str, list[tuple[float, str]]] = {}
    for record in named or runs:
        found.setdefault(data_name(record["metrics"]), []).append(best(record["metrics"]))
    return [min(found[data])[1] for data in sorted(found)]


def _is_aside(record: dict[str, Any]) -> bool:
    asides = any(key == "test/kl" or key.startswith("test/ood/") for key in record["metrics"])
    return asides or "model.conditional=true" in record["command"].split()


def table(root: Path) -> str:
    """Return the table of models of a repository, as Markdown."""
    conf = root / "conf"
    contents = [json.loads(f.read_text()) for f in sorted((root / "results").glob("*.json"))]
    records = [r for r in contents if "model" in r.get("metrics", {})]
    built = {f.stem: model_class(f.stem, conf) for f in (conf / "model").glob("*.yaml")}
    trained = {name: model_of(name, conf) for name in recipe_names(conf)}
    rows = []
    for file in sorted((root / "gdl" / "models").glob("*.py")):
        tree = ast.parse(file.read_text())
        if file.name == "__init__.py":
            continue
        p = paper(ast.get_docstring(tree) or "", file.name)
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        models = {name for name, built_class in built.items() if built_class in classes}
        recipes = sorted(name for name, model in trained.items() if model in models)
        cells = (
            p.name,
            f"{p.authors}, {p.source}",
            p.year,
            f"[{file.name}](gdl/models/{file.name})",
            ", ".join(listed(recipes, records)) or "-",
            next(iter(results(recipes, models, records)), "-"),
        )
        rows.append((p.year, p.name, cells))
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(cells for *_, cells in sorted(rows))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def with_table(readme: str, new: str) -> str:
    """Return a README with a table between its markers.

    Raises:
        GdlError: The README does not have the two markers.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise GdlError(f"README.md must have each of the lines {BEGIN} and {END} once.")
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n{new}{END}{rest.partition(END)[2]}"


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Rewrite README.md, or compare it; return the exit code."""
    file = root / "README.md"
    old = file.read_text()
    new = with_table(old, table(root))
    if "--check" not in arguments:
        file.write_text(new)
    elif new != old:
        print("README.md: the table of models is out of date: run python docs/make_tables.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
