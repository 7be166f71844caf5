"""General coders stand beside the models on the same images, and are never taken for one."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_compare import DIGITS, KNOWN, add_old_run, add_run

from gdl.capabilities import Incapable
from gdl.coding import code_lengths
from gdl.comparison.codes import codes_of, known_codes
from gdl.comparison.entries import read_runs
from gdl.comparison.page.page import write_page
from gdl.comparison.results import render
from gdl.comparison.tables import ComparisonTable, comparison_tables
from gdl.comparison.terminal import print_tables
from gdl.evaluation import codecs
from gdl.runs.metrics import CODES

CODED = {"code-png/bpd": 2.5, "code-xz/bpd": 1.5}


def record(numbers: dict[str, float] = CODED, **data: Any) -> dict[str, Any]:
    known = {f"data/{k}": v for k, v in {**DIGITS, **data}.items()}
    return {
        "command": "python benchmarks/codecs.py data=digits",
        "commit": "abcdef1",
        "seed": 0,
        "minutes": 0.5,
        "hardware": {"cpu": "C", "cores": 2, "python": "3.11", "torch": "2"},
        "metrics": {"data": "digits", **known, **numbers},
    }


def tables(folder: Path, *records: dict[str, Any]) -> list[ComparisonTable]:
    return comparison_tables(read_runs([folder])[0], records)


def test_coders_are_rows_between_the_runs_without_a_run_or_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, bpd in (("better", 1.0), ("worse", 2.0)):
        add_run(tmp_path, name, **{"test/bpd": bpd, "params": 5})
    add_run(tmp_path, "diverged", **{"test/bpd": float("nan"), "params": 5})
    without, found = tables(tmp_path)[0], tables(tmp_path, record())[0]
    assert [row[1:4] for row in found.rows] == [
        ["glow", "1.0000", "dequant-1"],
        ["xz, all images", "1.5000", "code"],
        ["glow", "2.0000", "dequant-1"],
        ["PNG", "2.5000", "code"],
        ["glow", "-", "dequant-1"],
    ]
    assert [row for row in found.rows if row[3] != "code"] == without.rows
    for row in found.rows:
        if row[3] == "code":
            assert set(row[:1] + row[4:]) == {"-", ""}
    print_tables([found], paths=True)
    shown = capsys.readouterr().out
    assert [shown.count(text) for text in ("xz, all images", "PNG")] == [1, 1]


@pytest.mark.parametrize(
    ("data", "old", "shown"),
    [
        ({}, False, True),
        ({}, True, True),  # by name, as published numbers
        ({"digest": "cd" * 32}, False, False),
        ({"digest": "cd" * 32}, True, True),
        ({"test": 5}, False, False),
        ({"binarization": "static"}, False, False),
        ({"binarization": "static"}, True, False),
        ({"verified": False}, True, False),
    ],
)
def test_they_are_of_the_same_images(
    tmp_path: Path, data: dict[str, Any], old: bool, shown: bool
) -> None:
    (add_old_run if old else add_run)(tmp_path, "run", **{"test/bpd": 2.0})
    kinds = [row[3] for row in tables(tmp_path, record(**data))[0].rows]
    assert kinds == (["code", "dequant-1", "code"] if shown else ["dequant-1"])


def test_what_a_run_has_measured_comes_first_and_is_not_the_runs_own_number(
    tmp_path: Path,
) -> None:
    add_run(tmp_path, "run", **{"test/bpd": 2.0, "code-xz/bpd": 0.5, "code-other/bpd": 0.1})
    (entry,), _ = read_runs([tmp_path])
    assert entry.best == (2.0, "dequant-1")
    assert [row[2] for row in tables(tmp_path, record())[0].rows] == ["0.5000", "2.0000", "2.5000"]


def test_the_page_names_them_below_the_table(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    add_run(tmp_path, "run", **{"test/bpd": 2.0})
    entries, left_out = read_runs([tmp_path])
    notes = []
    for coders in ([], [record()]):
        text = write_page(entries, left_out, tmp_path / "page.html", coders).read_text()
        notes.append("bits/dim: xz, all images 1.5000; PNG 2.5000." in text)
    assert notes == [False, True]


def test_results_have_them_in_bits_and_nats(tmp_path: Path) -> None:
    run = record({"model": "vae", "kind": "bound", "test/bpd": 2.0, "test/nll": 88.7})  # type: ignore[dict-item]
    toy = {**run, "metrics": {"model": "nice", "data": "toy2d", "kind": "exact", "test/nll": 1.0}}
    for name, content in (("codecs_digits", record()), ("run", run), ("toy", toy)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    text = render(tmp_path)
    assert text.count("| code |") == 2
    rows = [line.split(" | ")[:4] for line in text.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:4]] == ["| xz, all images", "| vae", "| PNG"]
    nats = 64 * math.log(2)
    assert rows[1][1:] == ["1.5000", f"{1.5 * nats:.2f}", "code"]


def test_the_package_has_records_whose_numbers_are_bits() -> None:
    found = known_codes()
    assert found
    for content in found:
        m = content["metrics"]
        bits = {k: v for k, v in m.items() if k.startswith(CODES)}
        assert set(bits) >= {f"code-{name}/bpd" for name in ("png", "webp", "jxl", "zlib", "xz")}
        assert all(0 < v < 16 for v in bits.values())
        assert m["data/digest"]
        assert codes_of([{"metrics": {k: v for k, v in m.items() if k not in bits}}], found)


def test_bits_are_of_the_codes_of_all_images() -> None:
    x = torch.randint(0, 17, (1, 1, 8, 8), dtype=torch.uint8).repeat(7, 1, 1, 1)
    data = SimpleNamespace(levels=17, shape=(1, 8, 8), images=lambda split: x)
    found, one = codecs(None, data), codecs(None, data, limit=1)  # type: ignore[arg-type]
    alone = {k: 8 * int(v.sum()) / x.numel() for k, v in code_lengths(x, 17).items()}
    assert found["code-png/bpd"] == alone["png"] == one["code-png/bpd"]
    # one stream knows the images before
    assert found["code-xz/bpd"] < 0.5 * alone["xz"]
    assert set(found) == {f"code-{name}/bpd" for name in alone}


@pytest.mark.parametrize(("levels", "shape"), [(None, (2,)), (None, (1, 8, 8)), (1024, (1, 8, 8))])
def test_what_is_no_image_of_bytes_is_refused(levels: int | None, shape: tuple[int, ...]) -> None:
    data = SimpleNamespace(levels=levels, shape=shape, images=lambda split: torch.zeros(3, *shape))
    with pytest.raises(Incapable, match="measure=codecs asks for images of at most 256 levels"):
        codecs(None, data)  # type: ignore[arg-type]


def test_a_table_of_other_data_has_none(tmp_path: Path) -> None:
    add_run(tmp_path, "toy", data="toy2d", **{"test/nll": 1.0, **{k: None for k in KNOWN}})
    assert all(row[3] != "code" for t in tables(tmp_path, record()) for row in t.rows)
