"""Whatever the input, a command ends well or with one sentence, never with a traceback."""

import importlib.util
import random
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import numpy as np
import pytest
from fuzz_cases import SMALL, TINY, damage_cases, line_cases, place, value_cases
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
KINDS = {
    "vae": ["model=vae"],
    "made": ["model=made", "model.hidden=[8]"],
    "glow_tiny": ["model=glow_tiny", *SMALL["glow_tiny"]],
    "toy": ["model=realnvp", "model.hidden=[8]", "data=toy2d", "data.num_eval=100"],
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Finished runs by what the cases call them, as folders; and a folder of images."""
    folder = tmp_path_factory.mktemp("runs")
    noise = np.random.default_rng(0)
    (folder / "images").mkdir()
    for i in range(20):
        pixels = noise.integers(0, 256, (9, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
    for name, options in KINDS.items():
        args = [a for a in TINY if not (name == "toy" and a.startswith("data="))]
        done = forked.run("train", [*args, *options, f"hydra.run.dir={name}"], folder)
        assert done.code == 0, done.err
    return folder


def fault(done):
    """Return what is wrong with how a command has ended, or None."""
    lines = [line for line in done.err.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    if "Traceback" in done.out + done.err:
        return "a traceback"
    if "defect" in done.err:
        return "a defect"
    if done.code in (None, 0):
        return None
    if done.code != 1 or len(errors) != 1 or lines[-1] != errors[0]:
        return f"exit code {done.code} with {len(errors)} sentences"
    return None


def try_all(cases, runs, tmp_path, seconds):
    found = []
    for i, case in enumerate(cases):
        folder = tmp_path / str(i)
        kind = next(
            (k for k in KINDS if any(f"={t}" in " ".join(case.args) for t in USES[k])), "vae"
        )
        place(case, runs / kind, folder)
        (folder / "images").symlink_to(runs / "images")
        done = forked.run(case.command, case.args, folder, seconds)
        if what := fault(done):
            found.append(
                f"{case.name}: {what}\n{' '.join([case.command, *case.args])}\n{done.err[-1500:]}"
            )
        shutil.rmtree(folder)
    assert not found, "\n\n".join([f"{len(found)} of {len(cases)}", *found])


USES = {
    "vae": [],
    "made": ["complete", "conditional"],
    "glow_tiny": ["inversion", "dequantization"],
    "toy": ["density", "divergence"],
}


def test_a_sample_of_bad_input_ends_with_a_sentence(runs, tmp_path):
    cases = [*value_cases(0), *line_cases(0), *damage_cases(0, runs / "vae")]
    try_all(random.Random(0).sample(cases, 8), runs, tmp_path, 20)


def test_a_damaged_run_is_left_out_of_a_comparison_and_named(runs, tmp_path):
    for name, text in {"one": "[]", "two": '{"model": 3}', "three": None}.items():
        shutil.copytree(runs / "vae", tmp_path / "cwd" / "outputs" / name)
        if text is not None:
            (tmp_path / "cwd" / "outputs" / name / "metrics.json").write_text(text)
    done = forked.run("compare", [], tmp_path / "cwd")
    assert fault(done) is None  # the third was tested on a part of the data, so it is no result
    assert "2 damaged" in done.out
    assert [n for n in ("one", "two", "three") if f"outputs/{n}/metrics.json" in done.out] == [
        "one",
        "two",
    ]


def test_a_defect_says_where_its_traceback_is(runs, tmp_path):
    (tmp_path / "cwd").mkdir()
    args = [*TINY, "model=vae", "hydra.run.dir=run"]
    done = forked.run("train", args, tmp_path / "cwd", before="forked:with_a_defect")
    assert done.code == 1
    (line,) = done.err.splitlines()
    file = tmp_path / "cwd" / "run" / "traceback.txt"
    assert line == f"error: This is a defect of gdl (KeyError: 'oh'); the traceback is in {file}."
    assert "with_a_defect" in file.read_text()
    env = {"GDL_TRACEBACK": "1"}
    done = forked.run("train", args, tmp_path / "cwd", env=env, before="forked:with_a_defect")
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("error: ")


MISTAKES = {
    "nopackage.X": "No module named 'nopackage'",
    "lab.missing.X": "No module named 'lab.missing'",
    "lab.imports.X": "No module named 'nothing_here'",
    "lab.syntax.X": "invalid syntax",
    "lab.raises.Model": "KeyError, 'oh'",
    "os.getcwd": "is no gdl.families.GenerativeModel",
    "- a list": "give keys with values",
    "[open": "is no YAML",
}


@pytest.mark.parametrize("target", MISTAKES)
def test_a_mistake_in_a_package_of_ones_own_is_named(target, runs, tmp_path):
    lab = tmp_path / "cwd" / "lab"
    (lab / "model").mkdir(parents=True)
    (lab / "__init__.py").touch()
    (lab / "imports.py").write_text("import nothing_here\n")
    (lab / "syntax.py").write_text("def x(:\n")
    (lab / "raises.py").write_text("class Model:\n  def __init__(self): raise KeyError('oh')\n")
    text = target if target[0] in "-[" else f"_target_: {target}"
    (lab / "model" / "own.yaml").write_text(text + "\n")
    done = forked.run("train", [*TINY, "--config-dir=lab", "model=own"], tmp_path / "cwd")
    assert MISTAKES[target] in done.err
    assert fault(done) is None
    assert done.code == 1


def test_the_view_of_wandb_says_what_it_needs():
    if importlib.util.find_spec("wandb_workspaces"):
        pytest.skip("its package is installed")
    command = [sys.executable, "-m", "gdl.comparison.wandb_view", "me"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr == "error: wandb_workspaces is missing: pip install wandb-workspaces.\n"


@pytest.mark.parametrize("model", ["vae", "made", "nade"])
def test_a_model_larger_than_the_memory_is_refused_before_it_is_built(model, runs, tmp_path):
    (tmp_path / "cwd").mkdir()
    large = {
        "vae": "model.encoder.hidden=[900000,900000]",
        "made": "model.hidden=[900000,900000]",
        "nade": "model.hidden=900000000",
    }
    done = forked.run("train", [*TINY, f"model={model}", large[model]], tmp_path / "cwd", 30)
    assert "memory" in done.err, done.err
    assert fault(done) is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_bad_input_ends_with_a_sentence(seed, runs, tmp_path):
    cases = [*value_cases(seed), *line_cases(seed), *damage_cases(seed, runs / "vae")]
    try_all(cases, runs, tmp_path, 20)
