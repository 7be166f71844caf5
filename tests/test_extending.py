"""docs/extending.md works as printed: its files, its commands, and what it says about trust."""

import importlib
import json
import math
import os
import re
import sys
from pathlib import Path

import forked
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from gdl.capabilities import HasLatents, Samples
from gdl.noise import seed_noise
from gdl.tasks import reconstruct

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
(COMMANDS,) = re.findall(r"<!-- commands -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
SHORT = ["callbacks.images.every_n_epochs=0", "data.num_train=500", "trainer.max_epochs=1"]


def gdl(folder, *args, **env):
    """Run gdl as its console command does: without the current folder on the path."""
    return forked.gdl(*args, cwd=folder, **{"PYTHONPATH": str(ROOT), "GDL_TRUST": "", **env})


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with the files of the page."""
    folder = tmp_path_factory.mktemp("lab")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.fixture(scope="module")
def commands(lab):
    """What each command of the page printed; the first ones in time come first."""
    printed = {}
    for line in COMMANDS.splitlines():
        _, *args = line.split()
        if "resume=latest" in args:
            args = [a.replace("max_epochs=30", "max_epochs=2") for a in args]
        elif args[0] == "train":
            args += SHORT
        done = gdl(lab, *args)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        printed[line] = done.stdout
    return printed


def test_the_page_shows_every_file_of_its_listing():
    listed = re.search(r"```\nmylab/\n(.*?)```", PAGE, re.DOTALL)
    assert listed is not None
    names = {f"mylab/{line.split()[0]}" for line in listed.group(1).splitlines()}
    assert names == set(FILES)
    assert len(FILES["mylab/ppca.py"].splitlines()) < 70


def test_every_command_of_the_page_does_what_it_says(commands, lab):
    checked, first, sample, evaluate, resumed, sweep, compare = commands.values()
    assert re.search(r"^\d+ passed", checked, re.M)
    line, *rest = first.splitlines()
    assert "classes outside gdl: mylab.bars.Bars, mylab.ppca.PPCA." in line
    assert "say trust=mylab" in line
    assert "ppca on bars" in rest[0], "it is said before training begins"
    assert "samples.png" in sample
    assert "bound" in evaluate
    assert "epoch 2/2" in resumed
    assert "2 done" in sweep
    assert compare.count("ppca") >= 3
    metrics = [json.loads(p.read_text()) for p in lab.glob("outputs/**/metrics.json")]
    assert len(metrics) == 3
    assert all(m["kind"] == "bound" and math.isfinite(m["test/bpd"]) for m in metrics)


@pytest.mark.usefixtures("commands")
def test_without_trust_nothing_of_the_package_is_imported(lab):
    (run,) = lab.glob("outputs/bars/ppca/*")
    code = FILES["mylab/__init__.py"]
    # as if the package were a stranger's, and on the path
    (lab / "mylab" / "__init__.py").write_text(code + "open('imported', 'w').close()\n")
    (lab / "elsewhere").mkdir()
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{lab}"}
    for args in (["sample", f"run={run}"], ["train", f"resume={run}"]):
        done = gdl(lab / "elsewhere", *args, **path)
        assert done.returncode == 1
        (sentence,) = done.stderr.splitlines()
        assert sentence.startswith("error: ")
        assert sentence.endswith("trust=mylab.")
        assert not (lab / "elsewhere" / "imported").exists()
    # from another folder the run's own is found
    trust = {"GDL_TRUST": "mylab"}
    done = gdl(lab / "elsewhere", "sample", f"run={run}", "task.n=4", **trust)
    assert done.returncode == 0, done.stderr
    assert f"mylab is imported from {lab}" in done.stdout
    assert (lab / "elsewhere" / "imported").exists()
    (lab / "mylab" / "__init__.py").write_text(code)


@pytest.mark.slow
@pytest.mark.usefixtures("commands")
def test_a_job_with_a_process_of_its_own_goes_on_in_the_same_folder(lab):
    (job,) = lab.glob("outputs/sweeps/*/*latent_dim=4*")
    status = json.loads((job / "status.json").read_text())
    (job / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    args = ["train", "-m", "--config-dir=mylab", "experiment=bars", "model.latent_dim=4,16"]
    done = gdl(lab, *args, *SHORT, "sweep.isolate=true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "latent_dim=4" in done.stdout
    assert "goes on" in done.stdout
    assert "1 of 2 jobs have ended before" in done.stdout


# ---- the model is right


@pytest.fixture(scope="module")
def mylab(lab):
    sys.path.append(str(lab))
    yield {name: importlib.import_module(f"mylab.{name}") for name in ("ppca", "bars")}
    sys.path.remove(str(lab))


def test_ppca_is_the_gaussian_of_the_paper(mylab):
    torch.manual_seed(0)
    model = mylab["ppca"].PPCA([1, 2, 3], 17, 2).double()
    assert isinstance(model, HasLatents)
    assert isinstance(model, Samples)
    x = torch.randint(0, 17, (5, 1, 2, 3), dtype=torch.uint8)
    seed_noise(torch.device("cpu"), "ppca")
    nll = model.nll(x)
    seed_noise(torch.device("cpu"), "ppca")
    y = x.flatten(1) + torch.rand(5, 6, dtype=torch.float64)
    w, var = model.weight, (2 * model.log_std).exp()
    full = MultivariateNormal(model.mean, w @ w.T + var * torch.eye(6))
    torch.testing.assert_close(nll, -full.log_prob(y))
    # E[z | y] = Cov(z, y) Cov(y)^-1 (y - mean)
    centred = x.flatten(1) + 0.5 - model.mean
    expected = centred @ torch.linalg.inv(full.covariance_matrix) @ w
    torch.testing.assert_close(model.encode(x), expected)
    assert "reconstructions" in reconstruct(model, x)


@torch.inference_mode()
def test_its_bound_lies_above_the_probability_of_an_integer(mylab):
    torch.manual_seed(0)
    model = mylab["ppca"].PPCA([1, 1, 1], 3, 1).double()
    y = Normal(model.mean, (model.weight.square().sum() + 1).sqrt())
    for value in range(3):
        exact = -(y.cdf(torch.tensor(value + 1.0)) - y.cdf(torch.tensor(float(value)))).log()
        bound = model.nll(torch.full((20_000, 1, 1, 1), value, dtype=torch.uint8)).mean()
        assert exact < bound < exact + 0.1


@torch.inference_mode()
def test_its_samples_have_the_moments_of_the_model(mylab):
    torch.manual_seed(0)
    model = mylab["ppca"].PPCA([1, 1, 2], 401, 2).double()
    model.weight.mul_(20)
    x = model.sample(20_000, seed=1).flatten(1)
    covariance = model.weight @ model.weight.T + torch.eye(2)
    torch.testing.assert_close(x.mean(0), model.mean - 0.5, rtol=0, atol=1)
    error = (x.T.cov() - covariance).abs().max() / covariance.abs().max()
    assert error < 0.05
    torch.testing.assert_close(model.sample(3, seed=1), model.sample(9, seed=1)[:3])


def test_the_bars_are_what_the_page_says(mylab):
    data = mylab["bars"].Bars(shape=[1, 8, 8], levels=17)
    x = data.images("test").long()[:, 0]
    assert set(x.unique().tolist()) == {0, 8, 16}
    lit = 2 * (1 / 8) * 8
    assert math.isclose(float(x.double().mean()), lit, rel_tol=0.1)
