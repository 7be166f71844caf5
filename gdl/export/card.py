"""The model card: README.md of an export, as hubs of models and people read it."""

import math
import re
import sys
from typing import Any

import yaml

from gdl.capabilities import Samples
from gdl.data.alphabets import alphabet_of
from gdl.data.listing import printable
from gdl.export.subject import Subject, Written
from gdl.runs.collapse import collapse
from gdl.runs.metrics import about_data, bits_of, data_title, not_whole
from gdl.runs.report import likelihoods, number_texts

__all__ = ["card"]

MEANINGS = {
    "exact": "-log p(x) itself",
    "bound": "an upper bound of -log p(x), the negative ELBO",
    "iwae": "an upper bound of -log p(x) from K samples of the latents",
    "dequant": "an upper bound of -log p(x) from K samples of uniform noise",
    "vardeq": "an upper bound of -log p(x) from K samples of a learned noise",
    "given-label": "-log p(x | y), given the label: no likelihood of the image alone",
    "given-source": "-log p(target | source) of pairs of texts: no likelihood of sources",
    "given": "-log p(unknown pixels | known ones), exact",
    "ordered": "-log-probability of the unknown pixels, each given the pixels before it only",
}
"""What a kind of number is, by its name without what follows."""


def card(subject: Subject, written: Written, kind: str, sizes: dict[str, int]) -> str:
    """Return the Markdown of a card.

    Texts of the run, such as its command and its name, are shown as they are.

    Args:
        subject: What is exported.
        written: What a format has written.
        kind: The name of the format.
        sizes: Bytes of each file, by its name.
    """
    parts = [
        _front_matter(subject, kind),
        f"# {_title(subject)}",
        _about(subject),
        "## Use",
        f"{code_block(written.usage, 'python')}\nwhere `FOLDER` is this folder. {_values(subject)}",
        "## Numbers",
        _numbers(subject),
        "## Files",
        _table([("file", "bytes", "what it is"), *_files(written, sizes)]),
        *written.notes,
        "## Origin",
        _origin(subject.record, subject.metrics),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def shown(text: Any) -> str:
    r"""Return a text of somebody else as Markdown that shows it, in one line.

    >>> print(shown("a|b *c* <d> https://e"))
    a\|b \*c\* \<d\> https:\//e
    """
    line = printable(" ".join(str(text).split()))
    line = re.sub(r"([\\`*_\[\]<>#|~&$])", r"\\\1", line)
    return line.replace("://", ":\\//").replace("www.", "www\\.")  # an address is no link


def code_block(text: str, language: str = "") -> str:
    """Return a text as a block of code, whatever stands in it."""
    lines = "\n".join(map(printable, text.splitlines()))
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", lines)), 3)
    return f"{fence}{language}\n{lines}\n{fence}"


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _name(subject: Subject) -> str:
    return type(subject.model).__name__


def _data(subject: Subject) -> str | None:
    """Return the name of the data, None where it is not known."""
    target = subject.config.get("data", {}).get("_target_")
    named = subject.metrics.get("data") or subject.record.get("data")
    return named or (target.rpartition(".")[2] if isinstance(target, str) else None)


def _title(subject: Subject) -> str:
    data = _data(subject)
    return shown(_name(subject)) + (f" on {shown(data)}" if data else "")


def _front_matter(subject: Subject, kind: str) -> str:
    """Return what a hub reads of a card: library, tags and numbers."""
    tags = ["gdl", "generative-model", _name(subject), kind]
    content: dict[str, Any] = {"library_name": "gdl", "tags": tags}
    images = subject.model.levels is not None and len(subject.model.shape) == 3
    text = alphabet_of(subject.model.config) is not None
    task = "text-generation" if text else "unconditional-image-generation"
    if images and isinstance(subject.model, Samples) and not subject.model.num_classes:
        content["pipeline_tag"] = task
    data, found = _data(subject), _results(subject.metrics)
    if data and found and not not_whole(subject.metrics):
        results = {
            "task": {"type": task if images else "other"},
            "dataset": {"name": data, "type": data},
            "metrics": found,
        }
        content["model-index"] = [{"name": f"{_name(subject)} on {data}", "results": [results]}]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---"


def _results(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    names = {"test/bpd": ("bits-per-dim", "bits/dim"), "test/mse": ("mse", "squared error")}
    if "test/bpd" not in metrics:
        names["test/nll"] = ("nll", "nats")
    found = []
    for key, (kind, name) in names.items():
        value = metrics.get(key)
        if isinstance(value, int | float) and math.isfinite(value):
            of = f" ({metrics.get('kind')})" if key != "test/mse" else ""
            found.append({"type": kind, "name": f"{name}{of}", "value": value})
    return found


def _about(subject: Subject) -> str:
    """Return the paper of the model, and the data."""
    module = sys.modules[type(subject.model).__module__]
    paper = (module.__doc__ or "").strip().partition("\n")[0]
    model = subject.model
    size = "x".join(map(str, model.shape))
    pixels = f"{size}, {'continuous' if model.levels is None else f'{model.levels} levels'}"
    parameters = sum(p.numel() for p in model.parameters())
    label = f" given one of {model.num_classes} classes" if model.num_classes else ""
    lines = [
        f"Paper: {shown(paper)}" if paper else "",
        f"A model of data of shape {pixels}{label}, with {parameters:,} parameters.",
    ]
    if "data/digest" in subject.metrics:
        title, about = data_title(subject.metrics), about_data(subject.metrics)
        lines.append(f"Data: {shown(title)}: {shown(about)}.")
    return "\n\n".join(filter(None, lines))


def _values(subject: Subject) -> str:
    """Return in words what goes in and comes out."""
    model = subject.model
    size = ", ".join(map(str, model.shape))
    if model.levels is None:
        text = f"Vectors are float32 (B, {size})."
    else:
        what = "Images" if alphabet_of(model.config) is None else "Windows of symbols"
        text = (
            f"{what} are uint8 (B, {size}) with values 0 to {model.levels - 1}; what is decoded are "
            "real numbers in that range."
        )
    if model.num_classes:
        text += f" Labels are int64 (B,), 0 to {model.num_classes - 1}"
        text += ", or -1 where they are not known." if model.label_dropout else "."
    return text


def _numbers(subject: Subject) -> str:
    """Return the measured numbers, each with its kind, and what the kinds are."""
    metrics = subject.metrics
    if not metrics:
        return "The numbers of these weights are not known: they are not those that were tested."
    parts, rows = [], likelihoods(metrics)
    if rows:
        table = [(shown(bits), shown(nats), shown(kind)) for bits, nats, kind in rows]
        parts.append(_table([(f"test {bits_of(metrics)[1]}", "nats", "kind"), *table]))
    texts = [*number_texts(metrics)]
    if texts:
        parts.append("\n".join(f"- {shown(text)}" for text in texts))
    if metrics.get("kind") is None:
        parts.append("This model has no density, so it has no bits/dim.")
    kinds = list(dict.fromkeys(re.sub(r"-\d+$", "", kind) for *_, kind in rows))
    known = {k: MEANINGS.get(k) or MEANINGS.get(k.partition("-")[0]) for k in kinds}
    if any(known.values()):
        lines = [f"- {shown(k)}: {shown(meaning)}." for k, meaning in known.items() if meaning]
        parts.append("\n".join(lines))
    if rows and bits_of(metrics)[0] == "bpd":
        parts.append(
            "bits/dim = nats / (D ln 2) with D the number of values of an image. They compare with "
            "those of other models of the same data and levels only, and not across kinds."
        )
    if part := not_whole(metrics):
        parts.append(f"**These are no results, because {shown(part)}.**")
    if sentence := collapse(metrics):
        parts.append(shown(sentence))
    return "\n\n".join(parts)


def _files(written: Written, sizes: dict[str, int]) -> list[tuple[str, ...]]:
    return [(f"`{name}`", f"{sizes[name]:,}", what) for name, what in written.files.items()]


def _origin(record: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Return command, commit, hardware and time, as far as they are known."""
    parts = []
    commands = record.get("commands")
    if isinstance(commands, list) and commands:
        parts.append(code_block(str(commands[0])))
    hardware = record.get("hardware")
    facts = {
        "commit": record.get("git_commit"),
        "gdl": record.get("gdl"),
        "started": record.get("started"),
        "hardware": ", ".join(f"{k} {v}" for k, v in hardware.items())
        if isinstance(hardware, dict)
        else None,
    }
    if isinstance(seconds := metrics.get("train_seconds"), int | float):
        facts["training"] = (
            f"{seconds:.1f} seconds" if seconds < 60 else f"{seconds / 60:.1f} minutes"
        )
    if isinstance(steps := metrics.get("steps"), int):
        facts["steps"] = f"{steps:,}"
    lines = [f"- {name}: {shown(value)}" for name, value in facts.items() if value]
    if lines:
        parts.append("\n".join(lines))
    return "\n\n".join(parts) or "The run has kept no record."
