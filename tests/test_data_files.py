"""Missing, damaged and malicious files, and wrong arguments: one sentence that names the fix."""

import gzip
import io
import os
import pickle
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
import sklearn.datasets
import torch
from test_data import UNVERIFIED, binarized, cifar, folder, mnist, olivetti

from gdl.data.cifar import _ArrayUnpickler
from gdl.errors import GdlError


def offline(*_, **__):
    raise URLError("no network")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda d: mnist(d, verify=True), ["MNIST/raw", "md5 f68b3c2dcbeaaa9fbdd348bbdeb94873"]),
        (lambda d: binarized(d, "dynamic"), ["t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611"]),
        (lambda d: binarized(d, "static"), ["binarized_mnist_valid.amat", "binarization=dynamic"]),
        (cifar, ["cifar-10-python.tar.gz", "md5 c58f30108f718f92721af3b95e74349a"]),
        (olivetti, ["olivettifaces.mat"]),
    ],
)
def test_missing_files_without_a_network_are_named_with_where_they_go(
    tmp_path, monkeypatch, build, words
):
    monkeypatch.setattr("gdl.data.mnist.download_url", offline)
    monkeypatch.setattr("gdl.data.cifar.download_and_extract_archive", offline)
    monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces", offline)
    with pytest.raises(GdlError) as error:
        build(tmp_path).setup()
    for word in [str(tmp_path), *words]:
        assert word in str(error.value)


def copy_mnist(root, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (root / "MNIST" / "raw").iterdir():
        (raw / file.name).write_bytes(file.read_bytes())
    return raw


@UNVERIFIED
def test_damaged_files_are_named_with_their_checksum(root, tmp_path):
    raw = copy_mnist(root, tmp_path)
    wrong = "train-images.*md5.*f68b3c2dcbeaaa9fbdd348bbdeb94873: delete it.*data.verify=false"
    with pytest.raises(GdlError, match=wrong):
        mnist(tmp_path, verify=True).setup()
    data = mnist(tmp_path)
    with pytest.warns(UserWarning, match=r"train-images.*unverified"):
        data.setup()
    assert data.facts() == {"verified": False}
    cut = raw / "train-images-idx3-ubyte.gz"
    cut.write_bytes(cut.read_bytes()[:5000])
    with pytest.raises(GdlError, match=f"{cut.name} is damaged"):
        mnist(tmp_path).setup()


@UNVERIFIED
def test_unpacked_files_do_without_the_packed_ones_and_may_not_be_cut_off(root, tmp_path):
    raw = copy_mnist(root, tmp_path)
    for packed in list(raw.glob("*.gz")):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert torch.equal(mnist(tmp_path).images("train"), mnist(root).images("train"))
    cut = raw / "t10k-images-idx3-ubyte"
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(GdlError, match=f"{cut.name} is damaged"):
        mnist(tmp_path).setup()


@UNVERIFIED
@pytest.mark.parametrize("text", ["0 1 " * 391, "0 2 " * 392, ""])
def test_text_that_is_not_whole_binary_images_is_refused(tmp_path, text):
    (tmp_path / "binarized_mnist").mkdir()
    (tmp_path / "binarized_mnist" / "binarized_mnist_train.amat").write_text(text)
    with pytest.raises(GdlError, match=r"train\.amat does not hold whole images"):
        binarized(tmp_path, "static").setup()


@UNVERIFIED
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda r: mnist(r, levels=16), r"up to 255.*set data\.levels=256"),
        (lambda r: mnist(r, shape=(1, 32, 32)), r"set data\.shape=\[1, 28, 28\]"),
        (lambda r: mnist(r, source="kmnist"), "mnist, fashion_mnist, got 'kmnist'"),
        (lambda r: mnist(r, num_val=0), "data.num_val"),
        (lambda r: binarized(r, "sometimes"), "static, dynamic or threshold"),
        (lambda r: cifar(r, 9), "between 1 and 8"),
        (lambda r: cifar(r, 5, levels=256), "set data.bits"),
        (lambda r: folder(r / "nowhere"), "set data.root"),
        (lambda r: folder(r / "images", val_fraction=0.6, test_fraction=0.4), "less than 1"),
        (lambda r: folder(r / "images", shape=(3, None, None), size=None), "data.size=64"),
        (lambda r: folder(r / "images", shape=(2, 16, 16)), "data.channels must be 1"),
    ],
)
def test_wrong_arguments_are_refused_with_the_fix(root, build, message):
    with pytest.raises(GdlError, match=message):
        build(root).setup()


def test_pickles_with_code_are_refused_unrun(root, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    content = pickle.dumps({"data": Evil(), "labels": []}, protocol=2)
    with pytest.raises(pickle.UnpicklingError, match="system"):
        _ArrayUnpickler(io.BytesIO(content)).load()
    copy = tmp_path / "cifar-10-batches-py"
    copy.mkdir()
    for name in os.listdir(root / "cifar-10-batches-py"):
        (copy / name).write_bytes(content)
    with (
        pytest.warns(UserWarning, match="unverified"),
        pytest.raises(GdlError, match=r"data_batch_1 is not a batch .*system"),
    ):
        cifar(tmp_path).setup()
    assert not (tmp_path / "ran").exists()


class Harm:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_a_pickle_that_lies_among_the_data_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sklearn.datasets._olivetti_faces, "_fetch_remote", offline)
    for name in ("olivetti_py3.pkz", "olivetti.pkz", "olivetti.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(Harm()))
    with pytest.raises(GdlError, match="cannot be downloaded"):
        olivetti(tmp_path).setup()
    assert not (tmp_path / "pwned").exists()


@UNVERIFIED
def test_files_that_inflate_are_not_read(root, tmp_path):
    raw = copy_mnist(root, tmp_path)
    bomb = gzip.compress(bytes(200_000_000), 1)
    assert len(bomb) < 2_000_000
    (raw / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    with pytest.raises(GdlError, match="damaged or cut off"):
        mnist(tmp_path).setup()
    scipy.io.savemat(tmp_path / "olivettifaces.mat", {"faces": np.zeros((4096, 4000))})
    with pytest.raises(GdlError, match="instead of faces of shape"):
        olivetti(tmp_path).setup()
