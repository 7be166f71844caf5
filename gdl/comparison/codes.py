"""General lossless coders as reference rows: their bits/dim beside the models on the same images.

The numbers are those of `measure=codecs` on a run of the table or, of well-known data, of the records
results/codecs_*.json, which the package brings along.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdl.files import read_json
from gdl.runs.metrics import CODES, data_identity, data_name

__all__ = ["KIND", "Code", "codes_of", "is_of_coders", "known_codes", "records_dir"]

KIND = "code"
"""What the numbers are, where models have "exact" or "bound"."""

TITLES = {
    "png": "PNG",
    "webp": "WebP, lossless",
    "jxl": "JPEG-XL, lossless",
    "zlib": "zlib, all images",
    "xz": "xz, all images",
}


@dataclass(frozen=True)
class Code:
    """What one coder makes of the test images."""

    title: str
    bpd: float
    nll: float | None
    """The same in nats per image; None if their shape is not known."""
    record: dict[str, Any]
    """Where it is from: a record, or {"metrics": ...} of a run."""


def records_dir() -> Path:
    """Return the folder of the records: gdl/results in a wheel, results/ in a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "results"
    return packaged if packaged.is_dir() else package.parent / "results"


def is_of_coders(record: dict[str, Any]) -> bool:
    """Return whether a record is of coders alone: its numbers are of data and of no model."""
    return "metrics" in record and "model" not in record["metrics"]


def known_codes(folder: Path | None = None) -> list[dict[str, Any]]:
    """Return the records of coders in a folder, by default in the one of the package."""
    return [read_json(f) for f in sorted((folder or records_dir()).glob("codecs_*.json"))]


def codes_of(group: Iterable[dict[str, Any]], known: Sequence[dict[str, Any]] = ()) -> list[Code]:
    """Return the coders' numbers for a table, the best first; none if nothing was measured.

    Args:
        group: Records of the runs of the table, which have the same data; {"metrics": ...} will do.
        known: Records of coders on other data and perhaps these. Runs older than digests have those of
            data of the same name, as they have published numbers.
    """
    runs = list(group)
    measured = [r for r in runs if any(k.startswith(CODES) for k in r["metrics"])]
    found: dict[str, Code] = {}
    for record in (*measured, *(r for r in known if _same(runs[0]["metrics"], r["metrics"]))):
        for name, title in TITLES.items():
            bpd = record["metrics"].get(f"{CODES}{name}/bpd")
            if isinstance(bpd, int | float) and name not in found:
                found[name] = Code(title, bpd, _nats(bpd, record["metrics"]), record)
    return sorted(found.values(), key=lambda code: code.bpd)


def _nats(bpd: float, metrics: dict[str, Any]) -> float | None:
    shape = metrics.get("data/shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) for n in shape):
        return None
    return bpd * math.prod(shape) * math.log(2)


def _same(run: dict[str, Any], coders: dict[str, Any]) -> bool:
    if "data/digest" in run:
        return data_identity(run) == data_identity(coders)
    return data_name(run) == data_name(coders)
