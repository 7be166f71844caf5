"""The table of measure=ood in the terminal."""

import math

from rich.console import Console

from gdl.runs.foreign_table import foreign_table
from gdl.runs.report import print_results

ROW = {"auroc": 0.25, "auroc_low": 0.2, "auroc_high": 0.3, "aupr": 0.4, "fpr95": None}


def shown(metrics: dict) -> str:
    table, console = foreign_table(metrics), Console(width=80, record=True)
    console.print(table)
    return console.export_text()


def test_each_score_has_a_row_below_its_data() -> None:
    keys = {
        f"test/ood/{d}/{s}/{n}": v for d in ("a+grey", "b") for s in "xy" for n, v in ROW.items()
    }
    text = shown({"kind": "bound", "test/ood/k": 7, "test/ood/b/images": 9, **keys})
    assert "nll: bound from 7 samples" in text
    rows = [line.split("│")[1:-1] for line in text.splitlines() if "0.2500" in line]
    assert [[cell.strip() for cell in row[:2]] for row in rows] == [
        ["a+grey", "x"],
        ["? images", "y"],
        ["b", "x"],
        ["9 images", "y"],
    ]
    assert [cell.strip() for cell in rows[0][2:]] == ["0.2500", "0.200–0.300", "0.4000", "-"]


def test_without_the_measure_there_is_no_table() -> None:
    assert foreign_table({"test/nll": 3.0, "kind": "exact"}) is None
    assert foreign_table({"test/ood/a/images": 3}) is None


def test_a_number_that_is_none_is_a_dash() -> None:
    text = shown({"kind": "exact", "test/ood/a/x/auroc": math.nan})
    assert "nll: exact" in text
    assert "nan" not in text.lower()


def test_the_results_of_a_run_end_with_the_table(capsys) -> None:
    print_results(
        {"model": "made", "data": "digits", "kind": "exact", "test/ood/b/x/auroc": 0.125}
    )
    assert "0.1250" in capsys.readouterr().out
