"""The wheel holds everything that the package needs, and works away from the repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import gdl

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(*args, cwd, path, **env):
    """Run Python without the current folder on its path, as an installed command does."""
    paths = {"PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **paths, **env},
        timeout=240,
    )


def code_files():
    return {str(p.relative_to(ROOT)) for p in (ROOT / "gdl").rglob("*.py")}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel, unpacked, and the names of the files in the source distribution."""
    pytest.importorskip("setuptools", "77")
    folder = tmp_path_factory.mktemp("build")
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("gdl", "conf", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, folder)
    for name in ("outputs", "results"):
        (folder / name).mkdir()
        (folder / name / "x.json").write_text("{}")
    (folder / "results" / "codecs_x.json").write_text("{}")
    code = "from setuptools import build_meta as b; b.build_wheel('dist'); b.build_sdist('dist')"
    done = python("-c", code, cwd=folder, path=folder)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("dist/*.whl")
    (sdist,) = folder.glob("dist/*.tar.gz")
    zipfile.ZipFile(wheel).extractall(folder / "wheel")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    return folder / "wheel", names


def test_no_package_is_missing_from_the_list():
    packages = {str(Path(f).parent).replace("/", ".") for f in code_files()}
    assert packages | {"gdl.conf", "gdl.results"} == set(
        PYPROJECT["tool"]["setuptools"]["packages"]
    )


def test_the_wheel_holds_the_package_and_conf_and_nothing_else(built):
    wheel, sdist = built
    inside = {str(p.relative_to(wheel)) for p in wheel.rglob("*") if p.is_file()}
    configs = {str(p.relative_to(ROOT)) for p in (ROOT / "conf").rglob("*.yaml")}
    page = {f"gdl/comparison/page/page.{end}" for end in ("css", "html", "js")}
    page |= {"gdl/comparison/page/plane.js", "gdl/webpage/base.css"}
    page |= {str(p.relative_to(ROOT)) for p in (ROOT / "gdl/explorer/page").iterdir()}
    own = code_files() | {f"gdl/{name}" for name in configs} | page | {"gdl/py.typed"}
    own |= {"gdl/results/codecs_x.json"}
    assert {name for name in inside if ".dist-info/" not in name} == own
    assert f"gdl-{gdl.__version__}.dist-info/entry_points.txt" in inside
    folders = {name.partition("/")[0] for name in sdist if "/" in name}
    assert folders == {"gdl", "conf", "results", "gdl.egg-info"}
    assert own - sdist == {n for n in own if n.startswith(("gdl/conf/", "gdl/results/"))}
    assert configs <= sdist


@pytest.mark.slow  # .ci/wheel does it, too
def test_an_unpacked_wheel_trains_and_samples_in_another_folder(built, tmp_path):
    wheel, _ = built
    quick = ["trainer=debug", "logger=csv", "callbacks.images.every_n_epochs=0"]
    done = python("-m", "gdl", "train", *quick, cwd=tmp_path, path=wheel)
    assert done.returncode == 0, done.stderr
    done = python("-m", "gdl", "sample", "run=latest", "task.n=4", cwd=tmp_path, path=wheel)
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("outputs/digits/vae/*")
    assert (run / "images" / "samples.png").is_file()
    record = (run / "run.json").read_text()
    assert f'"gdl": "{gdl.__version__}"' in record
    assert '"gdl train trainer=debug' in record


def test_a_wheel_inside_another_repository_does_not_take_its_commit(built, tmp_path):
    wheel, _ = built
    shutil.copytree(wheel, tmp_path / "lib")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for args in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "other"]):
        subprocess.run([*git, *args], cwd=tmp_path, check=True)
    code = "from gdl.runs.directory import git_commit as g; print(g())"
    done = python("-c", code, cwd=tmp_path, path=tmp_path / "lib")
    assert done.stdout.strip() == "None", done.stderr


def test_help_and_version_import_nothing_heavy(tmp_path):
    for argument in ("--help", "--version"):
        code = (
            f"import sys; sys.argv[1:] = ['{argument}']; from gdl.__main__ import main; main(); "
            "print(sorted({'torch', 'hydra', 'lightning', 'numpy'} & set(sys.modules)))"
        )
        done = python("-c", code, cwd=tmp_path, path=ROOT)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert f"gdl {gdl.__version__}" in done.stdout


def test_a_mistyped_command_is_answered_with_the_nearest(tmp_path):
    done = python("-m", "gdl", "trian", cwd=tmp_path, path=ROOT)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: There is no command 'trian': did you mean train? "
        "The commands are train, sample, evaluate, explore, export, check, "
        "compare, compress, decompress."
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("train", ", fvsbn_mnist, glow_cifar10, "),
        ("sample", "task:       complete"),
        ("evaluate", "trust: null"),
        ("compare", "folders: [outputs]"),
    ],
)
def test_the_help_of_a_command_lists_its_keys_and_choices(command, expected, tmp_path):
    done = python("-m", "gdl", command, "--help", cwd=tmp_path, path=ROOT)
    assert done.returncode == 0, done.stderr
    assert f"usage: gdl {command} " in done.stdout
    assert expected in done.stdout
    assert "Hydra" not in done.stdout


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_a_sweep_started_by_the_command_works_in_another_folder(launcher, tmp_path):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    quick = ["trainer=debug", "logger=csv", "callbacks.images.every_n_epochs=0"]
    args = ["-m", "model.latent_dim=2,4", f"hydra/launcher={launcher}", "sweep.name=s", *quick]
    done = python("-m", "gdl", "train", *args, cwd=tmp_path, path=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 done" in done.stdout
    assert len([*tmp_path.glob("outputs/sweeps/s/*/metrics.json")]) == 2


def test_two_processes_started_by_the_command_work_in_another_folder(tmp_path):
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1"]
    args = [*two, "logger=csv", "callbacks.images.every_n_epochs=0", "model.latent_dim=2"]
    done = python("-m", "gdl", "train", *args, cwd=tmp_path, path=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = tmp_path.glob("outputs/digits/vae/*")
    assert (run / "metrics.json").is_file()
