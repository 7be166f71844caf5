"""A file of somebody else runs no code: neither its checkpoint nor its saved arguments."""

import gzip
import io
import os
import sys
import warnings
import zipfile
from itertools import pairwise
from pathlib import Path

import forked
import hydra
import pytest
import torch
from omegaconf.errors import OmegaConfBaseException

from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.places import check_places
from gdl.commands.resume import with_resume
from gdl.commands.trust import check_targets, with_config_dir, with_trust
from gdl.errors import GdlError
from gdl.files import is_whole_archive, read_json
from gdl.runs.checkpoints import AtomicCheckpointIO, open_run
from gdl.runs.config import read_config
from gdl.runs.directory import Run
from gdl.runs.links import check_links
from gdl.serialization import build

PACKED = Path(__file__).parent / "checkpoints" / "vae_gaussian.ckpt.gz"
CHECKPOINT = gzip.decompress(PACKED.read_bytes())
MAKE = {"_target_": "os.makedirs", "name": "pwned"}
SUSPICIOUS = ("os.mkdir", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")

seen: list[str] | None = None


def listen(event, args):
    if seen is None:
        return
    if event in SUSPICIOUS or (event == "import" and args[0].startswith("mylab")):
        seen.append(f"{event} {args!r:.80}")


sys.addaudithook(listen)  # for good, so it listens only while a test wants it to


@pytest.fixture
def nothing_runs(tmp_path, monkeypatch):
    """Fail a test in which a folder is made, a process started or mylab imported."""
    global seen
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GDL_TRUST", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    seen = []
    yield
    found, seen = seen, None
    assert found == []
    assert not Path("pwned").exists()


def poisoned(folder, part, key, value):
    """Write a checkpoint whose configuration has this value."""
    content = torch.load(io.BytesIO(CHECKPOINT), weights_only=True)
    config = content["gdl_config"]
    if key is None:
        config[part] = value
    else:
        config[part][key] = value
    path = folder / "best.ckpt"
    torch.save(content, path)
    return path


VALUES = {
    "a dict": MAKE,
    "a dict in a list": [MAKE],
    "a dict in a tuple": (MAKE,),
    "a dict in a dict": {"a": MAKE},
    "a partial": {**MAKE, "_partial_": True},
    "an interpolation": "${oc.create:{_target_: os.makedirs, name: pwned}}",
    "an interpolation in a list": ["${oc.create:{_target_: os.makedirs, name: pwned}}"],
    "a variable": "${oc.env:HOME}",
    "a module in a module of gdl": {"_target_": "gdl.serialization.os.makedirs", "name": "pwned"},
    "a private name of gdl": {"_target_": "gdl.data.cifar.os.makedirs", "name": "pwned"},
    "a function of gdl": {"_target_": "gdl.files.write_atomically", "path": "pwned"},
    "a target that is no text": {"_target_": ["os.makedirs"], "name": "pwned"},
    "a builtin": {"_target_": "builtins.exec", "object": "import os; os.mkdir('pwned')"},
    "a package of one's own": {"_target_": "mylab.Thing"},
}


@pytest.mark.parametrize("what", VALUES)
@pytest.mark.parametrize(("part", "key"), [("model", "latent_dim"), ("data", "seed")])
def test_a_poisoned_checkpoint_is_refused_and_nothing_runs(
    what, part, key, tmp_path, nothing_runs
):
    path = poisoned(tmp_path, part, key, VALUES[what])
    with pytest.raises(GdlError, match=r"asks to call|is not plain data"):
        open_run(str(path))


@pytest.mark.parametrize("part", ["model", "data"])
def test_a_whole_part_that_is_something_else_is_refused(part, tmp_path, nothing_runs):
    with pytest.raises(GdlError, match=r"asks to call os.makedirs"):
        open_run(str(poisoned(tmp_path, part, None, MAKE)))


def test_a_folder_that_a_checkpoint_names_is_not_searched_without_trust(tmp_path, nothing_runs):
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "__init__.py").write_text("Thing = dict\n")
    seen.clear()  # the folder of this test
    path = poisoned(tmp_path, "config_dir", None, str(tmp_path / "mylab"))
    content = torch.load(path, weights_only=True)
    content["gdl_config"]["model"]["latent_dim"] = {"_target_": "mylab.Thing"}
    torch.save(content, path)
    before = [*sys.path]
    with pytest.raises(GdlError, match="trust=mylab"):
        open_run(str(path))
    with pytest.raises(GdlError, match="trust=mylab"):
        open_run(str(path), trust=["other"])
    assert sys.path == before


