"""The benchmark of the page: what it prints of small runs is within the bounds that it stands for."""

import os
import runpy
import subprocess
import sys

import pytest
from small_runs import ROOT, train

RUNS = {
    "ae": ["model=ae", "network@model.network=conv", "model.encoder.channels=4"],
    "vae": ["model=vae"],
    "conditional": ["model=vae", "model.conditional=true"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_page_is_exact_and_small(name, tmp_path, chromium):
    run = train(tmp_path / name, *RUNS[name], "data=digits")
    script = str(ROOT / "benchmarks" / "explorer.py")
    done = subprocess.run(
        [sys.executable, script, f"run={run}", "decodes=5"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    columns, row = (line.split(" | ") for line in done.stdout.splitlines()[:2])
    cells = dict(zip(columns, row, strict=True))
    assert cells["run"] == name
    assert float(cells["MB"]) <= float(cells["bound"])
    assert int(cells["pixels, largest"]) <= 2
    assert float(cells["encoder, worst"]) <= 1e-2
    assert float(cells["ready s"]) > 0


@pytest.mark.parametrize(
    ("args", "about"),
    [
        ([], "name runs"),
        (["runs=a"], "runs=a has no meaning"),
        (["a"], "a has no meaning"),
        (["run="], "run= has no meaning"),
        (["run=a", "decodes=ten"], "decodes=ten"),
        (["run=a", "decodes=0"], "decodes=0"),
        (["run=a", "decodes=-5"], "decodes=-5"),
        (["run=a", f"pages={__file__}"], "is a file"),
    ],
)
def test_arguments_that_mean_nothing_get_a_sentence(args, about, monkeypatch):
    pytest.importorskip("playwright")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script = runpy.run_path(str(ROOT / "benchmarks" / "explorer.py"))
    monkeypatch.setattr(sys, "argv", ["explorer.py", *args])
    with pytest.raises(SystemExit, match=f"error: .*{about}"):
        script["chosen_options"]()
