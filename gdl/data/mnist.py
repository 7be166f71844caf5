"""MNIST, Fashion-MNIST, and the three binarizations of MNIST."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import download_url

from gdl.data.base import ImageData, Split
from gdl.data.download import DOWNLOAD_ERRORS, download_failed, is_original
from gdl.errors import GdlError

__all__ = ["MNIST", "BinarizedMNIST"]


SOURCES = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}

CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        *("T-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
}

AMAT_SHA256 = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}


class MNIST(ImageData):
    """28x28 grey images with 256 levels: MNIST (LeCun et al., 1998) or Fashion-MNIST.

    The four packed files are downloaded and verified here, because torchvision only checks that
    the unpacked files exist.

    Args:
        source: "mnist" or "fashion_mnist".
        num_val: Number of validation images: the last ones of the training file, as in the
            literature.
        verify: Whether the packed files must be there with their published checksums. False
            accepts other checksums, with a warning, and unpacked files alone.
        **kwargs: See `ImageData`.

    Raises:
        GdlError: There is no such source, or `num_val` is out of range.
    """

    def __init__(
        self,
        source: str = "mnist",
        num_val: int = 10_000,
        verify: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if source not in SOURCES:
            raise GdlError(f"data.source must be one of {', '.join(SOURCES)}, got {source!r}.")
        if not 0 < num_val < 60_000:
            raise GdlError(f"data.num_val must be between 1 and 59999, got {num_val}.")
        self.num_val, self.verify, self.verified = num_val, verify, True
        self._source, self.class_names = SOURCES[source], CLASSES[source]
        self._folder = self.data_dir / self._source.__name__ / "raw"

    def prepare_data(self) -> None:
        """Download the missing files; a GdlError names them and their folder where that fails."""
        for name, md5 in self._source.resources:
            if not self._path(name).is_file():
                self._download(name, md5)

    def load(self) -> dict[str, Split]:
        """Return 50,000 training, 10,000 validation and 10,000 test images; see `ImageData.load`."""
        self.prepare_data()
        arrays = [self._read(name, md5) for name, md5 in self._source.resources]
        x, y, test_x, test_y = (torch.from_numpy(a) for a in arrays)
        x, test_x, y, test_y = x[:, None], test_x[:, None], y.long(), test_y.long()
        cut = len(x) - self.num_val
        return {"train": (x[:cut], y[:cut]), "val": (x[cut:], y[cut:]), "test": (test_x, test_y)}

    def facts(self) -> dict[str, Any]:
        """Return whether the files have the published checksums."""
        return {"verified": self.verified}

    def _path(self, name: str) -> Path:
        packed, unpacked = self._folder / name, self._folder / Path(name).stem
        # only the packed files have published checksums
        use_unpacked = not self.verify and not packed.is_file() and unpacked.is_file()
        return unpacked if use_unpacked else packed

    def _download(self, name: str, md5: str) -> None:
        cause: Exception | None = None
        for mirror in self._source.mirrors:
            try:
                return download_url(mirror + name, str(self._folder), name, md5)
            except DOWNLOAD_ERRORS as e:
                cause = e
                # the next run would report a partial file as damaged
                (self._folder / name).unlink(missing_ok=True)
        source = self._source
        message = download_failed(source.__name__, self._folder, source.resources, cause)
        raise GdlError(message) from cause

    def _read(self, name: str, md5: str) -> np.ndarray:
        """Return the array of bytes in an IDX file, after comparing its checksum.

        Raises:
            GdlError: The file is damaged.
        """
        path, fix = self._path(name), "delete it, so that it is downloaded again"
        content = path.read_bytes()
        told = not self.verified
        self.verified &= is_original(path, content, f"md5 {md5}", self.verify, fix, told)
        try:
            raw = _inflated(content) if path.suffix == ".gz" else content
            sizes = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, 4 + 4 * raw[3], 4)]
            return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sizes).copy()
        except (OSError, EOFError, ValueError, IndexError, zlib.error) as e:
            raise GdlError(f"{path} is damaged or cut off: {fix}.") from e


def _inflated(content: bytes) -> bytes:
    """Return the bytes of a gzip file, but not more than an original has (47 MB).

    Raises:
        ValueError: It has more.
        EOFError: It is cut off.
    """
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    raw = inflater.decompress(content, 50_000_000)
    if not inflater.eof:
        error = ValueError if inflater.unconsumed_tail else EOFError
        raise error("it is not as long as an original")
    return raw


class BinarizedMNIST(MNIST):
    """MNIST with two levels; results with different binarizations are not comparable.

    Args:
        binarization: "dynamic" draws Bernoulli(x / 255) anew for each training batch, and once,
            with a fixed seed, for validation and test; "static" is the fixed draw of Larochelle
            and Murray (2011), read from three text files; "threshold" is x > 127.
        **kwargs: See `MNIST`.

    Raises:
        GdlError: There is no such binarization.
    """

    def __init__(self, binarization: str = "dynamic", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if binarization not in ("static", "dynamic", "threshold"):
            raise GdlError(
                f"data.binarization must be static, dynamic or threshold, got {binarization!r}."
            )
        self.binarization = binarization
        if binarization == "dynamic":
            self.transform = bernoulli
        elif binarization == "static":
            self.class_names = None  # its files have no labels

    def facts(self) -> dict[str, Any]:
        """Return the binarization, with which every result is printed."""
        return {"binarization": self.binarization, **super().facts()}

    def prepare_data(self) -> None:
        """Download MNIST, unless the binarization is static, which has files of its own."""
        if self.binarization != "static":
            super().prepare_data()

    def load(self) -> dict[str, Split]:
        """Return 50,000 training, 10,000 validation and 10,000 test images.

        With the dynamic binarization the training images are still grey; `transform` binarizes
        each batch. See `ImageData.load`.
        """
        if self.binarization == "static":
            folder = self.data_dir / "binarized_mnist"
            names = {"train": "train", "val": "valid", "test": "test"}
            return {split: (self._read_amat(folder, n), None) for split, n in names.items()}
        splits = super().load()
        if self.binarization == "threshold":
            return {name: ((x > 127).to(torch.uint8), y) for name, (x, y) in splits.items()}
        for i, name in enumerate(("val", "test")):
            x, y = splits[name]
            splits[name] = (bernoulli(x, torch.Generator().manual_seed(i)), y)
        return splits

    def _read_amat(self, folder: Path, name: str) -> Tensor:
        """Return the images (N, 1, 28, 28) of a text file that has 784 zeros and ones per line.

        Raises:
            GdlError: The file is missing or damaged.
        """
        path = folder / f"binarized_mnist_{name}.amat"
        if not path.is_file():
            files = ", ".join(f"binarized_mnist_{n}.amat" for n in AMAT_SHA256)
            raise GdlError(
                f"{path} is missing: copy {files} (Larochelle and Murray), which no host serves "
                f"reliably any more, to {folder}, or set data.binarization=dynamic, which needs "
                "none of them."
            )
        text = np.fromfile(path, np.uint8)
        expected, fix = f"sha256 {AMAT_SHA256[name]}", "replace it by the original"
        told = not self.verified
        self.verified &= is_original(path, text.data, expected, self.verify, fix, told)
        symbols = text[text > ord(" ")] - ord("0")
        if len(symbols) == 0 or len(symbols) % 784 or symbols.max() > 1:
            raise GdlError(f"{path} does not hold whole images of 784 zeros and ones: {fix}.")
        return torch.from_numpy(symbols).view(-1, 1, 28, 28)


def bernoulli(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw binary images from grey images x (B, C, H, W) in {0, ..., 255}: P(1) = x / 255.

    The result is r < x for an integer r that is uniform on {0, ..., 254}. This is exact. On a CPU it
    takes a sixth of the time of `torch.bernoulli`, which costs as much as the forward pass of a small
    model, because a random number of 64 bits is eight of these integers.
    """
    if x.device.type != "cpu":
        r = torch.randint(255, x.shape, dtype=torch.uint8, device=x.device, generator=generator)
        return (r < x).view(torch.uint8)
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64)
    r = words.random_(-(2**63), None, generator=generator).view(torch.uint8)[: x.numel()]
    # a byte of 255 is drawn again
    again = torch.from_numpy(np.flatnonzero(r.numpy() == 255))
    r[again] = torch.randint(255, again.shape, dtype=torch.uint8, generator=generator)
    return (r.view(x.shape) < x).view(torch.uint8)
