"""Which files of a folder are read, once each, and which split and label they have."""

import os
import shutil

import pytest
import torch
from PIL import Image
from test_data import folder

from gdl.data.base import hold_out
from gdl.data.listing import list_images
from gdl.data.splits import Division, class_labels, divide, named_splits
from gdl.errors import GdlError

SPLITS = ("train", "val", "test")


def save(root, *names):
    """Write images of one colour each, the number of the image; return the next number."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save.number = getattr(save, "number", 0) % 255 + 1
        Image.new("L", (16, 16), save.number).save(path)


def names_of(data, root):
    """The paths of the images of each split, found by their colours."""
    colours = {
        Image.open(root / file.name).convert("L").getpixel((0, 0)): file.name
        for file in list_images(root).files
    }
    return {s: sorted(colours[int(x[0, 0, 0])] for x in data.images(s)) for s in SPLITS}


LAYOUTS = {
    "short": ("train", "val", "test"),
    "long": ("training", "validation", "testing"),
    "valid": ("train", "valid", "test"),
    "capitals": ("Train", "Valid", "TEST"),
    "one folder deeper": ("set/train", "set/val", "set/test"),
    "below classes": ("cats/train", "cats/valid", "cats/test"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_of_splits_are_the_splits(tmp_path, layout):
    parts = LAYOUTS[layout]
    for part, n in zip(parts, (5, 2, 3), strict=True):
        save(tmp_path, *(f"{part}/{i}.png" for i in range(n)))
    found = names_of(folder(tmp_path), tmp_path)
    for split, part, n in zip(SPLITS, parts, (5, 2, 3), strict=True):
        assert found[split] == [f"{part}/{i}.png" for i in range(n)]


@pytest.mark.parametrize("missing", ["val", "test"])
def test_a_missing_split_comes_from_the_training_images_only(tmp_path, missing):
    (other,) = {"val", "test"} - {missing}
    save(tmp_path, *(f"train/{i}.png" for i in range(10)), f"{other}/a.png", f"{other}/b.png")
    found = names_of(folder(tmp_path), tmp_path)
    assert found[other] == [f"{other}/a.png", f"{other}/b.png"]
    assert len(found[missing]) == 1
    assert sorted(found["train"] + found[missing]) == sorted(f"train/{i}.png" for i in range(10))


def test_files_outside_of_the_splits_are_named(tmp_path, capsys):
    save(
        tmp_path, *(f"{part}/{i}.png" for part in SPLITS for i in range(2)), "other/x.png", "y.png"
    )
    data = folder(tmp_path)
    assert sum(len(data.images(split)) for split in SPLITS) == 6
    line = capsys.readouterr().out
    assert "6 images of 8 files (2 train, 2 val, 2 test)" in line
    assert "2 not read: other/x.png (in no folder of a split), y.png (in no folder" in line


def test_a_folder_called_train_alone_is_no_split(tmp_path):
    save(tmp_path, *(f"train/{i}.png" for i in range(5)), *(f"bus/{i}.png" for i in range(5)))
    data = folder(tmp_path)
    assert [len(data.images(split)) for split in SPLITS] == [8, 1, 1]


def test_names_of_splits_can_be_given_and_ignored(tmp_path):
    save(tmp_path, *(f"a/{i}.png" for i in range(4)), "a/dev/w.png", "a/dev/x.png", "b/y.png")
    given = {"train": "a", "val": "a/dev", "test": "b"}
    found = names_of(folder(tmp_path, split=given), tmp_path)
    assert found == {
        **{"train": [f"a/{i}.png" for i in range(4)], "val": ["a/dev/w.png", "a/dev/x.png"]},
        "test": ["b/y.png"],
    }
    data = folder(tmp_path, split="random")
    assert sum(len(data.images(split)) for split in SPLITS) == 7


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("sometimes", "must be random, or name folders"),
        ({"train": "a", "tset": "b"}, "not 'tset'"),
        ({"test": "a"}, r"set data\.split\.train"),
        ({"train": "a", "test": "nowhere"}, "There is no folder .*nowhere"),
    ],
)
def test_wrong_splits_are_refused(tmp_path, split, message):
    save(tmp_path, *(f"a/{i}.png" for i in range(4)))
    with pytest.raises(GdlError, match=message):
        folder(tmp_path, split=split).setup()


def test_random_splits_are_those_of_version_0_1():
    """An older run's test images must not become training images of the same folder."""
    x = torch.arange(57)
    rest, test = hold_out(x, None, 6, 3)
    train, val = hold_out(rest[0], None, 11, 3)
    found = divide(57, Division(None, 0.2, 0.1, 3), "x")
    assert torch.equal(found["train"], train[0])
    assert torch.equal(found["val"], val[0])
    assert torch.equal(found["test"], test[0])


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat/1", "cat/2", "dog/1"], [0, 0, 1]),
        (["all/cat/1", "all/dog/x/1"], [0, 1]),
        (["cat/1", "dog/1", "3"], None),
        (["cat/1", "cat/2"], None),
        (["1", "2"], None),
        ([], None),
    ],
)
def test_folders_that_hold_all_images_are_classes(names, labels):
    found = class_labels(names)
    assert (None if found is None else found[0]) == labels


