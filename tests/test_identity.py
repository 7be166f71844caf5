"""Data know what they are: equal images have equal identities, and any change is seen."""

import json
import time
from typing import Any

import pytest
import torch
from test_data import GREY, TABLE, UNVERIFIED, binarized, cifar, folder, mnist
from torch import Tensor

from gdl.data.base import ImageData
from gdl.data.digits import Digits
from gdl.data.toy import Toy

ALL = {**{name: build for name, (build, _) in TABLE.items()}, "toy": lambda r: Toy("rings", [2])}


class Own(ImageData):
    """Images that a test makes."""

    def __init__(self, *splits: Tensor, **options: Any) -> None:
        super().__init__(splits[0].shape[1:], **{"levels": 256, **options})
        self.given = dict(zip(("train", "val", "test"), splits, strict=True))

    def load(self):
        return {name: (x, None) for name, x in self.given.items()}


def images(*sizes: int, shape=(1, 4, 6)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(256, (n, *shape), dtype=torch.uint8, generator=generator) for n in sizes]


@UNVERIFIED
@pytest.mark.parametrize("name", ALL)
def test_an_identity_is_plain_and_the_same_for_each_object(root, name):
    data, again = ALL[name](root), ALL[name](root)
    identity = data.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity == again.identity()
    assert identity["shape"] == list(data.shape)
    assert identity["levels"] == data.levels
    for split in ("train", "val", "test"):
        assert identity[split] == len(data.images(split))
    assert int(identity["digest"], 16)


@UNVERIFIED
def test_all_data_sets_have_different_identities(root):
    found = [json.dumps(build(root).identity(), sort_keys=True) for build in ALL.values()]
    found.append(json.dumps(Toy("grid", [2]).identity(), sort_keys=True))
    assert len(set(found)) == len(ALL) + 1


CHANGES = {
    "held out by another seed": lambda r: (cifar(r), cifar(r, split_seed=1)),
    "more held out": lambda r: (mnist(r), mnist(r, num_val=11)),
    "fewer bits": lambda r: (cifar(r), cifar(r, 5)),
    "binarization": lambda r: (binarized(r), binarized(r, "threshold")),
    "levels only": lambda r: (mnist(r), mnist(r, levels=300)),
    "size": lambda r: (folder(r / "images", size=16), folder(r / "images", (3, 8, 8), size=8)),
    "channels": lambda r: (
        folder(r / "images", size=16),
        folder(r / "images", (1, 16, 16), size=16),
    ),
    "another folder": lambda r: (folder(r / "images"), folder(r / "images", test_fraction=0.3)),
}


@UNVERIFIED
@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_the_data_changes_the_identity(root, name):
    one, other = CHANGES[name](root)
    assert one.identity() != other.identity()


@UNVERIFIED
def test_what_does_not_change_the_data_does_not_change_the_identity(root):
    one = mnist(root)
    for other in (mnist(root, seed=5), mnist(root, eval_batch_size=3)):
        assert other.identity() == one.identity()
    a, b, c = images(9, 5, 4)
    spread = torch.stack([a, a], -1)[..., 0]  # not contiguous
    assert not spread.is_contiguous()
    assert Own(spread, b, c).identity() == Own(a, b, c).identity()


@pytest.mark.parametrize("at_once", [1, 100, 10**9])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_digest_sees_every_image_of_every_split(monkeypatch, split, at_once):
    monkeypatch.setattr("gdl.data.base.HASHED_AT_ONCE", at_once)
    splits = images(9, 5, 4)
    known = {Own(*splits).digest()}
    number = ("train", "val", "test").index(split)
    for i in range(len(splits[number])):
        changed = [x.clone() for x in splits]
        changed[number][i, 0, i % 4, 5] ^= 1
        known.add(Own(*changed).digest())
    known.add(Own(*(x.flip(0) if k == number else x for k, x in enumerate(splits))).digest())
    assert len(known) == len(splits[number]) + 2


def test_equal_bytes_in_another_shape_or_another_split_are_other_data():
    a, b, c = images(6, 6, 6)
    found = {Own(a, b, c).digest(), Own(b, a, c).digest(), Own(a, c, b).digest()}
    wide = [x.view(6, 1, 2, 12) for x in (a, b, c)]
    fewer = [x.view(3, 1, 8, 6) for x in (a, b, c)]
    moved = torch.cat([a, b, c]).split([5, 7, 6])
    found |= {Own(*wide).digest(), Own(*fewer).digest(), Own(*moved).digest()}
    assert len(found) == 6


def test_a_digest_is_computed_once():
    data = Own(*images(60_000, 10_000, 10_000, shape=GREY))  # as large as MNIST
    data.setup()
    started = time.process_time()
    first = data.digest()
    assert time.process_time() - started < 2, "of all threads, also on a slow machine"
    data._splits = {"train": (torch.zeros(1, *GREY), None)}
    assert data.digest() == first


def test_facts_that_names_show_are_in_the_identity_and_others_are_not(root):
    class Described(Digits):
        def facts(self):
            return {"binarization": "own", "files": ["a"], "seconds": 3.5}

    identity = Described(shape=(1, 8, 8), levels=17).identity()
    assert identity["binarization"] == "own"
    assert not {"files", "seconds"} & identity.keys()
