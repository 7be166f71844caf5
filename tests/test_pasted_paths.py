"""What gdl prints as a path can be typed back, whatever is in its name."""

import json
import shlex
import time
import zipfile
from pathlib import Path

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from gdl.commands.compare import folder_of
from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.multirun import with_folder
from gdl.commands.overrides import with_filters, with_run_dir
from gdl.commands.quoting import quoted, with_quoted_paths
from gdl.commands.resume import with_resume
from gdl.errors import GdlError
from gdl.files import for_shell
from gdl.runs.finding import find_run
from gdl.sweeps.names import job_name, sweep_name

NAMES = [
    *["logger=csv,model.beta=2", "a=b", "a,b", "a b", " a", "a  b ", "=", ",", "data=digits"],
    *["a[1]", "[1,2]", "a{b}", "{a:b}", "(a)", "it's", 'say "x"', "'a'", '"a"', "'", "a\"'b"],
    *[
        "é",
        "漢字",
        "ä=ö,ü",
        "~x",
        "~",
        "a$b",
        "$HOME",
        "${x}",
        "a${oc.env:HOME}b",
        "\\${x}",
        "$(x)",
    ],
    *[
        "a\\b",
        "a\\",
        "\\",
        "a\\'b",
        "C:\\a",
        "a:b",
        "null",
        "true",
        "1e3",
        "12",
        "latest",
        "-m",
        "--x",
    ],
    *["a#b", "a%b", "a;b&c|d", "`x`", "a?b*c", "+a=1", "++a", "~a=1", "@a", "a@b=c", "!a", "a\tb"],
    *["resume=x", "run=latest", "folders=[a]", "x" * 200, "a=" + "b" * 200],
]
"""Names of folders that mean something to a shell, to Hydra, to OmegaConf or to gdl."""

PARSER = OverridesParser.create()


@pytest.fixture(scope="module")
def composed():
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda command, args: hydra.compose(command, args)


def make_run(path: Path, started: str = "2026-01-01 10:00:00") -> Path:
    (path / "checkpoints").mkdir(parents=True)
    (path / ".hydra").mkdir()
    (path / ".hydra" / "overrides.yaml").write_text("- model=nice\n")
    (path / "run.json").write_text(json.dumps({"started": started}))
    (path / "metrics.json").write_text("{}")
    with zipfile.ZipFile(path / "checkpoints" / "best.ckpt", "w") as archive:
        archive.writestr("data", "whole")
    return path


def spellings(path: Path) -> list[str]:
    """Return the ways in which a path may be typed, as a program gets them from a shell."""
    text = str(path)
    ways = [text, f"{text}/", quoted(text), for_shell(text), *shlex.split(for_shell(text))]
    if not path.is_absolute():
        # from a machine where "\\" separates; it is part of a name here where both are there
        ways += [f"./{text}", *([text.replace("/", "\\")] if "\\" not in text else [])]
    return ways


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_path_is_found_again_after_run_resume_and_compare(
    name: str, composed, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "outputs" / name)
    files = [run / "checkpoints" / "best.ckpt", run / "metrics.json", run / "checkpoints"]
    ways = [(way, run) for p in (run, run.relative_to(tmp_path)) for way in spellings(p)]
    for way, path in [*ways, *((str(file), file) for file in files)]:
        there, checkpoint = find_run(value_of(f"run={way}", "run"))
        assert (there.path, checkpoint is not None) == (run, path.suffix == ".ckpt"), way
        args, _ = with_resume(with_quoted_paths([f"resume={way}"]))
        (folder,) = (a for a in args if a.startswith("hydra.run.dir="))
        assert value_of(folder, "hydra.run.dir") == str(run), way
        (folders,) = with_filters([way], "compare")
        (value,) = PARSER.parse_overrides([folders])[0].value()
        assert folder_of(text_of(value)).resolve() == run, way
    cfg = composed("evaluate", with_quoted_paths([f"run={run}"]))
    assert cfg.run == str(run)


def value_of(arg: str, key: str) -> str:
    """Return what a command gets of an argument, through the grammar of Hydra and OmegaConf."""
    args = with_quoted_paths([arg])
    assert with_quoted_paths(args) == args, "a process that is started with them reads them again"
    (override,) = PARSER.parse_overrides(args)
    assert override.key_or_group == key
    assert not override.is_sweep_override()
    return text_of(override.value())


