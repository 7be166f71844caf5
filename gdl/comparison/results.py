"""Generates RESULTS.md from records of runs, which are committed; no number is typed by hand.

results/<name>.json     a run: {"command", "commit", "seed", "hardware", "minutes", "metrics"}; or a
                        benchmark: {"title", "columns", "rows", ...} with the same facts; either may
                        have a "note"
results/codecs_*.json   what general coders make of the test images: as a run, without a model
results/published.json  published numbers for comparison, with their sources
"""

import math
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gdl.comparison.codes import KIND, Code, codes_of, is_of_coders
from gdl.comparison.detection import detection_sections
from gdl.comparison.disentanglement import disentanglement_sections
from gdl.comparison.entries import Entry
from gdl.comparison.markdown import markdown_table
from gdl.comparison.restoration import restoration_sections
from gdl.comparison.streams import stream_sections
from gdl.comparison.translation import translation_sections
from gdl.errors import GdlError
from gdl.files import read_json, write_json
from gdl.runs.directory import Run
from gdl.runs.metrics import (
    BOUNDS,
    about_data,
    bits_of,
    data_identity,
    data_name,
    data_title,
    not_whole,
)

__all__ = ["add_records", "render"]

INTRODUCTION = """# Results

Written by `python compare.py RUNS results=true` from the records in `results/`, each of one run or one
benchmark: numbers are measured, with their command, commit and machine. The checkpoint is chosen on the
validation split; the test images are looked at once, after training, and by `evaluate.py`. ± is the
standard error over the test images. [docs/numbers.md](docs/numbers.md) explains the kinds of numbers.
A title ends with the start of a digest of the data, and runs share a table only if they agree in it.
"Unknown data" are those of records older than digests. Rows without a command are of the literature;
those of kind "code" are general lossless coders, measured on the same test images.
"""

DROPPED = ("hydra.", "logger=", "resume=", "run_dir=", "config_dir=", "trust=")
"""Prefixes of arguments that do not change what a command computes."""


def add_records(entries: Iterable[Entry], folder: Path) -> list[Path]:
    """Write a record of each run, named after the folder of the run; return the files.

    Raises:
        GdlError: The code of a run was not committed, its hardware is not known, it is no result on
            the whole test set, or two runs would have the same record.
    """
    runs = [p for e in entries for p in e.paths]
    _check_names(runs, folder)
    paths = []
    for path in runs:
        facts, metrics = Run(path).record_facts(), Run(path).metrics()
        commit = facts.get("git_commit")
        if commit is None or commit.endswith("+") or "hardware" not in facts:
            raise GdlError(
                f"{path} has no commit that its numbers belong to (run.json says {commit}): commit "
                "the code and run it again, or leave the run out by a filter."
            )
        if part := not_whole(metrics):
            raise GdlError(f"{path} is no result, because {part}: leave it out by a filter.")
        file = folder / f"{path.name}.json"
        record = {
            "command": " && ".join(filter(None, map(_plain, facts["commands"]))),
            "commit": commit,
            "seed": metrics["seed"],
            "hardware": facts["hardware"],
            "minutes": round(metrics["train_seconds"] / 60, 2),
            "metrics": metrics,
        }
        if note := read_json(file).get("note"):
            record["note"] = note
        folder.mkdir(exist_ok=True)
        write_json(file, record, indent=1)
        paths.append(file)
    return paths


def _check_names(runs: Sequence[Path], folder: Path) -> None:
    """Check that no two runs, and no run and an unrelated record, have the same name.

    Raises:
        GdlError: They have.
    """
    named: dict[str, Path] = {}
    for path in runs:
        if (other := named.setdefault(path.name, path)) != path:
            raise GdlError(
                f"{other} and {path} would have the same record, {path.name}.json: rename one of the "
                "folders, or leave one out by a filter."
            )
        record, metrics = read_json(folder / f"{path.name}.json"), Run(path).metrics()
        before = record.get("metrics", {})
        what = [(m.get("model"), data_name(m)) for m in (before, metrics)]
        if record and what[0] != what[1]:
            kept = " on ".join(map(str, what[0])) if before else "a benchmark"
            raise GdlError(
                f"{folder / path.name}.json is the record of {kept}, not of {path}: rename the "
                "folder of the run."
            )


