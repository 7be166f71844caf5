"""data= and the keys of measures on the line of gdl evaluate, and the data that they open."""

import json
import os
import re
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from PIL import Image

from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.explain import explain
from gdl.commands.measure_keys import with_measure_keys
from gdl.commands.other_data import open_data
from gdl.data import Digits, Folder
from gdl.data.decoding import read_image
from gdl.errors import GdlError

register_resolvers()
OOD = ["measure=ood"]


def others(*args: str) -> tuple[list[list[str]], list[str]]:
    """Return the other data and the remaining arguments, as Hydra reads them."""
    found = with_measure_keys(args, "evaluate")
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("evaluate", found)
    rest = [arg for arg in found if not arg.startswith("other_data=")]
    return [list(entry) for entry in cfg.other_data or []], rest


@pytest.mark.parametrize(
    ("args", "data"),
    [
        (["data=mnist"], [["mnist"]]),
        (["ood.data=[mnist,noise]"], [["mnist"], ["noise"]]),
        (["measure.data=[ mnist , noise ]"], [["mnist"], ["noise"]]),
        (["+data=mnist,noise"], [["mnist"], ["noise"]]),
        (["data=['mnist']"], [["mnist"]]),
        (["data=folder", "data.root=/x y"], [["folder", "root=/x y"]]),
        (["+data.root=a'b", "data=folder"], [["folder", "root=a'b"]]),
        (["data=folder", "++data.split.train=${a}"], [["folder", "split.train=${a}"]]),
        (["data=[folder,noise]", "data.folder.size=3"], [["folder", "size=3"], ["noise"]]),
        (["ood.data=folder", "ood.data.size=3"], [["folder", "size=3"]]),
        ([], []),
    ],
)
def test_other_data_have_one_form(args: list[str], data: list[list[str]]) -> None:
    assert others(*OOD, *args) == (data, OOD)


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ([*OOD, "ood.k=5"], [*OOD, "measure.k=5"]),
        (["measure=iwae", "iwae.k=5"], ["measure=iwae", "measure.k=5"]),
        (["measure=scores", "+scores.by=x"], ["measure=scores", "+measure.by=x"]),
        (
            ["+measure@measure.ood=ood", "ood.k=5"],
            ["+measure@measure.ood=ood", "measure.ood.k=5"],
        ),
        # two scores have an option n, and the first part of another key is no measure
        ([*OOD, "ood.n=5", "seed=3"], [*OOD, "measure.n=5", "seed=3"]),
        ([*OOD, "~ood.scores.complexity"], [*OOD, "~measure.scores.complexity"]),
        (["measure.iwae.data=3"], ["measure.iwae.data=3"]),
    ],
)
def test_a_measure_has_its_keys_by_its_name(args: list[str], found: list[str]) -> None:
    assert with_measure_keys(args, "evaluate") == found


def test_an_option_of_one_score_is_that_scores(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in ("measure", "score"):
        (tmp_path / name).mkdir()
        for file in (CONF / name).glob("*.yaml"):
            (tmp_path / name / file.name).write_text(file.read_text())
    (tmp_path / "score" / "default.yaml").write_text("a: {x: 1, y: 2}\nb: {y: 3}\n")
    monkeypatch.setattr("gdl.commands.measure_keys.CONF", tmp_path)
    args = [*OOD, "ood.x=5", "measure.y=6", "ood.k=7"]
    expected = [*OOD, "measure.scores.a.x=5", "measure.y=6", "measure.k=7"]
    assert with_measure_keys(args, "evaluate") == expected
    assert with_measure_keys(args, "train") == args


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["ood.k=5"], "is of measure=ood: add measure=ood"),
        (["measure=iwae", "scores.data=x"], "is of measure=scores: add measure=scores"),
        ([*OOD, "data.root=x"], "name them with data="),
        ([*OOD, "data=[folder,arrays]", "data.root=x"], "as data.folder.root="),
    ],
)
def test_a_key_without_its_measure_or_data_is_refused(args: list[str], sentence: str) -> None:
    with pytest.raises(GdlError, match=sentence):
        with_measure_keys(args, "evaluate")


# ---- opening


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Digits:
    return Digits(shape=[1, 8, 8], levels=17, data_dir=str(tmp_path_factory.mktemp("data")))


HOSTILE = [
    *("=1+1.png", "+x.png", "-x.png", "@SUM(A1).png", 'a,"b".png', "new\nline\r.png", "é 雪.png"),
    *("a;b\t.png", "'q'.png", "sub dir/=x.png", "${oc.env:HOME}.png", "\x1b[31mred.png"),
]


def write_pictures(folder: Path, names: list[bytes]) -> None:
    g = np.random.default_rng(0)
    for i, name in enumerate(names):
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        grey = Image.fromarray(g.integers(0, 256, (10 + i % 3, 12), dtype=np.uint8))
        with open(path, "wb") as file:
            grey.save(file, "PNG")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    raw = [name.encode() for name in HOSTILE] + [b"\xff\xfe.png"]
    write_pictures(folder, [*raw, *(b"%d.png" % i for i in range(20))])
    return folder


def test_a_folder_gets_the_shape_of_the_run_and_knows_its_files(
    digits: Digits, pictures: Path
) -> None:
    data = open_data("folder", [f"root={pictures}"], digits)
    assert data.shape == (1, 8, 8)
    names = [n for split in ("train", "val", "test") for n in data.names(split)]
    assert sorted(names) == sorted(
        [*HOSTILE, "\udcff\udcfe.png", *(f"{i}.png" for i in range(20))]
    )
    for split in ("train", "val", "test"):
        assert len(data.names(split)) == len(data.images(split))
    for name, x in zip(data.names("train"), data.images("train"), strict=True):
        assert torch.equal(read_image(pictures / name, (1, 8, 8)), x)


def test_names_of_a_folder_decoded_by_an_older_version_are_found(
    tmp_path: Path, pictures: Path
) -> None:
    where = {"root": str(pictures), "data_dir": str(tmp_path)}
    options = {**where, "shape": [1, 8, 8], "levels": 256}
    data = Folder(**options)
    names = data.names("test")
    files = list(tmp_path.glob("decoded/*/names.json"))
    assert len(files) == 1
    for damage in (None, "[]", "no json", json.dumps({"a": 1})):
        files[0].unlink() if damage is None else files[0].write_text(damage)
        assert Folder(**options).names("test") == names


def test_images_without_names_are_numbered(tmp_path: Path) -> None:
    data = Digits(shape=[1, 8, 8], levels=17, data_dir=str(tmp_path), num_val=2)
    assert data.names("val") == ["val[0]", "val[1]"]


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("digit", [], "data=digit does not exist: did you mean digits\\?; the choices are arrays"),
        ("/tmp", [], "a path and no name of data: use data=folder data.root=/tmp"),
        ("folder", [], "data.root has no value: set it, as data=folder data.root="),
        ("folder", ["rot=x"], "no key 'rot': did you mean data.root"),
        ("folder", ["dir=x"], "no key 'dir': it has root, size"),
        ("folder", ["root=/nowhere"], "no folder /nowhere"),
        ("digits", ["num_val=many"], "data.num_val=many does not fit"),
        ("cifar10", ["bits=9"], "data.bits=9 does not fit"),
    ],
)
def test_data_that_cannot_be_had_are_told(
    name: str, options: list[str], sentence: str, digits: Digits
) -> None:
    told = None
    try:
        open_data(name, options, digits)
    except Exception as e:  # what the command explains
        told = explain(e, "evaluate")
    assert re.search(sentence, told or ""), told