@pytest.mark.parametrize("prefix", ["train/{}/", "{}/train/"])
def test_labels_belong_to_their_images(tmp_path, prefix):
    kinds = ("ant", "bee", "cat")
    for part in SPLITS:
        for kind in kinds:
            there = prefix.replace("train", part).format(kind)
            save(tmp_path, *(f"{there}{i}.png" for i in range(2)))
    (tmp_path / prefix.format("cat") / "2.png").write_text("broken")
    data = folder(tmp_path)
    colours = {
        int(Image.open(tmp_path / f.name).getpixel((0, 0))): f.name
        for f in list_images(tmp_path).files
        if "2.png" not in f.name
    }
    for split in SPLITS:
        labels = data.labels(split)
        assert labels.dtype == torch.int64
        for x, y in zip(data.images(split), labels, strict=True):
            assert kinds[int(y)] in colours[int(x[0, 0, 0])]
    assert data.facts()["classes"] == 3


def test_linked_folders_are_followed_once_and_without_cycles(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    save(root, *(f"own/{i}.png" for i in range(3)))
    save(outside, "deep/a.png", "b.png")
    for link, target in {
        "far": outside,
        "far2": outside,  # a second way to the same
        "again": root / "own",
        "loop": root,
        "up": tmp_path,  # holds the root
        "own/self": root / "own",
        "aa": outside / "deep",
        "gone": tmp_path / "nowhere",
    }.items():
        (root / link).symlink_to(target)
    (outside / "back").symlink_to(root)
    found = list_images(root)
    real = [os.path.realpath(root / file.name) for file in found.files]
    assert sorted(real) == sorted(set(real)), "an image is read twice"
    assert len(real) == 5
    assert {"own/0.png", "own/1.png", "own/2.png"} <= {file.name for file in found.files}
    text = "\n".join(found.left_out)
    for link in ("far2", "again", "loop", "up", "own/self", "gone"):
        assert link in text
    assert len(found.left_out) == found.total - 5


def test_the_cache_in_a_folder_of_images_is_not_read(tmp_path):
    save(tmp_path, *(f"{i}.png" for i in range(4)))
    for _ in range(2):
        data = folder(tmp_path, data_dir=str(tmp_path))
        data.setup()
        assert data.facts()["skipped_files"] == 0


def test_names_that_a_terminal_obeys_are_escaped(tmp_path, capsys):
    save(tmp_path, *(f"{i}.png" for i in range(4)))
    (tmp_path / "a\x1b[2J\n.txt").write_text("")
    (tmp_path / os.fsdecode(b"\xff.dat")).write_text("")
    shutil.copy(tmp_path / "0.png", tmp_path / os.fsdecode(b"\xfe.png"))
    data = folder(tmp_path)
    data.setup()
    assert data.facts()["images"] == 5
    line = capsys.readouterr().out
    assert "\x1b" not in line
    assert line.count("\n") == 1


def test_usual_names_of_parts_are_found_at_any_depth():
    division = Division(None, 0.1, 0.1, 0)
    found = named_splits(["x/Train/cat/1", "x/val/cat/1", "x/3"], division)
    assert found == [("train", "x/cat/1"), ("val", "x/cat/1"), ("", "x/3")]
