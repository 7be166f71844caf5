"""Decoded images are kept in a file: when it is used, when not, and what it holds."""

import json
import os
import pickle
import time

import numpy as np
import pytest
import torch
from PIL import Image
from test_data import folder

from gdl.data import cache, parallel_decoding
from gdl.errors import GdlError

SPLITS = ("train", "val", "test")


def write(root, n, kind="jpg", size=24):
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{i:04}.{kind}")


@pytest.fixture
def photos(tmp_path):
    write(tmp_path / "photos", 12)
    return tmp_path / "photos"


@pytest.fixture
def decodings(monkeypatch):
    """The number of files of each decoding."""
    found, real = [], parallel_decoding.decode_all
    monkeypatch.setattr(
        "gdl.data.folder.decode_all",
        lambda job, progress: found.append(len(job.sources)) or real(job, progress),
    )
    return found


def entries(photos):
    return sorted(p for p in (photos.parent / "cache" / "decoded").iterdir() if p.is_dir())


def everything(data):
    return torch.cat([data.images(split) for split in SPLITS])


def test_a_second_start_decodes_nothing_and_gives_the_same(photos, decodings):
    first, second = folder(photos), folder(photos)
    for split in SPLITS:
        assert torch.equal(first.images(split), second.images(split))
    assert decodings == [12]
    assert first.facts() == second.facts()
    assert first.digest() == second.digest()