def _plain(command: str) -> str:
    """Return a command without the arguments in `DROPPED`; "" for a command that only resumes."""
    program, script, *args = shlex.split(command)
    if any(a.startswith("resume=") for a in args):
        return ""
    kept = [a for a in args if not a.startswith(DROPPED)]
    kept = ["run=..." if a.startswith("run=") else a for a in kept]
    return " ".join([program, Path(script).name, *map(shlex.quote, kept)]).replace(
        "'run=...'", "run=..."
    )


def render(folder: Path) -> str:
    """Return the text of RESULTS.md from the records in a folder.

    Raises:
        GdlError: There are no records.
    """
    files = sorted(folder.glob("*.json"))
    records = [read_json(f) for f in files if f.stem != "published"]
    if not records:
        raise GdlError(f"There is no record in {folder}: name runs that are to be recorded.")
    letters = _letters(records)
    published = defaultdict(list)
    for row in read_json(folder / "published.json").get("rows", []):
        published[row["data"]].append(row)
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    coders = [r for r in records if is_of_coders(r)]
    for record in records:
        if "metrics" in record and not is_of_coders(record):
            tables[data_identity(record["metrics"])].append(record)
    parts = [INTRODUCTION, _hardware_lines(letters)]
    for group in sorted(tables.values(), key=lambda group: data_title(group[0]["metrics"])):
        # the literature's numbers are of the original files
        m = {k: v for k, v in group[0]["metrics"].items() if k != "data/verified"}
        codes = codes_of(group, coders)
        parts.append(_runs(group, published[data_name(m)], codes, letters))
        parts += detection_sections(group)
        parts += disentanglement_sections(group)
        parts += restoration_sections(group)
        parts += translation_sections(group)
    parts += stream_sections([record for group in tables.values() for record in group])
    parts += [_benchmark(r, letters) for r in records if "rows" in r]
    return "\n".join(parts)