def test_of_a_trusted_package_only_what_it_defines_is_called(tmp_path, monkeypatch):
    (tmp_path / "minelab.py").write_text("from os import makedirs\n\ndef two():\n    return 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert build({"_target_": "minelab.two"}, ["minelab"]) == 2
    for name in ("makedirs", "os.makedirs", "missing"):
        with pytest.raises(GdlError, match=r"does not define|cannot be imported"):
            build({"_target_": f"minelab.{name}", "name": str(tmp_path / "pwned")}, ["minelab"])
    assert not (tmp_path / "pwned").exists()


def test_trust_is_read_from_the_arguments_and_left_out_of_them(monkeypatch):
    monkeypatch.setenv("GDL_TRUST", "a")
    assert with_trust(["x=1", "trust=b,c", "trust='[d]'"]) == ["x=1"]
    assert os.environ["GDL_TRUST"] == "a,b,c,d"
    with pytest.raises(GdlError, match="names no Python package"):
        with_trust(["trust=../mylab"])


# ---- the saved arguments of a run


def saved_run(folder, *overrides):
    """Write a run directory that holds these arguments and a checkpoint."""
    (folder / ".hydra").mkdir(parents=True)
    lines = "".join(f"- {o!r}\n" for o in overrides)
    (folder / ".hydra" / "overrides.yaml").write_text(lines or "[]")
    run = Run(folder)
    run.note_command()
    (run.checkpoints / "last.ckpt").write_bytes(CHECKPOINT)
    return [f"resume={folder}"]


@pytest.mark.parametrize(
    "override",
    [
        "hydra.callbacks={x: {_target_: os.makedirs, name: pwned}}",
        "+hydra={callbacks: {x: {_target_: os.makedirs, name: pwned}}}",
        "hydra/launcher=joblib",
        "++hydra.job_logging.formatters.x={(): os.system}",
        "+callbacks@hydra.callbacks=default",
        "+callbacks@_global_.hydra.callbacks=default",
        "--config-dir=.",
        "--experimental-rerun=job.pickle",
        "model=../../../../tmp/evil",
        "+experiment=[../../evil]",
        "+anything=../evil",
    ],
)
def test_saved_arguments_that_hydra_would_act_on_are_refused(override, tmp_path):
    with pytest.raises(GdlError, match="it was not resumed"):
        with_resume(saved_run(tmp_path / "run", "model=vae", override))


def test_the_saved_arguments_of_a_run_keep_no_word_of_trust(tmp_path, monkeypatch):
    monkeypatch.delenv("GDL_TRUST", raising=False)
    monkeypatch.delenv("GDL_DATA_DIR", raising=False)  # it would replace a folder that is not here
    resume = saved_run(tmp_path / "run", "model=vae", "+trust=os", "data_dir=../data")
    args, resumed = with_resume(resume)
    assert resumed
    assert args[:2] == ["model=vae", "data_dir=../data"]
    assert len(args) == 4
    assert args[2].startswith("hydra.run.dir=")
    assert args[3].startswith("resume=")


def test_a_remembered_folder_needs_trust_and_a_new_one_replaces_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("GDL_TRUST", raising=False)
    for name in ("one/mylab", "two/mylab"):
        (tmp_path / name).mkdir(parents=True)
    one, two = tmp_path / "one" / "mylab", tmp_path / "two" / "mylab"
    resume = saved_run(tmp_path / "run", "model=vae", f"config_dir='{one}'")
    with pytest.raises(GdlError, match="trust=mylab"):
        with_resume(resume)
    assert str(one.parent) not in sys.path
    args, _ = with_resume(with_config_dir([*resume, "--config-dir", str(two)]))
    assert [a for a in args if a.startswith("config_dir")] == [f"config_dir='{two}'"]
    monkeypatch.setenv("GDL_TRUST", "mylab")
    args, _ = with_resume(resume)
    assert f"config_dir='{one}'" in args
    assert str(one.parent) in sys.path
    one.rmdir()
    with pytest.raises(GdlError, match="which is gone"):
        with_resume(resume)


@pytest.mark.parametrize("content", ["- a: b: c", "text", "[{a: b}]"])
def test_saved_arguments_that_are_damaged_are_told(content, tmp_path):
    resume = saved_run(tmp_path / "run")
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text(content)
    with pytest.raises(GdlError, match="no list of arguments"):
        with_resume(resume)


def test_resuming_a_strangers_run_ends_with_a_sentence(tmp_path):
    attack = "+callbacks.x={_target_: os.makedirs, name: pwned}"
    resume = saved_run(
        tmp_path / "run", "model=vae", "likelihood@model.likelihood=gaussian", attack
    )
    done = forked.run("train", resume, tmp_path, env={"GDL_TRUST": ""})
    assert done.code == 1
    (sentence,) = done.err.splitlines()
    assert sentence.startswith("error: The run to resume calls os.makedirs, ")
    assert not (tmp_path / "pwned").exists()


def composed(*overrides):
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("train", ["run_dir=runs", "data_dir=data", *overrides])


@pytest.mark.parametrize(
    "override",
    [
        "+callbacks.x={_target_: os.makedirs, name: pwned}",
        "+callbacks.x=[{_target_: os.makedirs, name: pwned}]",
        "+logger.x={_target_: torch.optim.adam.torch.hub.load, repo_or_dir: pwned}",
        "+callbacks.x={_target_: torch.optim.os.makedirs, name: pwned}",
        "+callbacks.x={_target_: lightning.pytorch.cli.LightningCLI}",
        "+callbacks.x={_target_: gdl.files.write_atomically, path: pwned}",
        "+callbacks.x={_target_: gdl.training.run._check_device}",
        "+logger.x={_target_: lightning.pytorch.loggers.MLFlowLogger}",
        "+callbacks.x='${oc.create:{_target_: os.makedirs, name: pwned}}'",
        r"+callbacks.x='\${oc.create:{_target_: os.makedirs, name: pwned}}'",
        "+callbacks.x='${oc.decode:\"{_target_: os.makedirs, name: pwned}\"}'",
        "model.optimizer._target_=os.makedirs",
        "trainer._target_=os.makedirs",
        "data._target_=mylab.Data",
        "model._target_=${oc.env:TARGET}",
    ],
)
def test_a_resumed_run_calls_nothing_outside_gdl(override, nothing_runs, monkeypatch):
    monkeypatch.setenv("TARGET", "os.makedirs")
    refused = r"is not a public part of gdl|is not plain text|not a supported primitive"
    with pytest.raises((GdlError, OmegaConfBaseException), match=refused):
        check_targets(composed(override), resumed=True)


@pytest.mark.parametrize(
    "overrides",
    [
        ["data=digits", "model=vae", "callbacks=ema", "scheduler@model.scheduler=cosine"],
        ["model=glow_tiny", "logger=tensorboard", "trainer=ddp"],
        ["+callbacks.x={_target_: torch.optim.adam.Adam}"],
        ["+callbacks.x={_target_: lightning.pytorch.callbacks.early_stopping.EarlyStopping}"],
        ["+callbacks.x={_target_: gdl.training.grids.ImageGrids}"],
    ],
)
def test_classes_of_gdl_torch_and_lightning_need_no_word(overrides, capsys):
    check_targets(composed(*overrides), resumed=True)
    check_targets(composed(*overrides), resumed=False)
    assert capsys.readouterr().out == ""


def test_training_says_which_classes_are_not_of_gdl(capsys, monkeypatch):
    cfg = composed("model._target_=mylab.ppca.PPCA")
    check_targets(cfg, resumed=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert "classes outside gdl: mylab.ppca.PPCA." in line
    assert line.endswith("say trust=mylab.")
    monkeypatch.setenv("GDL_TRUST", "mylab")
    check_targets(cfg, resumed=True)


# ---- files that are larger, or deeper, than they look


def rewritten(path, change):
    """Write a checkpoint whose content was changed, and return its path."""
    content = torch.load(io.BytesIO(CHECKPOINT), weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def shared_lists(content):
    nested = [0]
    for _ in range(60):
        nested = [nested, nested]  # 2 ** 60 lists for whoever walks them
    content["gdl_config"]["model"]["latent_dim"] = nested


def deep_lists(content):
    nested = [0]
    for _ in range(200):
        nested = [nested]
    content["gdl_config"]["model"]["latent_dim"] = nested


def expanded(content):
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] = torch.zeros(1).expand(10**12)


def expanded_elsewhere(content):
    content["optimizer_states"] = [{"state": {0: {"exp_avg": torch.zeros(1).expand(10**12)}}}]


def without_values(content):
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] = torch.empty(10**9, device="meta")


def sparse(content):
    content["x"] = torch.sparse_coo_tensor([[0]], [1.0], (10**12,))


@pytest.mark.parametrize(
    "change",
    [
        shared_lists,
        deep_lists,
        expanded,
        expanded_elsewhere,
        without_values,
        sparse,
        lambda content: content.pop("state_dict"),
        lambda content: content["gdl_config"].pop("model"),
        lambda content: content.update(state_dict=[1]),
        lambda content: content.update(gdl_config="text"),
        lambda content: content["gdl_config"]["model"].update(latent_dim=10**12),
        lambda content: content["gdl_config"]["model"].update(latent_dim=-1),
        lambda content: content["gdl_config"].update(model={"_target_": "gdl.nn.MLPEncoder"}),
        lambda content: content["gdl_config"]["trainer"].update(devices=(1,)),
    ],
)
def test_a_checkpoint_that_no_run_writes_is_refused_at_once(change, tmp_path):
    path = rewritten(tmp_path / "best.ckpt", change)
    assert path.stat().st_size < 2 * len(CHECKPOINT)
    with pytest.raises(GdlError, match=r"best\.ckpt|memory"):
        open_run(str(path))


def test_archives_that_inflate_or_lie_are_refused(tmp_path):
    parts = zipfile.ZipFile(io.BytesIO(CHECKPOINT))
    contents = {name: parts.read(name) for name in parts.namelist()}

    def written(name, compression=zipfile.ZIP_STORED, first=b"", twice=False):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            for part, data in contents.items():
                archive.writestr(part, data)
            if twice:
                with warnings.catch_warnings(action="ignore"):
                    archive.writestr(part, data)
        path.write_bytes(first + path.read_bytes())
        return path

    assert is_whole_archive(written("good.ckpt"))
    assert not is_whole_archive(written("compressed.ckpt", zipfile.ZIP_DEFLATED))
    assert not is_whole_archive(written("prefixed.ckpt", first=b"#!/bin/sh\n"))
    assert not is_whole_archive(written("twice.ckpt", twice=True))
    lying = bytearray(written("lying.ckpt").read_bytes())
    at = lying.index(b"PK\1\2")  # the first entry of the directory: its sizes are at 20 and 24
    lying[at + 24 : at + 28] = (2**31).to_bytes(4, "little")
    (tmp_path / "lying.ckpt").write_bytes(lying)
    assert not is_whole_archive(tmp_path / "lying.ckpt")
    inflated = bytearray((tmp_path / "good.ckpt").read_bytes())
    at = inflated.index(b"PK\1\2")
    inflated[at + 10] = zipfile.ZIP_DEFLATED  # of the same size, so it says
    (tmp_path / "inflated.ckpt").write_bytes(inflated)
    assert not is_whole_archive(tmp_path / "inflated.ckpt")
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with pytest.raises(GdlError, match="not a file"):
        read_json(pipe)
    assert not is_whole_archive(pipe)
    with pytest.raises(GdlError, match="neither a file nor a folder"):
        check_links(tmp_path)


def doubled(line):
    """Return a mapping in which each key has the one before it twice."""
    return "top:\n" + "".join(f"  {line.format(a=a, b=b)}\n" for a, b in pairwise("abcdefghi"))


BOMBS = {
    "aliases": "top:\n  a: &a [x, x]\n" + doubled("{b}: &{b} [*{a}, *{a}]")[5:],
    "merges": "top:\n  a: &a {x: 1}\n" + doubled("{b}: &{b} {{<<: [*{a}, *{a}]}}")[5:],
    "brackets": "x: " + 100_000 * "[",
    "a tag": "x: !!python/object/apply:os.makedirs [pwned]\n",
    "no dict": "- 1\n- 2\n",
    "no text": "\x00\x01",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_configuration_that_no_run_writes_is_refused(kind, tmp_path, nothing_runs):
    (tmp_path / ".hydra").mkdir()
    seen.clear()
    for name in ("config.yaml", "overrides.yaml"):
        (tmp_path / ".hydra" / name).write_text(BOMBS[kind])
    with pytest.raises(GdlError, match="is damaged"):
        read_config(tmp_path)
    if kind != "no dict":
        with pytest.raises(GdlError, match="is damaged"):
            Run(tmp_path).overrides()


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "3", '{"a": ' * 100_000, '{"model": 3}', '{"seed": "x"}'),
        *('{"test/nll": []}', '{"params": "many"}', '{"kind": 1}', '{"best_val/nll": {}}'),
        *('{"test/nll": 1' + 400 * "0" + "}", '{"test/nll": 1' + 9000 * "0" + "}"),
    ],
)
def test_metrics_that_no_run_writes_are_damaged(content, tmp_path):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(GdlError, match="is damaged"):
        Run(tmp_path).metrics()


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "metrics.json").open("wb") as f:
        f.truncate(10**10)  # a hole
    with pytest.raises(GdlError, match="10000 MB"):
        Run(tmp_path).metrics()


