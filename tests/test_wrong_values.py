"""Any value of any key of a data set of one's own works, or gets a sentence."""

import contextlib
import inspect

import numpy as np
import pytest
import torch
from PIL import Image

from gdl.data import Arrays, Folder, HuggingFace
from gdl.errors import GdlError

WRONG = (
    *(None, "", "abc", "..", "/etc/hostname", "a b", "é", "\0", "random", "auto"),
    *(-1, 0, 1, 2, 10**20, 1.5, 1e-9, float("inf"), float("nan"), True, False),
    *([], [1, 2], [3, 8, 8], [3, None, 8], [3, "a", 8], [1, 0, 8], {}, {"a": 1}, {"train": 3}),
)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    # the folder above, "..", is one of these data alone, not that of all tests
    folder = tmp_path_factory.mktemp("above") / "own"
    (folder / "photos").mkdir(parents=True)
    for i in range(4):
        Image.new("L", (9, 9), 9 * i).save(folder / "photos" / f"{i}.png")
    np.save(folder / "x.npy", np.zeros((9, 4, 4), np.uint8))
    return folder


SETS = {
    Folder: {"root": "photos", "shape": (1, 8, 8)},
    Arrays: {"file": "x.npy", "shape": (1, 4, 4)},
    HuggingFace: {"path": "nowhere/", "shape": (1, 8, 8)},
}
BASE = ("levels", "batch_size", "eval_batch_size", "data_dir")
CASES = [
    (kind, key)
    for kind in SETS
    for key in (*inspect.signature(kind).parameters, *BASE)
    if key not in ("kwargs", "channels")  # the latter is used in the configuration only
]


@pytest.mark.filterwarnings("ignore:.*not kept for the next start")
@pytest.mark.parametrize(("kind", "key"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_a_wrong_value_gets_a_sentence(own, monkeypatch, kind, key):
    monkeypatch.chdir(own)
    worked = 0
    for value in WRONG:
        options = {**SETS[kind], "levels": 256, "data_dir": "cache", key: value}
        with contextlib.suppress(GdlError):
            data = kind(**options)
            data.setup()
            assert data.images("train").dtype == torch.uint8
            next(iter(data.train_dataloader()))
            worked += 1
    assert worked < len(WRONG)
