"""Fixtures for all tests."""

import gzip
import os
import pickle
import shutil
from pathlib import Path

# small tensors, and as many test processes as cores; libraries look at it while they are imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

torch.set_num_threads(1)
# a name that does not exist is not looked for on the network, where it would take minutes
os.environ.setdefault("HF_HUB_OFFLINE", "1")


FORKING = ("batch_statistics", "ddp")
LONG = ("configs", "cli", "resume", "wandb", "package", "extending", "models", "audit", "export")


def pytest_collection_modifyitems(items):
    """Sort files: those that fork come first, then long ones.

    Autograd refuses to work in a fork of a process in which it has started threads, as some tests make
    it do. Where long files come early, no process waits at the end for one that has just begun one.
    """

    def place(item):
        name = item.path.stem.removeprefix("test_")
        return 0 if name in FORKING else 1 if name in LONG else 2

    items.sort(key=place)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; a test that needs one of them skips where it is missing."""
    named = os.environ.get("GDL_DATA_DIR")
    folder = Path(named or "~/.cache/gdl").expanduser()
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}: set GDL_DATA_DIR to the folder that has them")
    return folder


SWITCHES = "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync"
NETWORK = ["--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="session")
def chromium():
    """A browser. One for all tests of a process, since playwright can run once in it."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium on this machine")
    flags = [*(f"--{name}" for name in SWITCHES.split()), *NETWORK]
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


def write_idx(path, x):
    header = bytes([0, 0, 8, x.ndim]) + b"".join(n.to_bytes(4, "big") for n in x.shape)
    path.write_bytes(gzip.compress(header + x.tobytes(), 1))


BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """A data folder with files in the formats of the real ones, a few random images in each."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    draw = lambda *shape: rng.integers(0, 256, shape, dtype=np.uint8)  # noqa: E731
    raw = root / "MNIST" / "raw"
    cifar, amat = root / "cifar-10-batches-py", root / "binarized_mnist"
    for folder in (raw, cifar, amat, root / "images" / "sub"):
        folder.mkdir(parents=True)
    for part, n in (("train", 60), ("t10k", 20)):
        write_idx(raw / f"{part}-images-idx3-ubyte.gz", draw(n, 28, 28))
        write_idx(raw / f"{part}-labels-idx1-ubyte.gz", draw(n) % 10)
    for name in BATCHES:
        batch = {"data": draw(10, 3072), "labels": (draw(10) % 10).tolist()}
        (cifar / name).write_bytes(pickle.dumps(batch, protocol=2))
    for name, n in (("train", 7), ("valid", 4), ("test", 3)):
        lines = [" ".join(map(str, row)) for row in draw(n, 784) % 2]
        (amat / f"binarized_mnist_{name}.amat").write_text("\n".join(lines) + "\n")
    scipy.io.savemat(root / "olivettifaces.mat", {"faces": draw(4096, 400) % 243})
    for i in range(10):
        Image.fromarray(draw(20, 30, 3)).save(root / "images" / "sub" / f"{i}.png")
    np.savez(root / "x.npz", images=draw(20, 6, 5, 3), labels=draw(20) % 3)
    (root / "x.txt").write_bytes(bytes(draw(1280) % 255 + 1))
    return root