# ---- what a resumed run may read and write


@pytest.mark.parametrize(
    "override",
    [
        "model.beta=${oc.env:SECRET}",
        "logger.wandb.name='x${oc.env:SECRET}'",
        "model.beta=${oc.decode:${oc.env:SECRET}}",
        "model.beta=${${a}:SECRET}",
        "data.bits=${levels:${oc.env:SECRET}}",
        r"callbacks.x='\\${oc.env:SECRET}'",
    ],
)
def test_saved_arguments_read_nothing_but_the_run(override, tmp_path):
    resume = saved_run(tmp_path / "run", "model=vae", override)
    with pytest.raises(GdlError, match="reads more than the run"):
        with_resume(resume)
    key = override.partition("=")[0]
    args, _ = with_resume([*resume, f"{key}=1"])
    assert [a for a in args if a.startswith(key)] == [f"{key}=1"]


def test_saved_arguments_may_name_other_keys_of_the_run(tmp_path):
    kept = ["data.eval_batch_size=${data.batch_size}", "data.levels=${levels:5}"]
    args, _ = with_resume(saved_run(tmp_path / "run", *kept))
    assert args[:2] == kept


@pytest.mark.parametrize(
    "override",
    [
        "callbacks.checkpoint.folder=/tmp/x",
        "callbacks.checkpoint.folder=file:///tmp/x",
        "callbacks.last.folder=x",
        "callbacks.images.folder=../../x",
        "callbacks.images.folder=${data_dir}",
        "callbacks.images.folder='~/x'",
        "logger.csv.path=.bashrc",
        "trainer.default_root_dir=..",
        "run_dir=/tmp/x",
        "data_dir=/tmp/x",
    ],
)
def test_a_resumed_run_writes_below_its_folder(override, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = composed("logger=csv", f"run_dir={tmp_path}/run", override)
    cfg.data_dir = str(tmp_path / "elsewhere") if "data_dir=" in override else cfg.data_dir
    check_targets(cfg, resumed=True)
    key = override.partition("=")[0]
    if key == "data_dir":  # data are read
        check_places(cfg, tmp_path / "run", [])
        return
    with pytest.raises(GdlError, match="leads out of"):
        check_places(cfg, tmp_path / "run", [])
    check_places(cfg, tmp_path / "run", [f"{key}=/anywhere"])


@pytest.mark.parametrize(
    "name", ["images", "checkpoints", ".hydra", "metrics.csv", "images/a.png"]
)
def test_a_link_that_leads_out_of_a_run_is_refused(name, tmp_path):
    run = Run(saved_run(tmp_path / "run", "model=vae")[0].removeprefix("resume="))
    (run.path / "inside.csv").touch()
    (run.path / "link.csv").symlink_to("inside.csv")
    (run.path / "wandb" / "run").mkdir(parents=True)
    (run.path / "wandb" / "run" / "core.log").symlink_to("/elsewhere")
    check_links(run.path)
    path = run.path / name
    if path.exists():
        path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GdlError, match="leads out of the run"):
        check_links(run.path)
    if name != ".hydra":
        with pytest.raises(GdlError, match="leads out of the run"):
            with_resume([f"resume={run.path}"])