def _letters(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return a letter for each kind of hardware, by its description."""
    texts = sorted({_describe(r["hardware"]) for r in records})
    return {text: chr(ord("A") + i) for i, text in enumerate(texts)}


def _describe(hardware: dict[str, Any]) -> str:
    threads = f", {hardware['threads']} thread" if "threads" in hardware else ""
    if threads and hardware["threads"] > 1:
        threads += "s"
    gpu = f"{hardware['gpu']}; " if "gpu" in hardware else ""
    return (
        f"{gpu}{hardware['cpu']}, {hardware['cores']} cores{threads}; "
        f"Python {hardware['python']}, torch {hardware['torch']}"
    )


def _hardware_lines(letters: dict[str, str]) -> str:
    return "\n".join(f"- **{letter}**: {text}" for text, letter in letters.items()) + "\n"


def _runs(
    records: Sequence[dict[str, Any]],
    published: Sequence[dict[str, Any]],
    codes: Sequence[Code],
    letters: dict[str, str],
) -> str:
    """Return the table of a data set, the lowest first, with published numbers and coders."""
    # each row with what it is sorted by: the tightest of its numbers
    ordered: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (_lowest(r["metrics"]), _run_row(r, r["metrics"], letters)) for r in records
    ]
    for p in published:
        texts = {"bits/dim": _shown(p.get("bpd"), 3), "nats": _shown(p.get("nll"), 2)}
        ordered.append((p, {**p, **texts, "command": p["source"]}))
    for code in codes:
        ordered.append(({"bpd": code.bpd, "nll": code.nll}, _code_row(code, letters)))
    key = max(("nll", "bpd"), key=lambda k: sum(p.get(k) is not None for p, _ in ordered))
    ordered.sort(key=lambda pair: _or_last(pair[0].get(key)))
    rows = [row for _, row in ordered]
    header = [
        "model", *{bits_of(r["metrics"])[1]: None for r in records}, "nats", "KL(data, model)", "kind",
        "parameters", "minutes", "command", "commit, machine",
    ]  # fmt: skip
    header = [h for h in header if any(row.get(h, "-") != "-" for row in rows)]
    lines = [header, *[[row.get(h, "") for h in header] for row in rows]]
    distances = [
        f"`{r['command']}`: {', '.join(f'{k} {v:.1f}' for k, v in found.items())}"
        for r in records
        if (found := {k: v for k, v in r["metrics"].items() if k.startswith("fd-")})
    ]
    notes = [f"`{r['command']}`: {r['note']}" for r in records if r.get("note")]
    first = records[0]["metrics"]
    head = [f"## {data_title(first)}\n", *([f"{about}\n"] if (about := about_data(first)) else [])]
    return "\n".join([*head, markdown_table(lines), *(f"- {x}" for x in distances + notes), ""])


def _run_row(record: dict[str, Any], m: dict[str, Any], letters: dict[str, str]) -> dict[str, str]:
    """Return the cells of a run by column; a cell holds the test result and all tighter bounds."""
    bounds = sorted({k.partition("/")[0] for k in m if k.startswith(BOUNDS)})
    unit, name = bits_of(m)
    found = [p for p in [*bounds, "test"] if f"{p}/nll" in m or f"{p}/{unit}" in m]
    digits = 2 if m.get("data/target") is None else 4
    row = {
        "model": m["model"],
        name: "<br>".join(_shown(m.get(f"{p}/{unit}"), 4) for p in found) or "-",
        "nats": "<br>".join(_pm(m, f"{p}/nll", digits) for p in found) or "-",
        "kind": "<br>".join(str(m["kind"]) if p == "test" else p for p in found) or "no density",
        "minutes": f"{record['minutes']:g}",
        "command": f"`{record['command']}`",
        "commit, machine": f"{record['commit']}, {letters[_describe(record['hardware'])]}",
    }
    if "params" in m:
        row["parameters"] = f"{m['params']:,}"
    if "test/kl" in m:
        row["KL(data, model)"] = _pm(m, "test/kl", 4)
    return row


def _code_row(code: Code, letters: dict[str, str]) -> dict[str, str]:
    record = code.record
    return {
        "model": code.title,
        "bits/dim": _shown(code.bpd, 4),
        "nats": _shown(code.nll, 2),
        "kind": KIND,
        "minutes": f"{record['minutes']:g}" if is_of_coders(record) else "",
        "command": f"`{record['command']}`",
        "commit, machine": f"{record['commit']}, {letters[_describe(record['hardware'])]}",
    }


def _lowest(m: dict[str, Any]) -> dict[str, float]:
    """Return the lowest "nll" and "bpd" of the test and of all tighter bounds, where there are any."""
    keys = [k for k in m if k.startswith(("test/", *BOUNDS)) and m[k] is not None]
    found = {unit: [m[k] for k in keys if k.endswith(f"/{unit}")] for unit in ("nll", "bpd")}
    return {unit: min(values) for unit, values in found.items() if values}


def _or_last(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value


def _pm(m: dict[str, Any], key: str, digits: int) -> str:
    error = m.get(f"{key}_se")
    return _shown(m.get(key), digits) + ("" if error is None else f" ± {error:.{digits}f}")


def _benchmark(record: dict[str, Any], letters: dict[str, str]) -> str:
    minutes = f", {record['minutes']:g} minutes" if "minutes" in record else ""
    load = f"; others used {record['load']:g} cores" if "load" in record else ""
    where = f"`{record['command']}`{minutes}; {record['commit']}, "
    lines = [record["columns"], *record["rows"]]
    machine = letters[_describe(record["hardware"])]
    text = [f"## {record['title']}\n", f"{where}{machine}{load}\n"]
    note = [record["note"], ""] if record.get("note") else []
    return "\n".join(
        [*text, markdown_table([[str(c) for c in line] for line in lines]), *note, ""]
    )


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
