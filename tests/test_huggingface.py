"""data=huggingface: local folders, parquet files and saved data sets, without a network."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from gdl.data import HuggingFace
from gdl.errors import GdlError

SPLITS = ("train", "val", "test")
COLOURS = np.random.default_rng(0).permutation(250)[:40] + 1
"""One colour for each image, by which it is known."""


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    found = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    found.disable_progress_bars()
    return found


def image(i, size=(20, 16)):
    return Image.new("L", size, int(COLOURS[i]))


def table(datasets, indices, classes=("ant", "bee", "cat")):
    features = {"id": datasets.Value("int64"), "photo": datasets.Image()}
    columns = {"id": [int(i) for i in indices], "photo": [image(i) for i in indices]}
    if classes:
        features["kind"] = datasets.ClassLabel(names=list(classes))
        columns["kind"] = [int(i) % len(classes) for i in indices]
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def build(path, tmp_path, **options):
    options = {"data_dir": str(tmp_path / "cache"), "shape": (1, 8, 8), **options}
    return HuggingFace(str(path), levels=256, **options)


def numbers(data, split):
    """The numbers of the images of a split, by their colours."""
    number = {int(colour): i for i, colour in enumerate(COLOURS)}
    x = data.images(split)
    assert (x == x[:, :, :1, :1]).all()
    return [number[int(c)] for c in x[:, 0, 0, 0]]


def check(data, sizes, parts):
    assert [len(data.images(split)) for split in SPLITS] == list(sizes)
    found = {split: numbers(data, split) for split in SPLITS}
    for split, allowed in zip(SPLITS, parts, strict=True):
        assert set(found[split]) <= set(allowed), split
    everything = [i for split in SPLITS for i in found[split]]
    assert len(everything) == len(set(everything))
    for split in SPLITS:
        assert [int(y) for y in data.labels(split)] == [i % 3 for i in found[split]]


def test_a_parquet_file(datasets, tmp_path, capsys):
    table(datasets, range(40)).to_parquet(str(tmp_path / "x.parquet"))
    data = build(tmp_path / "x.parquet", tmp_path)
    check(data, (32, 4, 4), [range(40)] * 3)
    assert "40 images of 40 rows (32 train, 4 val, 4 test), 3 classes" in capsys.readouterr().out


def test_a_folder_of_parquet_files_has_parts(datasets, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    table(datasets, range(30)).to_parquet(str(folder / "train-0.parquet"))
    table(datasets, range(30, 40)).to_parquet(str(folder / "test-0.parquet"))
    check(build(folder, tmp_path), (27, 3, 10), [range(30), range(30), range(30, 40)])


def test_a_saved_data_set_and_its_own_names(datasets, tmp_path):
    parts = {"a": range(20), "b": range(20, 30), "c": range(30, 40)}
    saved = datasets.DatasetDict({name: table(datasets, part) for name, part in parts.items()})
    saved.save_to_disk(str(tmp_path / "saved"))
    split = {"train": "b", "val": "a", "test": "c"}
    data = build(tmp_path / "saved", tmp_path, split=split)
    check(data, (10, 20, 10), [range(20, 30), range(20), range(30, 40)])
    data = build(tmp_path / "saved", tmp_path, split={"train": "b", "test": "a"})
    check(data, (9, 1, 20), [range(20, 30), range(20, 30), range(20)])
    assert data.facts()["skipped_first"] == ["part c (no split)"]
    with pytest.raises(GdlError, match=r"has no part 'd'.*: it has a, b, c"):
        build(tmp_path / "saved", tmp_path, split={"train": "d"}).setup()


def test_a_folder_of_images(datasets, tmp_path):
    for i in range(40):
        part = "train" if i < 30 else "test"
        path = tmp_path / "photos" / part / ("ant", "bee", "cat")[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image(i).save(path)
    check(build(tmp_path / "photos", tmp_path), (27, 3, 10), [range(30)] * 2 + [range(30, 40)])


def test_a_second_start_decodes_nothing(datasets, tmp_path, monkeypatch):
    table(datasets, range(40)).to_parquet(str(tmp_path / "x.parquet"))
    first = build(tmp_path / "x.parquet", tmp_path)
    first.setup()
    monkeypatch.setattr("gdl.data.huggingface._Cells", None)
    second = build(tmp_path / "x.parquet", tmp_path)
    assert torch.equal(first.images("train"), second.images("train"))
    assert first.digest() == second.digest()


def test_columns_are_found_or_named(datasets, tmp_path):
    x = table(datasets, range(40))
    x = x.add_column("second", [i % 5 for i in range(40)]).add_column("name", list("ba" * 20))
    path = tmp_path / "x.parquet"
    x.to_parquet(str(path))
    assert build(path, tmp_path, label="second").facts() == {}
    data = build(path, tmp_path, label="second")
    assert [int(y) for y in data.labels("test")] == [i % 5 for i in numbers(data, "test")]
    data = build(path, tmp_path, label="name")
    assert [int(y) for y in data.labels("test")] == [1 - i % 2 for i in numbers(data, "test")]
    for options, message in (
        ({"label": "colour"}, r"no column data\.label=colour: there are id, photo, kind"),
        ({"image": "kind"}, r"data\.image must name .*one of photo"),
    ):
        with pytest.raises(GdlError, match=message):
            build(path, tmp_path, **options).setup()
    x.remove_columns("photo").to_parquet(str(path))
    with pytest.raises(GdlError, match=r"data\.image must name .*one of none"):
        build(path, tmp_path).setup()


def test_broken_images_are_left_out_and_missing_labels_mean_none(datasets, tmp_path):
    x = table(datasets, range(40), classes=())
    cells = x.cast_column("photo", datasets.Image(decode=False))["photo"][:]
    cells[3], cells[7] = None, {"bytes": b"no image", "path": None}
    cells[9] = {"bytes": b"", "path": "x.png"}
    features = datasets.Features(
        {"photo": datasets.Image(decode=False), "kind": datasets.ClassLabel(names=["a"])}
    )
    rows = {"photo": cells, "kind": [0] * 39 + [-1]}
    broken = datasets.Dataset.from_dict(rows, features=features)
    broken.cast_column("photo", datasets.Image()).to_parquet(str(tmp_path / "x.parquet"))
    data = build(tmp_path / "x.parquet", tmp_path)
    seen = sorted(i for split in SPLITS for i in numbers(data, split))
    assert seen == [i for i in range(40) if i not in (3, 7, 9)]
    assert data.facts()["skipped_files"] == 3
    assert data.facts()["skipped_first"][1] == "train[7] (not an image)"
    assert data.labels("train") is None


@pytest.mark.parametrize("path", ["./nowhere", "nowhere.parquet", "http://x/y/z", "a/b/c"])
def test_what_is_no_data_set_gets_a_sentence(datasets, tmp_path, path):
    with pytest.raises(GdlError, match=r"cannot be opened as a data set .*set data\.path"):
        build(path, tmp_path).setup()


def test_code_in_a_folder_does_not_run(datasets, tmp_path):
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
    for fill in (
        lambda: None,
        lambda: table(datasets, range(40)).to_parquet(f"{folder}/x.parquet"),
    ):
        fill()
        with pytest.raises(GdlError, match=r"scripts are no longer supported"):
            build(folder, tmp_path).setup()
    assert not (tmp_path / "pwned").exists()


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(GdlError, match=r"pip install 'gdl\[hf\]'"):
        build("ylecun/mnist", tmp_path).setup()
