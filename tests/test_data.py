"""Theorems about every data set, on small random files (`root`) and the real ones."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io
import sklearn.datasets
import torch

from gdl.data.arrays import Arrays
from gdl.data.base import ImageData, hold_out, kept_images
from gdl.data.batches import ImageSet
from gdl.data.cifar import CIFAR10
from gdl.data.digits import Digits
from gdl.data.folder import Folder
from gdl.data.mnist import MNIST, BinarizedMNIST, bernoulli
from gdl.data.olivetti import Olivetti
from gdl.data.pairs import Pairs
from gdl.data.text import Text
from gdl.errors import GdlError
from gdl.runs.metrics import data_name

GREY, COLOUR = (1, 28, 28), (3, 32, 32)
UNVERIFIED = pytest.mark.filterwarnings("ignore:.*unverified")


def binarized(root, kind="dynamic", **options):
    options = {"num_val": 10, "verify": False, "shape": GREY, "levels": 2, **options}
    return BinarizedMNIST(kind, batch_size=8, data_dir=str(root), **options)


def cifar(root, bits=8, **options):
    options = {"num_val": 5, "verify": False, "shape": COLOUR, "levels": 2**bits, **options}
    return CIFAR10(bits, batch_size=8, data_dir=str(root), **options)


def mnist(root, **options):
    options = {"num_val": 10, "verify": False, "shape": GREY, "levels": 256, **options}
    return MNIST(batch_size=8, data_dir=str(root), **options)


def olivetti(root):
    return Olivetti(shape=(1, 64, 64), levels=256, data_dir=str(root))


def folder(root, shape=(3, 16, 16), **options):
    options = {"data_dir": str(root.parent / "cache"), **options}
    return Folder(str(root), shape, levels=256, batch_size=4, **options)


TABLE = {
    "digits": (lambda r: Digits(shape=(1, 8, 8), levels=17), (1300, 200, 297)),
    "mnist": (mnist, (50, 10, 20)),
    "dynamic": (binarized, (50, 10, 20)),
    "threshold": (lambda r: binarized(r, "threshold"), (50, 10, 20)),
    "static": (lambda r: binarized(r, "static"), (7, 4, 3)),
    "cifar10": (cifar, (45, 5, 10)),
    "cifar10_5bit": (lambda r: cifar(r, 5), (45, 5, 10)),
    "olivetti": (olivetti, (320, 30, 50)),
    "folder": (lambda r: folder(r / "images"), (8, 1, 1)),
    "arrays": (
        lambda r: Arrays(str(r / "x.npz"), (3, 6, 5), levels=256, data_dir=str(r / "cache")),
        (16, 2, 2),
    ),
    "text": (lambda r: Text((1, 1, 16), file=str(r / "x.txt")), (72, 4, 4)),
    "pairs": (lambda r: Pairs((1, 1, 49), fraction=0.01), (657, 3652, 3652)),
}


@UNVERIFIED
@pytest.mark.parametrize("name", TABLE)
def test_batches_are_bytes_in_range_and_splits_are_exact_disjoint_and_repeatable(root, name):
    build, sizes = TABLE[name]
    data, again = build(root), build(root)
    seen = []
    for split, n in zip(("train", "val", "test"), sizes, strict=True):
        loader = getattr(data, f"{split}_dataloader")()
        batches = list(loader)
        assert sum(map(len, batches)) == n == len(data.images(split))
        for x in batches:
            assert x.dtype == torch.uint8
            assert x.shape[1:] == data.shape
            assert int(x.max()) < data.levels
        labels = data.labels(split)
        assert labels is None or (labels.shape == (n,) and labels.dtype == torch.int64)
        assert torch.equal(torch.cat(batches), torch.cat(list(loader))), "a second pass differs"
        assert torch.equal(data.images(split), again.images(split)), "a second object differs"
        seen.append({x.numpy().tobytes() for x in data.images(split)})
    assert not (seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2])


def test_hold_out_is_a_partition_in_order_that_only_the_seed_changes():
    x, y = torch.arange(100), torch.arange(100) * 7
    (train, train_y), (val, val_y) = hold_out(x, y, 30, seed=1)
    assert (len(train), len(val)) == (70, 30)
    assert torch.equal(torch.cat([train, val]).sort().values, x)
    assert torch.equal(train, train.sort().values)
    assert torch.equal(torch.cat([train_y, val_y]), torch.cat([train, val]) * 7)
    assert torch.equal(hold_out(x, y, 30, seed=1)[1][0], val)
    assert not torch.equal(hold_out(x, y, 30, seed=2)[1][0], val)


def test_random_binarization_depends_only_on_seed_epoch_and_first_index():
    x = torch.arange(256, dtype=torch.uint8).repeat(20, 1).view(20, 1, 16, 16)
    draw = lambda seed, epoch, i: ImageSet(x, bernoulli, seed, lambda: epoch).__getitems__(i)  # noqa: E731
    data = ImageSet(x, bernoulli, 3, lambda: 5)
    first = data.__getitems__([4, 1, 2])
    data.__getitems__([7, 8])
    assert torch.equal(data.__getitems__([4, 1, 2]), first), "it depends on earlier draws"
    assert torch.equal(draw(3, 5, [4, 9, 0]), first), "the later indices matter"
    for seed, epoch, start in ((2, 5, 4), (3, 6, 4), (3, 5, 3)):
        assert not torch.equal(draw(seed, epoch, [start, 1, 2]), first)


def test_random_binarization_has_mean_x_over_255():
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    n = 4000
    p, mean = x.flatten() / 255, torch.zeros(256)
    for epoch in range(n // 100):
        data = ImageSet(x.expand(100, -1, -1, -1), bernoulli, 0, lambda epoch=epoch: epoch)
        mean += data.__getitems__(range(100)).float().sum(0).flatten() / n
    assert mean[0] == 0
    assert mean[255] == pytest.approx(1)
    assert ((mean - p).abs() <= 5 * (p * (1 - p) / n).sqrt() + 1e-5).all()


def trainer_at(epoch, given=0):
    ready = SimpleNamespace(current=SimpleNamespace(ready=given))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=ready))
    return SimpleNamespace(current_epoch=epoch, fit_loop=loop, global_rank=0, world_size=1)


@UNVERIFIED
def test_training_binarization_is_fresh_in_each_epoch_and_repeats_in_another_run(root):
    def train(epoch, seed=0):
        data = binarized(root, seed=seed)
        data.trainer = trainer_at(epoch)
        loader = data.train_dataloader()
        loader.batch_sampler.sampler.set_epoch(
            0
        )  # the same order, so that only the binarization can differ
        return torch.cat(list(loader))

    assert torch.equal(train(2), train(2))
    assert not torch.equal(train(2), train(3))
    assert not torch.equal(train(2), train(2, seed=1))


@UNVERIFIED
def test_threshold_is_above_127_and_static_text_is_read_in_order(root):
    x = mnist(root).images("test")
    assert torch.equal(binarized(root, "threshold").images("test"), (x > 127).to(torch.uint8))
    text = (root / "binarized_mnist" / "binarized_mnist_valid.amat").read_text()
    expected = torch.tensor([int(digit) for digit in text.split()]).view(-1, *GREY)
    assert torch.equal(binarized(root, "static").images("val").long(), expected)


@UNVERIFIED
def test_fewer_bits_drop_the_lowest(root):
    for split in ("train", "val", "test"):
        assert torch.equal(cifar(root, 5).images(split), cifar(root).images(split) // 8)


def test_digits_are_those_that_scikit_learn_returns():
    digits, data = sklearn.datasets.load_digits(), Digits(shape=(1, 8, 8), levels=17)
    assert np.array_equal(data.images("test")[:, 0].numpy(), digits.images[1500:])
    assert np.array_equal(data.labels("test").numpy(), digits.target[1500:])
    train = torch.from_numpy(digits.images[:1500]).to(torch.uint8)[:, None]
    expected = hold_out(train, torch.from_numpy(digits.target[:1500]), 200, 0)
    for split, (x, y) in zip(("train", "val"), expected, strict=True):
        assert torch.equal(data.images(split), x)
        assert torch.equal(data.labels(split), y)


def test_faces_stand_upright_and_nobody_is_in_two_splits(root):
    data = olivetti(root)
    faces = scipy.io.loadmat(root / "olivettifaces.mat")["faces"]
    assert data.images("test")[0, 0, 3, 5] == faces[5 * 64 + 3, 350]
    persons = [set(data.labels(split).tolist()) for split in ("train", "val", "test")]
    assert [len(p) for p in persons] == [32, 3, 5]
    assert len(set.union(*persons)) == 40


def test_faces_through_scikit_learn_are_the_same_integers(root, tmp_path, monkeypatch):
    x = torch.cat([olivetti(root).images(split) for split in ("train", "val", "test")])
    bunch = SimpleNamespace(images=np.float32(x[:, 0].numpy()) / np.float32(242))
    monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces", lambda **_: bunch)
    data = olivetti(tmp_path)
    assert torch.equal(torch.cat([data.images(s) for s in ("train", "val", "test")]), x)
    monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces", None)  # kept from the first time
    data = olivetti(tmp_path)
    assert torch.equal(torch.cat([data.images(s) for s in ("train", "val", "test")]), x)


@pytest.mark.parametrize(
    ("build", "sizes", "means"),
    [
        (lambda d: MNIST(shape=GREY, levels=256, data_dir=d), (50_000, 10_000, 10_000), 33.79),
        (
            lambda d: MNIST("fashion_mnist", shape=GREY, levels=256, data_dir=d),
            (50_000, 10_000, 10_000),
            73.15,
        ),
        (
            lambda d: BinarizedMNIST("static", shape=GREY, levels=2, data_dir=d),
            (50_000, 10_000, 10_000),
            0.1325,
        ),
        (
            lambda d: CIFAR10(verify=False, shape=COLOUR, levels=256, data_dir=d),
            (45_000, 5_000, 10_000),
            121.53,
        ),
    ],
    ids=["MNIST", "FashionMNIST", "binarized_mnist", "cifar-10-batches-py"],
)
@UNVERIFIED
def test_real_files_have_the_known_sizes_and_mean(data_dir: Path, build, sizes, means, request):
    name = request.node.callspec.id
    if not (data_dir / name).is_dir():
        pytest.skip(f"{name} is not in {data_dir}")
    data: ImageData = build(str(data_dir))
    assert tuple(len(data.images(split)) for split in ("train", "val", "test")) == sizes
    mean = data.images("test").double().mean()
    assert float(mean) == pytest.approx(means, rel=5e-4)
    assert data.facts()["verified"] or name.startswith("cifar")


@UNVERIFIED
@pytest.mark.parametrize("name", ["digits", "dynamic", "cifar10", "folder", "arrays"])
def test_a_fraction_of_the_training_images_is_kept_and_the_test_images_stay(name, root):
    build, (num_train, *_) = TABLE[name]
    whole, part = build(root), build(root)
    part.fraction = 0.4
    kept = kept_images(num_train, 0.4)
    assert len(kept) == len(part.images("train")) == round(0.4 * num_train)
    stored = [data.images("train") for data in (whole, part)]
    if whole.transform is None:
        assert torch.equal(stored[1], stored[0][kept])
    if whole.labels("train") is not None:
        assert torch.equal(part.labels("train"), whole.labels("train")[kept])
    if name == "folder":
        assert part.names("train") == [whole.names("train")[i] for i in kept]
    for split in ("val", "test"):
        assert torch.equal(part.images(split), whole.images(split))
    assert part.identity()["fraction"] == 0.4
    assert part.identity()["digest"] != whole.identity()["digest"]
    assert "fraction" not in whole.identity()
    assert sum(map(len, part.train_dataloader())) == len(kept)


def test_a_fraction_is_above_0_and_at_most_1_and_stands_in_the_name():
    for fraction in (0, -1, 1.1, True, "half", float("nan")):
        with pytest.raises(
            GdlError, match=r"data\.fraction must be a number above 0 and at most 1"
        ):
            Digits(shape=(1, 8, 8), levels=17, fraction=fraction)
    metrics = {"data": "digits", "data/fraction": 0.1}
    assert data_name(metrics) == "digits (fraction 0.1 of the training images)"