@pytest.mark.parametrize("command", ["sample", "evaluate", "train", "reset"])
def test_commands_refuse_what_leads_out_of_a_strangers_run(command, tmp_path):
    overrides = ["model=vae", "likelihood@model.likelihood=gaussian", "trainer.max_epochs=1"]
    if command == "reset":
        overrides += ["callbacks.last.folder=elsewhere"]
    saved_run(tmp_path / "run", *overrides)
    if command != "reset":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "run" / "images").rmdir()
        (tmp_path / "run" / "images").symlink_to(tmp_path / "elsewhere")
    word = "run" if command in ("sample", "evaluate") else "resume"
    name = "train" if command == "reset" else command
    done = forked.run(name, [f"{word}=run"], tmp_path)
    assert done.code == 1
    assert "leads out of" in done.err
    assert not any(tmp_path.glob("elsewhere/*"))


def test_removing_a_checkpoint_follows_no_address(tmp_path, monkeypatch):
    def reached(path):
        raise AssertionError(f"{path} was asked for")

    monkeypatch.setattr("lightning.fabric.plugins.io.torch_io.get_filesystem", reached)
    path = tmp_path / "best.ckpt"
    path.touch()
    for name in (path, path, "http://127.0.0.1:9/best.ckpt", "memory://best.ckpt"):
        AtomicCheckpointIO().remove_checkpoint(name)
    assert not path.exists()