def touch(path):
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def replace_quietly(path):
    """Other content of the same size, with the old time of modification."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-40] ^= 1
    time.sleep(0.02)
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


CHANGES = {
    "added": lambda root: write(root / "more", 1),
    "removed": lambda root: (root / "0003.jpg").unlink(),
    "renamed": lambda root: (root / "0003.jpg").rename(root / "x.jpg"),
    "touched": lambda root: touch(root / "0003.jpg"),
    "replaced": lambda root: replace_quietly(root / "0003.jpg"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_decoded_again_and_the_old_images_go(photos, decodings, change):
    folder(photos).setup()
    (before,) = entries(photos)
    CHANGES[change](photos)
    folder(photos).setup()
    assert len(decodings) == 2
    (after,) = entries(photos)
    assert before != after


@pytest.mark.parametrize(
    "options",
    [{"shape": (3, 8, 8)}, {"shape": (1, 16, 16)}, {"split_seed": 1}, {"white": 9}],
    ids=str,
)
def test_what_decides_on_the_pixels_or_the_splits_is_a_part_of_the_key(photos, decodings, options):
    a = folder(photos)
    a.setup()
    b = folder(photos, **options)
    b.setup()
    assert len(decodings) == len(entries(photos)) == 2
    assert torch.equal(everything(folder(photos)), everything(a))
    assert torch.equal(everything(folder(photos, **options)), everything(b))
    assert len(decodings) == 2


def test_the_digest_is_of_the_images_and_not_of_the_files(photos, tmp_path):
    write(tmp_path / "copy", 12)
    assert folder(photos).digest() == folder(tmp_path / "copy").digest()
    touch(photos / "0001.jpg")
    assert folder(photos).digest() == folder(tmp_path / "copy").digest()
    x = torch.cat([folder(photos).images(split) for split in SPLITS]).numpy()
    assert folder(photos).digest() == cache.digest_of([x[:5], x[5:]])
    write(tmp_path / "copy", 1, size=30)
    assert folder(photos).digest() != folder(tmp_path / "copy").digest()


def cut_images(entry):
    path = entry / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])


def other_shape(entry):
    np.save(entry / "images.npy", np.zeros((12, 3, 8, 8), np.uint8))


def objects(entry):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(entry / "pwned"),)

    np.save(entry / "images.npy", np.array([Evil()] * 12, dtype=object), allow_pickle=True)


def evil_labels(entry):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(entry / "pwned"),)

    (entry / "labels.npy").write_bytes(pickle.dumps(Evil()))


def edit_about(**values):
    def edit(entry):
        about = json.loads((entry / "about.json").read_text())
        (entry / "about.json").write_text(json.dumps({**about, **values}))

    return edit


DAMAGE = {
    "images cut": cut_images,
    "images gone": lambda entry: (entry / "images.npy").unlink(),
    "images empty": lambda entry: (entry / "images.npy").write_bytes(b""),
    "images of another shape": other_shape,
    "images are objects": objects,
    "labels are a pickle": evil_labels,
    "no about": lambda entry: (entry / "about.json").unlink(),
    "about is cut": lambda entry: (entry / "about.json").write_text('{"format": 1, "sha'),
    "about is a list": lambda entry: (entry / "about.json").write_text("[]"),
    "sizes too large": edit_about(sizes={"train": 100, "val": 1, "test": 1}),
    "sizes negative": edit_about(sizes={"train": 12, "val": -1, "test": 1}),
    "sizes missing": edit_about(sizes={"train": 12}),
    "an older format": edit_about(format=0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_malicious_entry_is_built_again_and_runs_nothing(photos, decodings, damage):
    expected = everything(folder(photos)).clone()
    (entry,) = entries(photos)
    DAMAGE[damage](entry)
    assert torch.equal(everything(folder(photos)), expected)
    assert len(decodings) == 2
    assert not (entry / "pwned").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("moment", ["decode_all", "write_labels", "digest"])
def test_an_interrupted_build_is_never_used(photos, monkeypatch, error, moment):
    def stop(*_):
        raise error

    place = {
        "decode_all": "gdl.data.folder.decode_all",
        "write_labels": "gdl.data.building.sizes_of",
        "digest": "gdl.data.cache.digest_of",
    }
    with monkeypatch.context() as patch:
        patch.setattr(place[moment], stop)
        with pytest.raises(error):
            folder(photos).setup()
    assert not entries(photos)
    assert len(everything(folder(photos))) == 12


def test_what_a_killed_build_leaves_is_not_used_and_is_removed(photos, decodings):
    expected = everything(folder(photos)).clone()
    (entry,) = entries(photos)
    (entry / "about.json").unlink()  # it is written last
    (entry / "images.npy").write_bytes(b"a part")
    entry.rename(entry.with_name(f".{entry.name}.building"))
    assert torch.equal(everything(folder(photos)), expected)
    assert len(decodings) == 2
    assert not [p for p in entries(photos) if p.name.endswith(".building")]


def test_several_processes_give_what_one_gives(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    write(photos, 150)
    write(photos / "deep", 1)
    for i in range(5):
        (photos / f"broken{i}.png").write_text("text")
        deep = np.full((16, 16), 1000 * (i + 1), np.uint16)
        Image.fromarray(deep).save(photos / f"deep{i}.png")
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(parallel_decoding, "num_processes", lambda count=count: count)
        data = folder(photos, data_dir=str(tmp_path / f"cache{count}"))
        found.append((data.digest(), data.facts()))
    assert found[0] == found[1] == found[2]
    assert found[0][1]["white"] == 5000
    assert found[0][1]["skipped_files"] == 5


def test_a_process_that_dies_is_reported_with_the_files(tmp_path, monkeypatch):
    write(tmp_path / "photos", 150)
    monkeypatch.setattr(parallel_decoding, "num_processes", lambda: 2)
    monkeypatch.setattr(parallel_decoding, "__file__", str(tmp_path / "die.py"))
    (tmp_path / "die.py").write_text("import os; os._exit(9)")
    with pytest.raises(GdlError, match=r"ended with code 9, at one of the files .*0000\.jpg"):
        folder(tmp_path / "photos").setup()
    assert not entries(tmp_path / "photos")


def test_a_folder_that_cannot_be_written_is_no_hindrance(photos, tmp_path):
    (tmp_path / "file").write_text("")
    data = folder(photos, data_dir=str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"cannot be written .*set data_dir"):
        data.setup()
    assert torch.equal(everything(data), everything(folder(photos)))
    place = data._entry.folder
    assert place.is_dir()
    del data
    assert not place.exists()


def test_images_larger_than_the_disk_are_refused_before_the_work(photos, monkeypatch, decodings):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        GdlError, match=r"take 9\.22e-06 GB.* 1e-06 GB free: set a smaller data.size"
    ):
        folder(photos).setup()
    assert decodings == []


def test_one_image_of_many_gigabytes_is_refused_at_once(photos):
    with pytest.raises(GdlError, match=r"takes 120 GB.*set a smaller data\.size"):
        folder(photos, shape=(3, 200_000, 200_000))


def test_the_images_are_mapped_and_a_change_does_not_reach_the_file(photos):
    data = folder(photos)
    before = everything(data).clone()
    data.images("train").zero_()
    assert not data.images("train").any()
    assert torch.equal(everything(folder(photos)), before)


def test_large_jpegs_are_shrunk_while_they_are_read_and_look_the_same(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    image = coarse.resize((512, 400), Image.Resampling.BICUBIC)
    for i in range(3):
        for kind in ("jpg", "png"):
            (tmp_path / kind).mkdir(exist_ok=True)
            image.save(tmp_path / kind / f"{i}.{kind}", quality=95)
    fast = folder(tmp_path / "jpg").images("train")[0].float()
    exact = folder(tmp_path / "png").images("train")[0].float()
    assert (exact - fast).abs().mean() < 2
    loaded = []
    jpeg = type(Image.open(tmp_path / "jpg" / "0.jpg"))
    real = jpeg.draft
    monkeypatch.setattr(jpeg, "draft", lambda self, *a: (real(self, *a), loaded.append(self.size)))
    folder(tmp_path / "jpg", split_seed=1).setup()
    assert loaded == [(64, 50)] * 3