def text_of(value: object) -> str:
    return OmegaConf.create({"value": value if isinstance(value, str) else str(value)}).value


def test_a_folder_above_runs_means_the_one_started_last(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "outputs/digits/vae/2", "2026-01-01 10:00:00")
    last = make_run(tmp_path / "outputs/digits/nice/1", "2026-01-01 11:00:00")
    make_run(tmp_path / "outputs/mnist/vae/9", "2026-01-01 12:00:00")
    time.sleep(0.01)
    (tmp_path / "outputs/digits/vae/2/run.json").touch()
    for way in ("outputs/digits", "outputs/digits/", str(tmp_path / "outputs" / "digits")):
        assert find_run(way)[0].path == last
    assert find_run("latest")[0].path == tmp_path / "outputs/mnist/vae/9"
    assert find_run("outputs/digits/nice/1/checkpoints")[0].path == last, "a folder in a run"
    (tmp_path / "outputs" / "empty").mkdir()
    for way in ("outputs/empty", "nowhere", "outputs/digits/vae/2/x.ckpt"):
        with pytest.raises(GdlError, match=r"nothing matches.*outputs/mnist/vae/9"):
            find_run(way)


OVERRIDES = [
    *["model=vae,seed=1", "logger=csv,model.beta=2", "model.hidden=[1,2]", "model.hidden=[1_2]"],
    *[
        "root=a/b",
        "root=a_b",
        "root='a b'",
        "root=é",
        "root=a+b-c",
        "root=a,b=c",
        "+trainer.x=1e-3",
    ],
    *["~callbacks.ema", "network@model.network=conv", "seed=-1", "seed=--1", "", "x='${y}'"],
    *[f"x={'9' * 120}{i},seed=1" for i in range(2)],
    *[",".join(f"model.some_long_key_{i}={i * 1111}" for i in range(n)) for n in (3, 8, 20)],
]
"""What the jobs of sweeps are given."""


def test_names_of_jobs_differ_need_no_quotes_and_hold_whole_words() -> None:
    names = [job_name(o) for o in OVERRIDES]
    assert len(set(names)) == len(names)
    for overrides, name in zip(OVERRIDES, names, strict=True):
        assert for_shell(name) == name
        (override,) = PARSER.parse_overrides([f"run=outputs/{name}"])
        assert override.value() == f"outputs/{name}", "as it is, also for Hydra"
        assert len(name) <= 110
        words = set("".join(c if c.isalnum() else " " for c in overrides).split())
        cut = {w for part in name.split("+") for w in "".join(
            c if c.isalnum() else " " for c in part).split()} - words  # fmt: skip
        assert len(cut - {"default"}) <= 1, "nothing but the hash is new"
    assert job_name("model=vae,sweep.rerun=all,sweep=optuna") == "model-vae"


def test_a_sweep_is_named_by_keys_and_values(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = sweep_name(["-m", "model=vae,fvsbn", "seed=0,1", "hydra/launcher=joblib"])
    assert name.rpartition("-")[0] == "model-vae_fvsbn+seed-0_1"
    assert for_shell(name) == name


def test_sweeps_with_names_of_earlier_versions_go_on(composed, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["-m", "model=vae,nice", "data=digits", "seed=0,1"]
    old = tmp_path / "outputs/sweeps/digits_vae,nice_0,1-8bd07c"
    assert with_folder(args)[1] != old.relative_to(tmp_path)
    old.mkdir(parents=True)
    assert with_folder(args)[1] == old.relative_to(tmp_path)
    for overrides, folder in {
        "data=digits,model=vae,seed=1": "data=digits,model=vae,seed=1",
        "model.hidden=[1,2]": "model.hidden=_1,2-07558f",
    }.items():
        assert job_name(overrides, old) != folder
        (old / folder).mkdir()
        assert job_name(overrides, old) == folder


@pytest.mark.parametrize("given", ["run_dir=a", "run_dir=/a/b c"])
def test_run_dir_is_the_folder_of_a_new_run(given: str) -> None:
    assert with_run_dir(["model=vae", given]) == ["model=vae", f"hydra.run.dir={given[8:]}"]
    for own_place in ("resume=latest", "-m"):  # these have a place of their own
        assert with_run_dir([own_place, given]) == [own_place, given]
