"""data=arrays: files of NumPy's, with or without labels and splits, and never their code."""

import os
import zipfile

import numpy as np
import pytest
import torch

from gdl.commands.conf import register_resolvers
from gdl.data import Arrays
from gdl.data.arrays import array_shape
from gdl.errors import GdlError

SPLITS = ("train", "val", "test")
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (40, 6, 5), dtype=np.uint8)
Y = np.arange(40) % 3


def arrays(path, levels=256, **options):
    options = {"shape": array_shape(str(path)), "data_dir": str(path.parent / "cache"), **options}
    return Arrays(str(path), levels=levels, **options)


def rows(x):
    return sorted(np.asarray(x).reshape(len(x), -1).tolist())


def everything(data):
    return torch.cat([data.images(split) for split in SPLITS])


LAYOUTS = {
    "grey": X,
    "one channel": X[..., None],
    "colour": RNG.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8),
    "two levels": X > 127,
    "by columns": np.asfortranarray(X),
    "colours by columns": np.asfortranarray(np.stack([X, X, X], -1)),
    "a view": np.repeat(X, 2, axis=2)[:, ::-1, ::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("save", ["npy", "savez", "savez_compressed"])
def test_images_come_back_with_the_channels_first(tmp_path, layout, save):
    x = LAYOUTS[layout]
    if save == "npy":
        np.save(tmp_path / "x.npy", x)
    else:
        getattr(np, save)(tmp_path / "x.npz", images=x)
    data = arrays(next(tmp_path.glob("x.*")))
    expected = np.moveaxis(x if x.ndim == 4 else x[..., None], -1, 1).astype(np.uint8)
    assert data.images("train").dtype == torch.uint8
    assert rows(everything(data)) == rows(expected)
    assert [len(data.images(split)) for split in SPLITS] == [32, 4, 4]


NAMES = {
    "gdl": ("images", "labels", "test_images", "test_labels"),
    "keras": ("x_train", "y_train", "x_test", "y_test"),
    "medmnist": ("train_images", "train_labels", "test_images", "test_labels"),
    "capitals": ("X_train", "Y_train", "X_test", "Y_test"),
}


@pytest.mark.parametrize("names", NAMES)
def test_usual_names_give_splits_and_labels(tmp_path, names):
    parts = (X[:30], Y[:30, None], X[30:], Y[30:, None])
    np.savez(tmp_path / "x.npz", **dict(zip(NAMES[names], parts, strict=True)))
    data = arrays(tmp_path / "x.npz")
    assert torch.equal(data.images("test"), torch.from_numpy(X[30:, None]))
    assert torch.equal(data.labels("test"), torch.from_numpy(Y[30:]))
    assert [len(data.images(split)) for split in SPLITS] == [27, 3, 10]
    label = {x.tobytes(): y for x, y in zip(X, Y, strict=True)}
    for split in SPLITS:
        for x, y in zip(data.images(split).numpy(), data.labels(split), strict=True):
            assert label[x.tobytes()] == y


def test_own_names_and_all_three_splits(tmp_path):
    np.savez(tmp_path / "x.npz", a=X[:20], b=X[20:30], c=X[30:], other=Y)
    data = arrays(tmp_path / "x.npz", split={"train": "a", "val": "b", "test": "c"})
    for split, part in zip(SPLITS, (X[:20], X[20:30], X[30:]), strict=True):
        assert torch.equal(data.images(split), torch.from_numpy(part[:, None]))
    assert data.facts()["skipped_first"] == ["array other"]


def test_random_ignores_the_parts_of_a_file(tmp_path):
    np.savez(tmp_path / "x.npz", images=X[:10], test_images=X[10:])
    data = arrays(tmp_path / "x.npz", split="random")
    assert [len(data.images(split)) for split in SPLITS] == [32, 4, 4]
    assert rows(everything(data)) == rows(X)


def test_a_second_start_reads_the_cache_and_a_changed_file_does_not(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", X)
    first = arrays(tmp_path / "x.npy")
    first.setup()
    with monkeypatch.context() as patch:
        patch.setattr("gdl.data.arrays._arrays", None)
        second = Arrays(str(tmp_path / "x.npy"), (1, 6, 5), levels=256, data_dir=first.data_dir)
        assert torch.equal(everything(first), everything(second))
        assert first.digest() == second.digest()
    np.save(tmp_path / "x.npy", X[::-1])
    assert arrays(tmp_path / "x.npy").digest() != first.digest()


def test_the_digest_does_not_depend_on_the_kind_of_file(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.savez_compressed(tmp_path / "x.npz", images=X, labels=Y)
    assert arrays(tmp_path / "x.npy").digest() == arrays(tmp_path / "x.npz").digest()


def test_blocks_of_a_large_file_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr("gdl.data.numpy_files.BLOCK", 100)
    np.savez_compressed(tmp_path / "x.npz", images=X, labels=Y)
    assert rows(everything(arrays(tmp_path / "x.npz"))) == rows(X)


def test_too_few_levels_are_refused_and_too_many_are_said(tmp_path, capsys):
    np.save(tmp_path / "x.npy", X % 17)
    with pytest.raises(GdlError, match=r"up to 16.*set data\.levels=17"):
        arrays(tmp_path / "x.npy", levels=16).setup()
    capsys.readouterr()
    arrays(tmp_path / "x.npy", levels=256).setup()
    assert "for which data.levels=17 is enough" in capsys.readouterr().out
    arrays(tmp_path / "x.npy", levels=17).setup()
    assert "enough" not in capsys.readouterr().out


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def npz(**values):
    return lambda path: np.savez(path, **values)


def text(path):
    path.write_text("no array")


def cut(path):
    np.savez(path, images=X)
    path.write_bytes(path.read_bytes()[:-300])


def flipped(path):
    np.savez(path, images=X)
    content = bytearray(path.read_bytes())
    content[400] ^= 255
    path.write_bytes(content)


def too_short(path):
    with zipfile.ZipFile(path, "w") as archive, archive.open("images.npy", "w") as f:
        np.lib.format.write_array_header_1_0(
            f, {"descr": "|u1", "fortran_order": False, "shape": (40, 6, 5)}
        )
        f.write(b"too short")


def evil(path):
    np.savez(path, images=np.array([Evil(path.parent / "pwned")], dtype=object))


REFUSED = {
    "text": (text, "is no .npz or .npy file of arrays"),
    "cut": (cut, "is no .npz or .npy file of arrays"),
    "a flipped bit": (flipped, "damaged"),
    "too short": (too_short, "damaged or cut off"),
    "objects": (evil, "holds Python objects"),
    "nothing": (npz(), "holds no arrays"),
    "numbers from 0 to 1": (npz(images=X / 255), r"are float64.*numpy\.rint"),
    "two dimensions": (npz(images=X[0]), r"have shape \(6, 5\)"),
    "no images": (npz(images=X[:0]), r"have shape \(0, 6, 5\)"),
    "colours first": (npz(images=np.zeros((9, 3, 8, 8), np.uint8)), "moveaxis"),
    "few": (npz(images=X[:2]), "2 readable images.*add images"),
    "labels of others": (npz(images=X, labels=Y[:7]), r"labels in .*shape \(7,\)"),
    "one-hot labels": (npz(images=X, labels=np.eye(3)[Y]), "whole numbers"),
    "labels between": (npz(images=X, labels=Y + 0.5), "whole numbers"),
    "text labels": (npz(images=X, labels=Y.astype(str)), "whole numbers"),
    "unknown names": (npz(a=X, b=X), r"arrays a, b: name the one.*data\.split\.train=NAME"),
    "other sizes for testing": (npz(images=X, test_images=X[:, :3]), r"\(1, 3, 5\), \(1, 6, 5\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_refused_with_the_fix_and_run_nothing(tmp_path, name):
    write, message = REFUSED[name]
    write(tmp_path / "x.npz")
    with pytest.raises(GdlError, match=message):
        arrays(tmp_path / "x.npz").setup()
    assert not (tmp_path / "pwned").exists()
    assert not list(tmp_path.glob("cache/decoded/[!.]*"))


def test_a_missing_file_and_a_missing_array_are_named(tmp_path):
    with pytest.raises(GdlError, match=r"There is no file .*set data\.file"):
        arrays(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", images=X)
    with pytest.raises(GdlError, match="has no array y: it has images"):
        arrays(tmp_path / "x.npz", split={"train": "images", "test": "y"}).setup()


def test_the_shape_on_the_command_line_comes_from_the_file(tmp_path):
    from test_configs import compose

    register_resolvers()
    np.savez_compressed(tmp_path / "x.npz", images=LAYOUTS["colour"], labels=Y)
    cfg = compose("data=arrays", f"data.file={tmp_path / 'x.npz'}")
    assert list(cfg.data.shape) == [3, 6, 5]
    assert list(cfg.model.shape) == [3, 6, 5]
