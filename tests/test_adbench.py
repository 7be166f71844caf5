"""The comparison of detectors: each finds what does not belong, and all see the same rows."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def adbench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("adbench")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        x = rng.normal(size=(300, 4)) * [1, 50, 0.1, 1] + [0, 7, 0, 3]
        x[280:] += 8 * np.array([1, -50, 0.1, 1])
        np.savez(tmp_path / f"{name}.npz", X=x, y=np.arange(300) >= 280)
    return tmp_path


def run(adbench: Any, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["adbench.py", *options])
    adbench.main()


def test_every_detector_finds_rows_far_from_the_others(
    adbench: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run(adbench, monkeypatch, f"data_dir={folder}", "seeds=1", "steps=50")
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if " | " in line]
    assert lines[0][4:] == [*adbench.FLOWS, "gaussian", *adbench.CLASSICAL]
    assert [line[0] for line in lines[1:3]] == ["a", "b"]
    assert all(float(cell) > 0.97 for line in lines[1:3] for cell in line[4:])


def test_no_training_row_is_scored_and_no_anomaly_is_trained_on(adbench: Any) -> None:
    x, y = np.random.default_rng(0).normal(size=(101, 3)), (np.arange(101) < 11).astype(int)
    x[:, 2] = y  # constant in the training rows
    seen, others, anomalous = adbench.split(x, y, seed=0, most=1000)
    assert (len(seen), len(others), anomalous.sum()) == (45, 56, 11)
    assert seen.shape[1] == 2
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(seen.std(0), 1)
    assert not {tuple(row) for row in seen} & {tuple(row) for row in others}
    assert len(adbench.split(x, y, seed=0, most=10)[0]) == 10
    assert not np.array_equal(adbench.split(x, y, seed=1, most=1000)[0], seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "set data_dir=FOLDER"),
        (["data_dir=/nowhere"], "no such .npz files in /nowhere"),
        (["data_dir=.", "methods=knm"], "no method knm; there are realnvp"),
    ],
)
def test_wrong_arguments_are_told(
    adbench: Any, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        run(adbench, monkeypatch, *options)


def test_a_set_without_labels_is_told(
    adbench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "x.npz", X=np.random.default_rng(0).normal(size=(9, 2)))
    with pytest.raises(SystemExit, match="needs an array y"):
        run(adbench, monkeypatch, f"data_dir={tmp_path}")
